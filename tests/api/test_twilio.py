"""Twilio is answered 2xx only for what is committed; what it reports of messages, and what people text back, reaches the right campaign, once."""

import asyncio
import hmac
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from dripiq.channels.base import Outcome, OutgoingMessage, Sender, Verdict
from dripiq.channels.folder import FolderSender
from dripiq.channels.twilio_events import read_events
from dripiq.channels.twilio_request import pack, verify_signature
from dripiq.domain.states import Channel, SuppressionType
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.replay import Report, Scope, plan_replay, replay
from dripiq.engine.route import route_again
from dripiq.schema.ids import new_id
from tests.api.conftest import Api, Serve, problem_of
from tests.engine.conftest import NOON, HandClock, World, email_plan, settle_tenant

TOKEN = "a token of the account"
PUBLIC = "https://reach.example.com"
PATH = "/webhooks/twilio"
OURS, THEIRS = "+4915112345678", "+4917612345678"
WAITS = email_plan(
    {"id": "text", "channel": "sms", "transitions": [{"on": "no_reply", "to": "again", "after": "PT72H"}]},
    {"id": "again", "channel": "sms"},
)
for _node in WAITS["nodes"]:
    del _node["subject"]


class Texts:
    """Takes every text, as Twilio does, and gives it a name; or refuses it for good."""

    provider = "twilio"
    channel = Channel.SMS
    capacity = 10
    timeout = timedelta(seconds=1)

    def __init__(self, closes: SuppressionType | None = None) -> None:
        self.closes = closes
        self.taken: list[OutgoingMessage] = []

    async def send(self, batch: list[OutgoingMessage]) -> list[Outcome]:
        if self.closes is not None:
            return [Outcome(m.id, Verdict.PERMANENT, code="21610", closes=self.closes) for m in batch]
        self.taken += batch
        return [Outcome(m.id, Verdict.ACCEPTED, f"SM{m.id}", "201") for m in batch]

    async def close(self) -> None:
        pass


@dataclass
class Phones:
    """Tenants with one contact each, who all have the same number, and Twilio's side of the API."""

    api: Api
    worlds: list[World]
    texts: Texts

    def work(self, world: World, texts: Texts | None = None) -> None:
        senders: dict[Channel, Sender] = {Channel.EMAIL: FolderSender(world.folder), Channel.SMS: texts or self.texts}  # type: ignore[dict-item]
        asyncio.run(Worker(Outbox(world.database, world.clock, senders), Pace()).run_until_idle())

    def post(self, fields: dict[str, str], *, query: str = "", token: str = TOKEN, **headers: str) -> httpx.Response:
        url = f"{PUBLIC}{PATH}{'?' if query else ''}{query}"
        said = url + "".join(name + fields[name] for name in sorted(fields))
        signature = b64encode(hmac.digest(token.encode(), said.encode(), "sha1")).decode()
        return self.api.client.post(
            f"{PATH}{'?' if query else ''}{query}",
            content=urlencode(fields),
            headers={
                "X-Twilio-Signature": signature,
                "Content-Type": "application/x-www-form-urlencoded",
                **headers,
            },
        )

    def report(self, world: World, status: str, **fields: str) -> httpx.Response:
        """Twilio reports on the world's message, at the address that was asked for it."""
        (message,) = world.rows("SELECT id FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id")
        query = urlencode({"dripiq_tenant": world.tenant_id, "dripiq_message": message.id})
        return self.post(
            {"MessageSid": f"SM{message.id}", "MessageStatus": status, "To": THEIRS, "From": OURS, **fields},
            query=query,
        )

    def write(self, text: str, sid: str = "SM1", **fields: str) -> httpx.Response:
        """Somebody writes to our number."""
        return self.post(
            {"MessageSid": sid, "SmsStatus": "received", "From": THEIRS, "To": OURS, "Body": text, **fields}
        )


def make_phones(api: Api, folder: Path, tenants: int) -> Phones:
    worlds = []
    texts = Texts()
    for number in range(tenants):
        world = World(api.engine, folder / str(number), clock=HandClock(datetime.now(UTC)))
        world.tenant_id, world.sender_id, world.contacts = settle_tenant(api.engine, 1, f"Tenant {number}")
        world.execute(
            "INSERT INTO dripiq_app.contact_channels (id, tenant_id, contact_id, channel, value, is_primary)"
            " VALUES (:id, :tenant_id, :contact_id, 'sms', :number, true)",
            id=new_id(),
            contact_id=world.contacts[0],
            number=THEIRS,
        )
        world.enroll(WAITS)
        worlds.append(world)
    phones = Phones(api, worlds, texts)
    for world in worlds:
        phones.work(world)
        world.clock.pass_(minutes=1)
    return phones


@pytest.fixture
def phones(serve_api: Serve, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phones:
    """One tenant, whose contact was sent a text."""
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    return make_phones(serve_api(database, twilio_auth_token="env:TWILIO_TOKEN", public_url=PUBLIC), tmp_path, 1)


def campaigns(world: World) -> list[str]:
    return [
        row.status for row in world.rows("SELECT status FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id")
    ]


def suppressed(world: World) -> list[Any]:
    return world.rows(
        "SELECT channel, value, type, source, expires_at IS NULL AS open FROM dripiq_app.communication_suppressions"
        " WHERE tenant_id = :tenant_id"
    )


STOPPED = [("sms", THEIRS, "unsubscribe", "reply", True)]


def test_the_documented_example_of_a_signature_is_verified() -> None:
    """Twilio, "Security": its URL, form, token and signature."""
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+12349013030",
        "Digits": "1234",
        "From": "+12349013030",
        "To": "+18005551212",
    }
    for url in ("https://mycompany.com/myapp.php?foo=1&bar=2", "https://mycompany.com:443/myapp.php?foo=1&bar=2"):
        verify_signature("12345", "0/KCTR6DLpKmkAf8muzZqo1nDgQ=", url, urlencode(form).encode())


def test_what_twilio_did_not_sign_gets_401_and_is_not_kept(phones: Phones) -> None:
    forged = phones.post({"MessageSid": "SM1", "Body": "STOP", "From": THEIRS}, token="another")
    assert (forged.status_code, problem_of(forged)["code"]) == (401, "bad_signature")
    moved = phones.report(phones.worlds[0], "delivered").request
    elsewhere = phones.api.client.post(PATH, content=moved.content, headers=dict(moved.headers))  # without its query
    assert elsewhere.status_code == 401
    bare = phones.api.client.post(PATH, content=b"Body=STOP")
    assert problem_of(bare)["code"] == "missing_signature"
    assert len(phones.api.deliveries()) == 1


def test_without_a_token_or_an_address_the_webhook_is_closed(api: Api) -> None:
    assert problem_of(api.client.post(PATH, content=b"a=b"))["code"] == "webhook_closed"


def test_reports_are_archived_before_the_answer_and_become_events_once(phones: Phones) -> None:
    (world,) = phones.worlds
    for _ in range(2):
        response = phones.report(world, "delivered")
        assert (response.status_code, response.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    phones.report(world, "delivered", ChannelToAddress="again, in other bytes")
    assert len(phones.api.deliveries()) == 2
    phones.work(world)
    assert world.rows("SELECT provider, event_type FROM dripiq_app.message_events") == [("twilio", "delivered")]
    assert world.value("SELECT status FROM dripiq_app.outbound_messages") == "delivered"


def test_a_report_settles_a_doubt_by_our_own_ids(phones: Phones) -> None:
    (world,) = phones.worlds
    world.execute(
        "UPDATE dripiq_app.outbound_messages SET status = 'in_doubt', sent_at = NULL, provider_message_id = NULL"
    )
    phones.report(world, "sent")
    phones.work(world)
    assert world.rows("SELECT status, sent_at IS NOT NULL FROM dripiq_app.outbound_messages") == [("sent", True)]


@pytest.mark.parametrize(
    ("status", "code", "event", "closed"),
    [
        ("undelivered", "30005", ["bounced"], [("sms", THEIRS, "bounce", "webhook", True)]),
        ("undelivered", "30003", ["blocked"], []),
        ("failed", "30007", ["dropped"], []),
        ("failed", "21610", ["dropped", "unsubscribed"], STOPPED),
        ("of another kind", "", [], []),
    ],
)
def test_each_report_means_what_twilio_documents(
    phones: Phones, status: str, code: str, event: list[str], closed: list[Any]
) -> None:
    (world,) = phones.worlds
    phones.report(world, status, ErrorCode=code)
    phones.work(world)
    assert [
        row.event_type for row in world.rows("SELECT event_type FROM dripiq_app.message_events ORDER BY 1")
    ] == event
    assert suppressed(world) == closed


def test_a_text_back_is_a_reply_of_the_last_message_to_that_number(phones: Phones) -> None:
    (world,) = phones.worlds
    for _ in range(2):
        phones.write("Yes please \U0001f600")
    phones.work(world)
    assert campaigns(world) == ["stopped"]
    (row,) = world.rows("SELECT * FROM dripiq_app.inbound_messages")
    assert (row.channel, row.from_address, row.to_address, row.text, row.classification) == (
        "sms", THEIRS, OURS, "Yes please \U0001f600", "reply",
    )  # fmt: skip
    assert (row.contact_id, row.provider_message_id) == (world.contacts[0], "SM1")
    assert world.rows("SELECT event_type, confidence FROM dripiq_app.message_events") == [("replied", "human")]
    assert suppressed(world) == []


@pytest.mark.parametrize(
    ("text", "event"),
    [
        *((word, "unsubscribed") for word in ("STOP", " Stop\n", "stopall", "UNSUBSCRIBE", "Cancel", "END", "quit")),
        *((word, "resubscribed") for word in ("START", "unstop")),
        *((word, "replied") for word in ("Yes", "Stop please", "help", "")),
    ],
)
def test_the_words_are_those_that_twilio_documents(text: str, event: str) -> None:
    raw = pack("", urlencode({"MessageSid": "SM1", "From": THEIRS, "To": OURS, "Body": text}).encode())
    (found,), faults = read_events(raw, NOON)
    assert (found.event_type, faults) == (event, [])


def test_a_stop_suppresses_the_number_and_ends_the_campaign_and_a_start_lifts_it(phones: Phones) -> None:
    (world,) = phones.worlds
    phones.write("Stop\n")
    phones.work(world)
    assert (suppressed(world), campaigns(world)) == (STOPPED, ["stopped"])
    world.clock.pass_(minutes=5)
    phones.write("start", "SM2")
    phones.work(world)
    assert suppressed(world) == [(*STOPPED[0][:4], False)]
    assert campaigns(world) == ["stopped"]  # what has ended stays so; another enrolment may write again
    world.clock.pass_(minutes=1)
    world.enroll(WAITS)
    phones.work(world)
    assert len(phones.texts.taken) == 2


def test_a_start_lifts_nothing_that_something_else_has_closed_and_no_later_stop(phones: Phones) -> None:
    from dripiq.engine.suppress import unsubscribe

    (world,) = phones.worlds
    phones.write("STOP")
    phones.work(world)
    with world.database.begin() as connection:
        unsubscribe(connection, world.tenant_id, THEIRS, channel=Channel.SMS, now=world.clock.time)
    phones.write("START", "SM2")
    phones.work(world)
    assert suppressed(world) == [("sms", THEIRS, "unsubscribe", "link", True)]


def test_a_start_lifts_what_a_stop_closed_after_something_else_had_ended(phones: Phones) -> None:
    from dripiq.engine.suppress import unsubscribe

    (world,) = phones.worlds
    with world.database.begin() as connection:
        unsubscribe(
            connection, world.tenant_id, THEIRS, channel=Channel.SMS, now=world.clock.time - timedelta(minutes=5)
        )
    world.execute("UPDATE dripiq_app.communication_suppressions SET expires_at = first_seen_at + interval '1 second'")
    phones.write("STOP")
    phones.work(world)
    assert suppressed(world) == STOPPED
    phones.write("START", "SM2")
    phones.work(world)
    assert suppressed(world) == [(*STOPPED[0][:4], False)]


def test_a_stop_is_heard_from_a_number_that_the_contact_no_longer_has(phones: Phones) -> None:
    (world,) = phones.worlds
    world.execute(
        "UPDATE dripiq_app.contact_channels SET value = '+4917699999999' WHERE tenant_id = :tenant_id AND channel = 'sms'"
    )
    phones.write("STOP")
    phones.work(world)
    assert (suppressed(world), campaigns(world)) == (STOPPED, ["stopped"])


def test_a_sentence_with_stop_in_it_is_a_reply_but_for_the_accounts_own_words(phones: Phones) -> None:
    (world,) = phones.worlds
    phones.write("Please stop by tomorrow")
    phones.work(world)
    assert (suppressed(world), campaigns(world)) == ([], ["stopped"])
    phones.write("Genug jetzt", "SM2", OptOutType="STOP")
    phones.work(world)
    assert suppressed(world) == STOPPED


def test_a_number_that_twilio_refuses_for_its_stop_is_suppressed(phones: Phones) -> None:
    (world,) = phones.worlds
    world.clock.pass_(hours=80)
    phones.work(world, Texts(closes=SuppressionType.UNSUBSCRIBE))
    assert (suppressed(world), campaigns(world)) == (STOPPED, ["error"])


def test_a_stop_concerns_all_who_write_from_our_number_and_a_reply_whom_it_answers(
    serve_api: Serve, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    phones = make_phones(serve_api(database, twilio_auth_token="env:TWILIO_TOKEN", public_url=PUBLIC), tmp_path, 2)
    first, last = phones.worlds
    last.execute(
        "UPDATE dripiq_app.outbound_messages SET created_at = created_at + interval '1 hour' WHERE tenant_id = :tenant_id"
    )
    phones.write("Hello?")
    phones.work(last)
    assert (campaigns(first), campaigns(last)) == (["active"], ["stopped"])
    phones.write("STOP", "SM2")
    phones.work(last)
    assert suppressed(first) == suppressed(last) == STOPPED
    assert campaigns(first) == ["stopped"]


def test_what_is_nobodys_is_quarantined_and_comes_to_its_tenant_later(phones: Phones) -> None:
    (world,) = phones.worlds
    fields = {"MessageSid": "SMlater", "MessageStatus": "delivered", "To": THEIRS, "From": OURS}
    phones.post(fields)
    phones.post({**fields, "MessageStatus": "sent"}, query="dripiq_tenant=somebody")
    phones.write("Who are you?", From="+491")
    assert [row.reason for row in phones.api.quarantined()] == ["unknown_tenant"] * 3
    world.execute("UPDATE dripiq_app.outbound_messages SET provider_message_id = 'SMlater'")
    assert route_again(world.database).stored == 1
    phones.work(world)
    assert world.rows("SELECT event_type FROM dripiq_app.message_events") == [("delivered",)]
    phones.post({**fields, "MessageStatus": "failed"}, query="dripiq_tenant=somebody")
    assert [row.reason for row in phones.api.quarantined()][-1] == "other_tenant"
    assert route_again(world.database).stored == 0


def test_a_text_never_comes_to_who_wrote_to_that_number_only_later(phones: Phones, tmp_path: Path) -> None:
    number = "+4917611111111"
    (world,) = phones.worlds
    later = World(world.database, tmp_path / "later", clock=HandClock(datetime.now(UTC)))
    later.tenant_id, later.sender_id, later.contacts = settle_tenant(world.database, 1, "Later")
    later.execute(
        "INSERT INTO dripiq_app.contact_channels (id, tenant_id, contact_id, channel, value, is_primary)"
        " VALUES (:id, :tenant_id, :contact_id, 'sms', :number, true)",
        id=new_id(),
        contact_id=later.contacts[0],
        number=number,
    )
    phones.write("What nobody else is to read", From=number)
    assert [row.reason for row in phones.api.quarantined()] == ["unknown_tenant"]
    later.clock.pass_(minutes=5)
    later.enroll(WAITS)
    phones.work(later)
    assert len(phones.texts.taken) == 2
    assert route_again(world.database).stored == 0
    assert [row.reason for row in phones.api.quarantined()] == ["unknown_tenant"]


def test_the_archive_of_texts_can_be_replayed(phones: Phones) -> None:
    (world,) = phones.worlds
    phones.report(world, "delivered")
    phones.write("STOP")
    phones.work(world)

    def replayed(*, apply: bool) -> Report:
        with world.database.connect() as connection:
            scope = Scope(world.clock.time - timedelta(days=1), world.clock.time + timedelta(days=1), apply=apply)
            scope, (archived,) = plan_replay(connection, scope, world.tenant_id)
        return replay(world.database, world.clock, archived, scope, lambda _: None)

    assert not replayed(apply=False).events
    for table in ("message_events", "inbound_messages", "communication_suppressions"):
        world.execute(f"DELETE FROM dripiq_app.{table}")
    report = replayed(apply=True)
    assert (dict(report.events), dict(report.suppressions)) == ({"delivered": 1, "unsubscribed": 1}, {"unsubscribe": 1})
    assert suppressed(world) == STOPPED
    assert world.value("SELECT text FROM dripiq_app.inbound_messages") == "STOP"


def test_a_text_that_is_delivered_again_in_other_bytes_differs_in_nothing(phones: Phones) -> None:
    (world,) = phones.worlds
    phones.write("hello")
    phones.write("hello", Extra="1")
    phones.work(world)
    with world.database.connect() as connection:
        scope = Scope(world.clock.time - timedelta(days=1), world.clock.time + timedelta(days=1))
        scope, (archived,) = plan_replay(connection, scope, world.tenant_id)
    report = replay(world.database, world.clock, archived, scope, lambda _: None)
    assert (report.deliveries, report.differing) == (2, 0)


def test_the_link_in_a_text_is_about_texts() -> None:
    from dripiq.config.settings import Settings
    from dripiq.domain.unsubscribe import read
    from dripiq.wiring import unsubscribe_links

    secret = "an installation's secret, of 32 characters or more"
    make = unsubscribe_links(Settings(public_url=PUBLIC, secret=secret))
    assert make is not None
    assert read(make("t1", Channel.SMS, THEIRS).rpartition("/")[2], secret).channel == Channel.SMS
