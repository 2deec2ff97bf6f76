"""What is said of a mail afterwards must be true, whatever SendGrid does; a real HTTP server on loopback does it."""

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from dripiq.channels import http_sender, provider_rest
from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.channels.http_answers import LONGEST_REST, SETUP_REST, USUAL_REST
from dripiq.channels.sendgrid import SendGridSender
from dripiq.config.environment import load_settings
from dripiq.config.secret_reference import SecretReference
from dripiq.domain.errors import ConfigurationError
from dripiq.domain.states import Channel
from dripiq.domain.timing import MAX_ATTEMPTS
from dripiq.wiring import make_senders
from tests.engine.conftest import NOON, ONE_MAIL, World
from tests.engine.http_provider import (
    Answering,
    Asked,
    HttpProvider,
    break_off,
    hang,
    hang_up,
    say,
    talk_nonsense,
)

KEY = "SG.very-secret"


def refuse(status: int, message: str, field: str | None = None, **headers: str) -> Answering:
    return say(status, {"errors": [{"message": message, "field": field, "help": None}]}, **headers)


@asynccontextmanager
async def sending(url: str, **options: Any) -> AsyncIterator[SendGridSender]:
    sender = SendGridSender(SecretStr(KEY), url=url, **{"timeout": 10.0, **options})
    try:
        yield sender
    finally:
        await sender.close()


def mails(count: int, **changes: Any) -> list[OutgoingMessage]:
    first = OutgoingMessage(
        id="m",
        tenant_id="t1",
        channel=Channel.EMAIL,
        to_address="ann@example.com",
        to_name="Ann",
        from_address="bob@example.org",
        from_name="Bob",
        reply_to=None,
        subject="Hello",
        body="Hello.\n",
        message_id="m@example.org",
        at=NOON,
    )
    return [replace(first, id=f"m{n}", message_id=f"m{n}@example.org", **changes) for n in range(count)]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def verdicts(outcomes: Sequence[Outcome]) -> list[tuple[Verdict, str | None]]:
    return [(outcome.verdict, outcome.code) for outcome in outcomes]


def told(outcomes: Sequence[Outcome]) -> Counter[tuple[Verdict, str | None]]:
    return Counter(verdicts(outcomes))


@pytest.fixture
def short_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that failed is asked again after a tenth of a second."""
    monkeypatch.setattr(provider_rest, "FIRST_BREAK", timedelta(seconds=0.1))


def test_a_mail_is_asked_for_as_sendgrid_wants_it_and_carries_our_ids() -> None:
    async def main() -> None:
        async with (
            HttpProvider(say(202, X_Message_Id="abc-1")).listening() as provider,
            sending(provider.url, categories=["outreach"]) as sender,
        ):
            (mail,) = mails(
                1,
                subject="Grüße\r\nBcc: everyone@example.com",
                to_name="Ann\x00 Ö",
                reply_to="team@example.org",
                html="<p>Hello.</p>",
                in_reply_to="m-2@example.org",
                references=("m-1@example.org", "m-2@example.org"),
                unsubscribe_url="https://example.org/u/1",
            )
            assert await sender.send([mail]) == [Outcome("m0", Verdict.ACCEPTED, "abc-1", "202")]
            (asked,) = provider.asked
            assert asked.path == "/v3/mail/send"
            assert asked.headers["authorization"] == f"Bearer {KEY}"
            assert asked.json == {
                "personalizations": [{"to": [{"email": "ann@example.com", "name": "Ann Ö"}]}],
                "from": {"email": "bob@example.org", "name": "Bob"},
                "reply_to": {"email": "team@example.org"},
                "subject": "Grüße Bcc: everyone@example.com",
                "content": [
                    {"type": "text/plain", "value": "Hello.\n"},
                    {"type": "text/html", "value": "<p>Hello.</p>"},
                ],
                "headers": {
                    "Message-ID": "<m0@example.org>",
                    "In-Reply-To": "<m-2@example.org>",
                    "References": "<m-1@example.org> <m-2@example.org>",
                    "List-Unsubscribe": "<https://example.org/u/1>",
                    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                },
                "custom_args": {"dripiq_tenant": "t1", "dripiq_message": "m0"},
                "categories": ["outreach"],
            }

    run(main())


def test_a_mail_that_is_a_picture_alone_has_no_empty_text_for_sendgrid_to_refuse() -> None:
    async def main() -> None:
        async with HttpProvider().listening() as provider, sending(provider.url) as sender:
            await sender.send(mails(1, body="", html='<img src="https://example.org/a.png">'))
            assert [part["type"] for part in provider.asked[0].json["content"]] == ["text/html"]

    run(main())


def test_no_id_or_link_brings_a_header_of_its_own() -> None:
    async def main() -> None:
        async with HttpProvider().listening() as provider, sending(provider.url) as sender:
            bad = [
                *mails(1, unsubscribe_url="https://example.org/\r\nBcc: x@example.com"),
                replace(mails(1)[0], message_id="m@example.org>\r\nBcc: x@example.com"),
            ]
            assert verdicts(await sender.send(bad)) == [(Verdict.PERMANENT, "invalid_header")] * 2
            assert provider.asked == []

    run(main())


@pytest.mark.parametrize(
    ("answer", "verdict", "code", "wait"),
    [
        (refuse(400, "Does not contain a valid address.", "personalizations.0.to.0.email"), "permanent", "400", None),
        (refuse(413, "Too large."), "permanent", "413", None),
        (say(400, b"no JSON at all"), "permanent", "400", None),
        (refuse(400, "The from email is no address.", "from.email"), "temporary", "400", SETUP_REST),
        (refuse(400, "No such pool.", "ip_pool_name"), "temporary", "400", SETUP_REST),
        (refuse(401, "The provided authorization grant is invalid."), "temporary", "401", SETUP_REST),
        (refuse(403, "Temporarily blocked."), "temporary", "403", SETUP_REST),
        (refuse(403, "The from address does not match a verified Sender.", "from"), "temporary", "403", SETUP_REST),
        (say(404), "temporary", "404", SETUP_REST),
        (say(301, Location="http://localhost:1/elsewhere"), "temporary", "301", SETUP_REST),
        (say(418), "temporary", "418", None),
        (say(303), "unknown", "303", None),
        (say(200), "unknown", "200", None),
        (refuse(500, "Oops."), "unknown", "500", None),
        (say(502), "unknown", "502", None),
        (say(503, Retry_After="5"), "unknown", "503", None),
        (say(504), "unknown", "504", None),
        (hang_up, "unknown", "disconnect", None),
        (break_off, "unknown", "disconnect", None),
        (talk_nonsense, "unknown", "disconnect", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_answer_means_what_sendgrid_documents_and_no_answer_means_that_nobody_knows(
    answer: Answering, verdict: str, code: str, wait: timedelta | None
) -> None:
    async def main() -> None:
        async with HttpProvider(answer).listening() as provider, sending(provider.url) as sender:
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code, outcome.retry_after) == (Verdict(verdict), code, wait)
            assert len(provider.asked) == 1

    run(main())


def test_a_refusal_says_what_sendgrid_said_on_one_line() -> None:
    async def main() -> None:
        async with (
            HttpProvider(refuse(400, "The subject\nis required.", "subject")).listening() as provider,
            sending(provider.url) as sender,
        ):
            (outcome,) = await sender.send(mails(1))
            assert outcome.detail == "The subject is required."

    run(main())


def test_a_provider_silent_after_the_request_leaves_it_unknown_within_the_timeout() -> None:
    async def main() -> None:
        async with HttpProvider(hang).listening() as provider, sending(provider.url, timeout=2.0) as sender:
            async with asyncio.timeout(5):
                assert told(await sender.send(mails(3))) == {(Verdict.UNKNOWN, "timeout"): 3}
            assert len(provider.asked) == 3

    run(main())


def test_an_answer_whose_text_never_ends_is_still_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_sender, "_TEXT_PATIENCE", 0.1)

    async def promise_more(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: abc\r\nContent-Length: 100\r\n\r\nhalf")
        await asyncio.sleep(3600)

    async def main() -> None:
        async with HttpProvider(promise_more).listening() as provider, sending(provider.url) as sender:
            assert await sender.send(mails(1)) == [Outcome("m0", Verdict.ACCEPTED, "abc", "202")]

    run(main())


def test_nobody_listening_is_temporary_and_no_message_is_given_up_for_it() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        async with sending(f"http://127.0.0.1:{port}", timeout=2.0) as sender:
            outcomes = await sender.send(mails(2))
            assert verdicts(outcomes) == [(Verdict.TEMPORARY, "connect")] * 2
            assert all(outcome.retry_after is not None for outcome in outcomes)

    run(main())


def test_a_connection_refused_before_the_request_is_temporary() -> None:
    async def main() -> None:
        async with HttpProvider(hang_up_at_once=True).listening() as provider, sending(provider.url) as sender:
            (outcome,) = await sender.send(mails(1))
            assert outcome.verdict in (Verdict.TEMPORARY, Verdict.UNKNOWN)
            assert provider.asked == []

    run(main())


def test_a_server_that_never_greets_has_taken_nothing() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
            context = httpx.create_ssl_context()
            url = f"https://127.0.0.1:{silent.getsockname()[1]}"  # TLS, to somebody who never answers a ClientHello
            async with sending(url, timeout=1.0, tls_context=context) as sender:
                assert verdicts(await sender.send(mails(1))) == [(Verdict.TEMPORARY, "timeout")]

    run(main())


def test_a_process_frozen_before_the_hand_over_sends_nothing_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[str] = []
    trace = http_sender._Progress.trace

    async def freeze(self: http_sender._Progress, step: str, info: Any) -> None:
        if step.endswith("send_request_headers.complete"):
            time.sleep(0.6)  # the whole process, as by SIGSTOP: no timer runs meanwhile
            frozen.append(step)
        await trace(self, step, info)

    monkeypatch.setattr(http_sender._Progress, "trace", freeze)

    async def main() -> None:
        async with HttpProvider().listening() as provider, sending(provider.url, timeout=1.0) as sender:
            assert verdicts(await sender.send(mails(1))) == [(Verdict.TEMPORARY, "timeout")]
            assert frozen
            assert provider.asked == []

    run(main())


def test_kept_connections_are_used_again_and_never_more_than_allowed() -> None:
    async def main() -> None:
        async with HttpProvider().listening() as provider, sending(provider.url, connections=4, timeout=60.0) as sender:
            batch = mails(200)
            halves = await asyncio.gather(sender.send(batch[:100]), sender.send(batch[100:]))
            outcomes = [outcome for half in halves for outcome in half]
            assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
            assert Counter(outcome.id for outcome in outcomes) == {message.id: 1 for message in batch}
            assert Counter(asked.json["custom_args"]["dripiq_message"] for asked in provider.asked) == {
                message.id: 1 for message in batch
            }
            assert provider.connections <= 4
            assert provider.most_at_once <= 4

    run(main())


def test_a_connection_that_the_provider_closed_while_idle_is_replaced() -> None:
    async def answer_and_close(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await say(202)(asked, writer)
        writer.close()

    async def main() -> None:
        async with HttpProvider(answer_and_close).listening() as provider, sending(provider.url) as sender:
            for _ in range(3):
                assert verdicts(await sender.send(mails(1))) == [(Verdict.ACCEPTED, "202")]
                await asyncio.sleep(0)
            assert len(provider.asked) == 3

    run(main())


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"X_RateLimit_Reset": "{in 100 s}"}, timedelta(seconds=90), timedelta(seconds=101)),
        ({"Retry_After": "120"}, timedelta(seconds=120), timedelta(seconds=120)),
        ({"Retry_After": "Fri, 01 Jan 2100 00:00:00 GMT"}, LONGEST_REST, LONGEST_REST),
        ({"X_RateLimit_Reset": "9999999999"}, LONGEST_REST, LONGEST_REST),
        ({"X_RateLimit_Reset": "soon"}, USUAL_REST, USUAL_REST),
        ({"X_RateLimit_Reset": "nan"}, USUAL_REST, USUAL_REST),
        ({"Retry_After": "-5"}, USUAL_REST, USUAL_REST),
        ({}, USUAL_REST, USUAL_REST),
    ],
    ids=str,
)
def test_a_rate_limit_puts_off_until_its_reset_within_bounds(
    headers: dict[str, str], least: timedelta, most: timedelta
) -> None:
    async def main() -> None:
        given = {name: value.replace("{in 100 s}", str(int(time.time()) + 100)) for name, value in headers.items()}
        async with (
            HttpProvider(refuse(429, "too many requests", **given)).listening() as provider,
            sending(provider.url) as sender,
        ):
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code) == (Verdict.TEMPORARY, "429")
            assert outcome.retry_after is not None
            assert least <= outcome.retry_after <= most

    run(main())


def test_while_a_rate_limit_lasts_the_provider_is_not_asked_again() -> None:
    async def main() -> None:
        async with (
            HttpProvider(refuse(429, "too many requests", Retry_After="600")).listening() as provider,
            sending(provider.url, connections=4) as sender,
        ):
            first = await sender.send(mails(40))
            assert len(provider.asked) <= 4
            again = await sender.send(mails(40))
            assert len(provider.asked) <= 4
            assert {outcome.verdict for outcome in [*first, *again]} == {Verdict.TEMPORARY}
            assert told(again) == {(Verdict.TEMPORARY, "provider_resting"): 40}
            assert all(timedelta(minutes=9) < (o.retry_after or timedelta()) <= timedelta(minutes=10) for o in again)

    run(main())


def test_a_short_rate_limit_is_waited_for_and_then_all_leave_once() -> None:
    async def once_refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        first = len(provider.asked) == 1
        await (refuse(429, "too many requests", Retry_After="1") if first else say(202))(asked, writer)

    provider = HttpProvider(once_refuse)

    async def main() -> None:
        async with provider.listening(), sending(provider.url, connections=1) as sender:
            outcomes = await sender.send(mails(10))
            assert told(outcomes) == {(Verdict.TEMPORARY, "429"): 1, (Verdict.ACCEPTED, "202"): 9}
            assert len(provider.asked) == 10

    run(main())


@pytest.mark.parametrize("failure", [say(500), hang_up], ids=["500", "hangs up"])
def test_an_outage_costs_a_few_doubts_and_not_all_that_was_due(failure: Answering) -> None:
    async def main() -> None:
        async with (
            HttpProvider(failure).listening() as provider,
            sending(provider.url, connections=5, timeout=2.0) as sender,
        ):
            outcomes = [outcome for _ in range(5) for outcome in await sender.send(mails(50))]
            doubts = [outcome for outcome in outcomes if outcome.verdict is Verdict.UNKNOWN]
            assert len(doubts) == len(provider.asked) <= 5
            assert {outcome.code for outcome in outcomes if outcome not in doubts} == {"provider_resting"}

    run(main())


@pytest.mark.usefixtures("short_breaks")
def test_after_an_outage_one_mail_goes_alone_and_the_others_follow_once_it_is_answered() -> None:
    async def main() -> None:
        provider = HttpProvider(say(503))
        async with provider.listening(), sending(provider.url, connections=5) as sender:
            assert told(await sender.send(mails(5))) == {(Verdict.UNKNOWN, "503"): 5}
            probing = asyncio.Event()

            async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> None:
                if not probing.is_set():
                    assert provider.at_once == 1
                    probing.set()
                    await asyncio.sleep(0.05)
                    assert provider.at_once == 1
                await say(202)(asked, writer)

            provider.answer = slowly
            assert told(await sender.send(mails(20))) == {(Verdict.ACCEPTED, "202"): 20}
            assert probing.is_set()

    run(main())


def test_one_unverified_sender_keeps_nobody_elses_mail_waiting() -> None:
    async def by_sender(asked: Asked, writer: asyncio.StreamWriter) -> None:
        bad = asked.json["from"]["email"] == "bad@example.org"
        await (refuse(403, "not a verified Sender Identity", "from") if bad else say(202))(asked, writer)

    async def main() -> None:
        async with HttpProvider(by_sender).listening() as provider, sending(provider.url, connections=1) as sender:
            bad = [replace(mail, id=f"bad{n}", from_address="bad@example.org") for n, mail in enumerate(mails(3))]
            outcomes = {outcome.id: outcome for outcome in await sender.send([*bad, *mails(3)])}
            assert {outcomes[f"m{n}"].verdict for n in range(3)} == {Verdict.ACCEPTED}
            assert {outcomes[f"bad{n}"].verdict for n in range(3)} == {Verdict.TEMPORARY}

    run(main())


def test_a_wrong_key_is_said_aloud_once_and_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def echo(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await refuse(401, f"no such key: {asked.headers['authorization']}")(asked, writer)

    async def main() -> None:
        async with HttpProvider(echo).listening() as provider, sending(provider.url, connections=3) as sender:
            outcomes = [*await sender.send(mails(3)), *await sender.send(mails(3))]
            assert {outcome.retry_after for outcome in outcomes[:3]} == {SETUP_REST}
            assert KEY not in str(outcomes)
            assert KEY not in repr(sender)
            assert KEY not in str(vars(sender))

    caplog.set_level(logging.DEBUG)
    run(main())
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "401" in said[0]
    assert KEY not in caplog.text


@pytest.mark.parametrize("secret", ["two\nlines", "schlüssel"])
def test_a_key_that_no_header_can_carry_costs_no_message_and_is_not_shown(secret: str) -> None:
    async def main() -> None:
        async with HttpProvider().listening() as provider:
            sender = SendGridSender(SecretStr(secret), url=provider.url)
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code, outcome.retry_after) == (
                Verdict.TEMPORARY,
                "secret_malformed",
                SETUP_REST,
            )
            assert secret not in str(outcome)
            assert provider.asked == []

    run(main())


def test_a_key_is_read_when_it_is_needed_so_that_a_new_one_takes_effect(tmp_path: Any) -> None:
    place = tmp_path / "key"

    async def main() -> None:
        async with HttpProvider().listening() as provider:
            sender = SendGridSender(SecretReference.parse(f"file:{place}"), url=provider.url)
            (missing,) = await sender.send(mails(1))
            assert (missing.verdict, missing.code, missing.retry_after) == (
                Verdict.TEMPORARY,
                "secret_missing",
                SETUP_REST,
            )
            for key in ("first", "second"):
                place.write_text(f"{key}\n")
                await sender.send(mails(1))
            await sender.close()
            assert [asked.headers["authorization"] for asked in provider.asked] == ["Bearer first", "Bearer second"]

    run(main())


def test_mail_of_a_sender_with_a_pool_of_addresses_leaves_from_them(world: World) -> None:
    world.execute(
        "UPDATE dripiq_app.email_sender_identities SET dedicated_ip_pool = 'warm' WHERE tenant_id = :tenant_id"
    )
    world.enroll(ONE_MAIL)

    async def main() -> None:
        async with HttpProvider().listening() as provider, sending(provider.url) as sender:
            await world.worker(sender).drain()
            assert [asked.json["ip_pool_name"] for asked in provider.asked] == ["warm"]

    run(main())


def test_settings_make_a_sender_that_asks_the_configured_api_with_the_named_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAIL_KEY", KEY)

    async def main() -> None:
        async with HttpProvider().listening() as provider:
            settings = load_settings(
                email_channel="sendgrid",
                sendgrid_url=provider.url,
                sendgrid_key="env:MAIL_KEY",
                sendgrid_categories="a, b",
                api_connections=3,
            )
            sender = make_senders(settings)[Channel.EMAIL]
            assert (sender.provider, sender.capacity) == ("sendgrid", 3)
            assert verdicts(await sender.send(mails(1))) == [(Verdict.ACCEPTED, "202")]
            await sender.close()
            assert provider.asked[0].headers["authorization"] == f"Bearer {KEY}"
            assert provider.asked[0].json["categories"] == ["a", "b"]

    run(main())


def test_a_key_crosses_no_network_in_the_clear() -> None:
    for url in ("http://api.sendgrid.com", "ftp://api.sendgrid.com", "api.sendgrid.com", "https://user:pw@example.com"):
        with pytest.raises(ConfigurationError):
            SendGridSender(SecretStr(KEY), url=url)


def test_a_cancelled_send_leaves_the_sender_usable() -> None:
    async def main() -> None:
        provider = HttpProvider(hang)
        async with provider.listening(), sending(provider.url, connections=1) as sender:
            under_way = asyncio.create_task(sender.send(mails(1)))
            await provider.had_one.wait()
            under_way.cancel()
            with pytest.raises(asyncio.CancelledError):
                await under_way
            provider.answer = say(202)
            assert verdicts(await sender.send(mails(1))) == [(Verdict.ACCEPTED, "202")]

    run(main())


def test_a_message_is_not_given_up_for_a_provider_that_refuses_us_however_often(world: World) -> None:
    world.enroll(ONE_MAIL)

    async def main() -> None:
        async with HttpProvider(say(401)).listening() as provider:
            for attempt in range(MAX_ATTEMPTS + 2):
                async with sending(provider.url) as sender:
                    if attempt > MAX_ATTEMPTS:
                        provider.answer = say(202, X_Message_Id="at-last")
                    await world.worker(sender).drain()
                world.clock.pass_(minutes=6)

    run(main())
    (message,) = world.rows("SELECT * FROM dripiq_app.outbound_messages")
    assert (message.status, message.provider_message_id) == ("sent", "at-last")


def test_the_name_that_sendgrid_gave_is_the_one_by_which_its_events_find_the_message(world: World) -> None:
    world.enroll(ONE_MAIL)

    async def main() -> None:
        async with (
            HttpProvider(say(202, X_Message_Id="14c5d75ce93")).listening() as provider,
            sending(provider.url) as sender,
        ):
            await world.worker(sender).drain()

    run(main())
    event = {"event": "delivered", "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0"}
    world.receive(event)
    world.work()
    (message,) = world.rows("SELECT * FROM dripiq_app.outbound_messages")
    assert (message.status, message.provider) == ("delivered", "sendgrid")
