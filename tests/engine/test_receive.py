"""A person who writes back is heard, once, by the right campaign; machines that answer are not taken for people, and what bounces is not written to again."""

from email import message_from_bytes

import pytest

from dripiq.channels.folder import FolderSender
from dripiq.channels.inbound_readers import IMAP
from dripiq.domain.reply_address import ReplyAddresses
from dripiq.domain.states import Channel
from dripiq.engine.arrive import arrive
from dripiq.engine.dispatch import Outbox
from dripiq.engine.loop import Pace, Worker
from dripiq.schema.ids import new_id
from tests.engine.conftest import World, email_plan, settle_tenant
from tests.unit.test_inbound_message import arf, dsn, mail

REMIND = email_plan(
    {
        "id": "intro",
        "transitions": [{"on": "no_reply", "to": "bump", "after": "PT72H"}, {"on": "blocked", "to": "bump"}],
    },
    {"id": "bump"},
)


def bring(world: World, raw: bytes) -> bool:
    """A mail comes in, and is archived."""
    with world.database.begin() as connection:
        return arrive(connection, IMAP, raw, world.clock.time)


def to_us(world: World, body: str = "Sounds good.", *, answers: str | None = None, **headers: str) -> bytes:
    """A mail to our sender that answers a message of ours (the intro, unless said); dated by the clock."""
    about = world.message() if answers is None else answers
    dated = world.clock.time.strftime("%a, %d %b %Y %H:%M:%S +0000")
    return mail(
        body,
        **{
            "From": "c1@example.com",
            "To": "Sender <sender@example.com>",
            "In_Reply_To": f"<{about}@example.com>" if about else "",
            "Date": dated,
            "Message_ID": f"<{new_id()}@mua.test>",
            **headers,
        },
    )


def stored(world: World) -> list[tuple[str, bool]]:
    """What came in: its class, and whether it found its campaign."""
    rows = world.rows(
        "SELECT classification, contact_campaign_id FROM dripiq_app.inbound_messages ORDER BY created_at, id"
    )
    return [(row.classification, row.contact_campaign_id is not None) for row in rows]


def events(world: World) -> list[str]:
    return [row.event_type for row in world.rows("SELECT event_type FROM dripiq_app.message_events ORDER BY event_at")]


@pytest.fixture
def asked(world: World) -> World:
    """A contact who was sent the first message an hour ago."""
    world.enroll(REMIND)
    world.work()
    world.clock.pass_(hours=1)
    return world


def test_a_reply_ends_the_campaign_and_both_its_row_and_its_event_say_so(asked: World) -> None:
    assert bring(asked, to_us(asked))
    asked.work()
    assert asked.campaign().status == "stopped"
    assert stored(asked) == [("reply", True)]
    (event,) = asked.rows("SELECT * FROM dripiq_app.message_events")
    assert (event.event_type, event.outbound_message_id, event.event_at) == (
        "replied",
        asked.message(),
        asked.clock.time,
    )
    (row,) = asked.rows("SELECT * FROM dripiq_app.inbound_messages")
    assert event.payload["inbound_message_id"] == row.id == event.id
    assert (row.from_address, row.to_address, row.contact_id) == (
        "c1@example.com",
        "sender@example.com",
        asked.contacts[0],
    )
    assert row.text.startswith("Sounds good.")
    assert asked.value("SELECT status FROM dripiq_app.webhook_deliveries") == "processed"
    asked.clock.pass_(hours=100)
    asked.work()
    assert len(asked.mails()) == 1


def test_the_same_mail_again_changes_nothing_however_it_comes(asked: World) -> None:
    raw = to_us(asked)
    assert bring(asked, raw)
    assert not bring(asked, raw)
    asked.work()
    assert bring(asked, b"Received: by another way\r\n" + raw)
    asked.work()
    assert stored(asked) == [("reply", True)]
    assert events(asked) == ["replied"]


def test_two_copies_in_one_batch_are_one_reply(asked: World) -> None:
    raw = to_us(asked)
    bring(asked, raw)
    bring(asked, b"Received: by another way\r\n" + raw)
    asked.work()
    assert (stored(asked), events(asked)) == ([("reply", True)], ["replied"])


def test_an_out_of_office_moves_nothing(asked: World) -> None:
    bring(asked, to_us(asked, Auto_Submitted="auto-replied", Subject="Out of office"))
    asked.work()
    assert asked.campaign().status == "active"
    assert (stored(asked), events(asked)) == ([("auto_reply", True)], [])
    asked.clock.pass_(hours=72)
    asked.work()
    assert len(asked.mails()) == 2


def test_a_reply_is_found_by_references_where_it_answers_somebody_else(asked: World) -> None:
    raw = to_us(
        asked,
        answers="",
        References=f"<{asked.message()}@example.com> <other@mua.test>",
        In_Reply_To="<other@mua.test>",
    )
    bring(asked, raw)
    asked.work()
    assert (stored(asked), asked.campaign().status) == ([("reply", True)], "stopped")


def test_a_reply_from_another_address_counts_where_it_answers_ours(asked: World) -> None:
    bring(asked, to_us(asked, From="assistant@elsewhere.test"))
    asked.work()
    assert asked.campaign().status == "stopped"


def test_a_reply_without_a_thread_is_found_by_sender_and_subject(asked: World) -> None:
    bring(asked, to_us(asked, answers="", Subject="AW: Re: hello  Contact 1"))
    asked.work()
    assert (stored(asked), asked.campaign().status) == ([("reply", True)], "stopped")


@pytest.mark.parametrize(
    "headers", [{"Subject": "Something else"}, {"From": "stranger@example.com", "Subject": "Re: Hello Contact 1"}]
)
def test_what_fits_in_one_of_both_only_is_kept_and_moves_nothing(asked: World, headers: dict[str, str]) -> None:
    bring(asked, to_us(asked, answers="", **headers))
    asked.work()
    assert (stored(asked), events(asked), asked.campaign().status) == ([("reply", False)], [], "active")


def test_what_our_own_sender_wrote_is_no_reply(asked: World) -> None:
    bring(asked, to_us(asked, From="sender@example.com"))
    asked.work()
    assert (stored(asked), events(asked), asked.campaign().status) == ([("unknown", True)], [], "active")


def test_a_reply_stops_colleagues_where_the_plan_says_so(crowd: World) -> None:
    crowd.enroll({**REMIND, "stopCompanyOnReply": True}, crowd.contacts[:3])
    crowd.work()
    crowd.clock.pass_(hours=1)
    (first, *_) = crowd.rows("SELECT id FROM dripiq_app.outbound_messages ORDER BY id")
    bring(crowd, to_us(crowd, answers=first.id))
    crowd.work()
    assert crowd.rows("SELECT DISTINCT status FROM dripiq_app.contact_campaigns") == [("stopped",)]


def returned(world: World, raw: bytes, message: str | None = None) -> bytes:
    """A report, about a message of ours, to our sender."""
    name = f"{message or world.message()}@example.com"
    return raw.replace(b"abcdefghijklmnopqrstuvwx@acme.test", name.encode()).replace(
        b"sender@acme.test", b"sender@example.com"
    )


def test_a_hard_bounce_suppresses_the_address_that_was_written_to(asked: World) -> None:
    bring(asked, returned(asked, dsn("failed", "5.1.1")))
    asked.work()
    assert asked.rows("SELECT value, type, source FROM dripiq_app.communication_suppressions") == [
        ("c1@example.com", "bounce", "webhook")
    ]
    assert (stored(asked), events(asked), asked.campaign().status) == ([("bounce", True)], ["bounced"], "stopped")
    assert asked.value("SELECT status FROM dripiq_app.outbound_messages") == "bounced"


def test_a_full_mailbox_suppresses_nobody_and_a_plan_can_answer_it(asked: World) -> None:
    bring(asked, returned(asked, dsn("failed", "5.2.2")))
    asked.work()
    assert asked.value("SELECT count(*) FROM dripiq_app.communication_suppressions") == 0
    assert (events(asked), asked.campaign().current_node_id) == (["blocked"], "bump")


def test_a_delay_is_noted(asked: World) -> None:
    bring(asked, returned(asked, dsn("delayed", "4.4.1")))
    asked.work()
    assert (events(asked), asked.campaign().status) == (["deferred"], "active")
    assert asked.value("SELECT status FROM dripiq_app.outbound_messages") == "deferred"


def test_a_complaint_suppresses_and_stops(asked: World) -> None:
    bring(asked, returned(asked, arf("abuse")))
    asked.work()
    assert asked.rows("SELECT value, type FROM dripiq_app.communication_suppressions") == [
        ("c1@example.com", "spamreport")
    ]
    assert (stored(asked), asked.campaign().status) == ([("complaint", True)], "stopped")


def test_a_report_that_returns_no_mail_of_ours_silences_nobody(asked: World) -> None:
    forged = (
        dsn("failed", "5.1.1")
        .replace(b"gone@example.com", b"c1@example.com")
        .replace(b"sender@acme", b"sender@example")
    )
    bring(asked, forged.replace(b"example.test", b"example.com"))
    asked.work()
    assert asked.value("SELECT count(*) FROM dripiq_app.communication_suppressions") == 0
    assert (stored(asked), events(asked), asked.campaign().status) == ([("bounce", False)], [], "active")


def test_mail_to_nobody_is_quarantined_once(world: World) -> None:
    assert bring(world, mail())
    assert not bring(world, mail())
    assert world.rows("SELECT provider, reason FROM dripiq_app.webhook_quarantine") == [("imap", "unknown_tenant")]


def test_an_address_that_two_tenants_use_leads_to_the_one_whose_mail_is_answered(asked: World) -> None:
    settle_tenant(asked.database, 1, "Neighbour")
    bring(asked, to_us(asked))
    asked.work()
    assert asked.campaign().status == "stopped"
    bring(asked, to_us(asked, answers=""))
    assert asked.value("SELECT count(*) FROM dripiq_app.webhook_quarantine") == 1


def test_a_mail_to_one_tenant_that_answers_anothers_mail_moves_nothing_there(asked: World) -> None:
    other, _, _ = settle_tenant(asked.database, 1, "Neighbour")
    asked.execute(
        "UPDATE dripiq_app.email_sender_identities SET from_email = 'sales@neighbour.test', domain = 'neighbour.test'"
        " WHERE tenant_id = :other",
        other=other,
    )
    bring(asked, to_us(asked, To="sales@neighbour.test"))
    asked.work()
    assert asked.campaign().status == "active"
    assert asked.value("SELECT tenant_id FROM dripiq_app.inbound_messages") == other


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 2001 00:00:00 +0000", "Mon, 01 Jan 2035 00:00:00 +0000", "yesterday", ""]
)
def test_a_date_that_cannot_be_is_not_believed(asked: World, date: str) -> None:
    bring(asked, to_us(asked, Date=date))
    asked.work()
    assert asked.value("SELECT event_at FROM dripiq_app.message_events") == asked.clock.time


def test_a_reply_to_a_message_in_doubt_proves_that_it_was_taken(asked: World) -> None:
    asked.execute("UPDATE dripiq_app.outbound_messages SET status = 'in_doubt', sent_at = NULL")
    bring(asked, to_us(asked))
    asked.work()
    assert asked.value("SELECT status FROM dripiq_app.outbound_messages") == "delivered"
    assert asked.campaign().status == "stopped"


def test_bytes_that_are_no_mail_harm_nobody_elses(asked: World) -> None:
    bring(
        asked,
        b"To: sender@example.com\r\nFrom: \xff\0@\r\nSubject: \xff\0\r\nContent-Type: text/plain; charset=zip\r\n\r\n\xff\0",
    )
    bring(asked, to_us(asked))
    asked.work()
    assert asked.campaign().status == "stopped"
    assert len(stored(asked)) == 2


ADDRESSES = ReplyAddresses("answers.example.com", "a secret of the test, of forty letters ..")


def work_at_own_addresses(world: World) -> None:
    outbox = Outbox(world.database, world.clock, {Channel.EMAIL: FolderSender(world.folder)}, replies=ADDRESSES)
    world.work(Worker(outbox, Pace()))


def test_an_answer_to_a_messages_own_address_needs_no_thread_and_no_subject(world: World) -> None:
    settle_tenant(world.database, 1, "Neighbour")
    world.enroll(REMIND)
    work_at_own_addresses(world)
    (sent,) = world.mails()
    own = message_from_bytes(sent.read_bytes())["Reply-To"]
    assert own == ADDRESSES.of(world.message())
    raw = to_us(world, answers="", From="assistant@elsewhere.test", To=f"Sender <{own.upper()}>", Subject="Lunch?")
    forged = raw.replace(own.upper().encode(), own.upper().replace("@", "A@").encode())
    with world.database.begin() as connection:
        for each in (forged, raw):
            arrive(connection, IMAP, each, world.clock.time, ADDRESSES)
    work_at_own_addresses(world)
    assert (stored(world), world.campaign().status) == ([("reply", True)], "stopped")
    assert world.value("SELECT count(*) FROM dripiq_app.webhook_quarantine") == 1


def test_a_report_to_a_messages_own_address_that_returns_no_mail_of_ours_silences_nobody(asked: World) -> None:
    forged = dsn("failed", "5.1.1").replace(b"sender@acme.test", ADDRESSES.of(asked.message()).encode())
    with asked.database.begin() as connection:
        arrive(connection, IMAP, forged, asked.clock.time, ADDRESSES)
    work_at_own_addresses(asked)
    assert asked.value("SELECT count(*) FROM dripiq_app.communication_suppressions") == 0
    assert asked.campaign().status == "active"


def test_a_sender_with_a_reply_address_keeps_it(world: World) -> None:
    world.execute("UPDATE dripiq_app.email_sender_identities SET reply_to = 'team@example.com'")
    world.enroll(REMIND)
    work_at_own_addresses(world)
    (sent,) = world.mails()
    assert message_from_bytes(sent.read_bytes())["Reply-To"] == "team@example.com"
