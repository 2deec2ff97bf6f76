"""What is said of a text message afterwards must be true, whatever Twilio does; a real HTTP server on loopback does it."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dripiq.channels.base import Outcome, OutgoingMessage, Sender, Verdict
from dripiq.channels.folder import FolderSender
from dripiq.channels.http_answers import SETUP_REST
from dripiq.channels.twilio import TwilioSender
from dripiq.config.environment import load_settings
from dripiq.domain.errors import ConfigurationError
from dripiq.domain.states import Channel, SuppressionType
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from dripiq.schema.ids import new_id
from dripiq.wiring import make_senders
from tests.engine.conftest import NOON, World, email_plan
from tests.engine.http_provider import Answering, HttpProvider, break_off, hang, hang_up, say

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "a-very-secret-token"
SID = "SM" + "0123456789abcdef" * 2
TAKEN = say(201, {"sid": SID, "status": "queued", "error_code": None})


def refuse(status: int, code: int, message: str = "No.", **headers: str) -> Answering:
    return say(status, {"code": code, "message": message, "status": status}, **headers)


@asynccontextmanager
async def sending(url: str, **options: Any) -> AsyncIterator[TwilioSender]:
    sender = TwilioSender(
        ACCOUNT, SecretStr(TOKEN), url=url, **{"sent_from": "+4915112345678", "timeout": 10.0, **options}
    )
    try:
        yield sender
    finally:
        await sender.close()


def sms(count: int = 1, to: str = "+4917612345678") -> list[OutgoingMessage]:
    return [
        OutgoingMessage(
            id=f"m{number}",
            tenant_id="t1",
            channel=Channel.SMS,
            to_address=to,
            to_name="Ann",
            from_address="bob@example.org",
            from_name="Bob",
            reply_to=None,
            subject=None,
            body="Grüße & bis bald",
            message_id=f"m{number}@example.org",
            at=NOON,
        )
        for number in range(count)
    ]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def test_a_message_is_asked_for_as_twilio_wants_it_and_reports_to_its_own_address() -> None:
    async def main() -> None:
        async with (
            HttpProvider(TAKEN).listening() as provider,
            sending(provider.url, status_url="https://example.org/webhooks/twilio") as sender,
        ):
            assert await sender.send(sms()) == [Outcome("m0", Verdict.ACCEPTED, SID, "201")]
            (asked,) = provider.asked
            assert asked.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
            assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
            assert asked.headers["authorization"] == f"Basic {b64encode(f'{ACCOUNT}:{TOKEN}'.encode()).decode()}"
            assert asked.form == {
                "To": "+4917612345678",
                "From": "+4915112345678",
                "Body": "Grüße & bis bald",
                "StatusCallback": "https://example.org/webhooks/twilio?dripiq_tenant=t1&dripiq_message=m0",
            }

    run(main())


def test_a_messaging_service_is_named_as_one_and_an_api_key_logs_in_for_the_account() -> None:
    async def main() -> None:
        service = "MG" + "0" * 32
        async with (
            HttpProvider(TAKEN).listening() as provider,
            sending(provider.url, sent_from=service, user="SK1") as sender,
        ):
            await sender.send(sms())
            (asked,) = provider.asked
            assert asked.form["MessagingServiceSid"] == service
            assert "From" not in asked.form
            assert asked.headers["authorization"] == f"Basic {b64encode(f'SK1:{TOKEN}'.encode()).decode()}"
            assert ACCOUNT in asked.path

    run(main())


@pytest.mark.parametrize(
    "number", ["017612345678", "+0171234567", "+49 176 12345678", "ann@example.com", "+4917612345678\r\n"]
)
def test_what_is_no_e164_number_costs_no_request(number: str) -> None:
    async def main() -> None:
        async with HttpProvider(TAKEN).listening() as provider, sending(provider.url) as sender:
            (outcome,) = await sender.send(sms(to=number))
            assert (outcome.verdict, outcome.code) == (Verdict.PERMANENT, "invalid_number")
            assert provider.asked == []

    run(main())


@pytest.mark.parametrize(
    ("answer", "verdict", "code", "wait"),
    [
        (refuse(400, 21211, "invalid 'To'"), "permanent", "21211", None),
        (refuse(400, 21610, "unsubscribed recipient"), "permanent", "21610", None),
        (refuse(400, 21614, "not a mobile number"), "permanent", "21614", None),
        (refuse(400, 21617, "too long"), "permanent", "21617", None),
        (refuse(400, 99999, "something new"), "permanent", "99999", None),
        (refuse(400, 21606, "From is not ours"), "temporary", "21606", SETUP_REST),
        (refuse(400, 21408, "no permission for that region"), "temporary", "21408", SETUP_REST),
        (refuse(401, 20003, "Authenticate"), "temporary", "20003", SETUP_REST),
        (refuse(404, 20404, "not found"), "temporary", "20404", SETUP_REST),
        (refuse(429, 20429, "Too many requests", Retry_After="7"), "temporary", "429", timedelta(seconds=7)),
        (refuse(500, 20500, "Internal error"), "unknown", "500", None),
        (refuse(503, 20503, "Unavailable"), "unknown", "503", None),
        (say(303), "unknown", "303", None),
        (hang_up, "unknown", "disconnect", None),
        (break_off, "unknown", "disconnect", None),
        (say(201, b"no JSON"), "accepted", "201", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_answer_means_what_twilio_documents_and_no_answer_means_that_nobody_knows(
    answer: Answering, verdict: str, code: str, wait: timedelta | None
) -> None:
    async def main() -> None:
        async with HttpProvider(answer).listening() as provider, sending(provider.url) as sender:
            (outcome,) = await sender.send(sms())
            assert (outcome.verdict, outcome.code, outcome.retry_after) == (Verdict(verdict), code, wait)
            assert outcome.closes == (SuppressionType.UNSUBSCRIBE if code == "21610" else None)
            assert len(provider.asked) == 1

    run(main())


def test_twilio_silent_after_the_request_leaves_it_unknown_for_it_has_no_way_to_ask_at_most_once() -> None:
    async def main() -> None:
        async with HttpProvider(hang).listening() as provider, sending(provider.url, timeout=1.0) as sender:
            (outcome,) = await sender.send(sms())
            assert (outcome.verdict, outcome.code) == (Verdict.UNKNOWN, "timeout")
            assert len(provider.asked) == 1

    run(main())


def test_the_token_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with (
            HttpProvider(refuse(401, 20003, f"{TOKEN} is no token")).listening() as provider,
            sending(provider.url) as sender,
        ):
            (outcome,) = await sender.send(sms())
            assert TOKEN not in repr(sender)
            assert TOKEN not in str(vars(sender))
            assert TOKEN not in str(outcome)

    caplog.set_level(logging.DEBUG)
    run(main())
    assert TOKEN not in caplog.text


def test_settings_make_a_sender_of_sms_only_where_there_is_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_TOKEN", TOKEN)
    assert set(make_senders(load_settings())) == {Channel.EMAIL}

    async def main() -> None:
        async with HttpProvider(TAKEN).listening() as provider:
            settings = load_settings(
                twilio_url=provider.url,
                twilio_account=ACCOUNT,
                twilio_password="env:SMS_TOKEN",
                twilio_from="+4915112345678",
                public_url="https://example.org/",
                secret="s" * 32,
            )
            sender = make_senders(settings)[Channel.SMS]
            assert [outcome.verdict for outcome in await sender.send(sms())] == [Verdict.ACCEPTED]
            await sender.close()
            assert provider.asked[0].form["StatusCallback"].startswith("https://example.org/webhooks/twilio?")

    run(main())


def test_an_account_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError):
        TwilioSender("../Accounts/other", SecretStr(TOKEN), sent_from="+4915112345678")


def test_a_plan_with_sms_writes_to_the_contacts_number_and_mails_beside_it(world: World) -> None:
    """The number is the contact's primary one in `contact_channels`."""
    plan = email_plan({"id": "text", "channel": "sms"})
    del plan["nodes"][0]["subject"]
    with world.database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO dripiq_app.contact_channels (id, tenant_id, contact_id, channel, value, is_primary)"
                " VALUES (:id, :tenant_id, :contact_id, 'sms', '+4917612345678', true)"
            ),
            {"id": new_id(), "tenant_id": world.tenant_id, "contact_id": world.contacts[0]},
        )
    world.enroll(plan)

    async def main() -> None:
        async with HttpProvider(TAKEN).listening() as provider, sending(provider.url) as sender:
            senders: dict[Channel, Sender] = {Channel.EMAIL: FolderSender(world.folder), Channel.SMS: sender}
            worker = Worker(Outbox(world.database, world.clock, senders), Pace())
            while await worker.drain():
                pass
            assert [asked.form["To"] for asked in provider.asked] == ["+4917612345678"]

    run(main())
    (message,) = world.rows("SELECT * FROM dripiq_app.outbound_messages")
    assert (message.status, message.provider, message.provider_message_id) == ("sent", "twilio", SID)
    assert message.channel == "sms"
