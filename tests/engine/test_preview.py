"""What `preview` says a contact would get is what the engine then sends."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dripiq.channels.folder import FolderSender
from dripiq.domain.assumptions import REACTION, Assumption
from dripiq.domain.plan.verify import check_plan
from dripiq.domain.states import Channel
from dripiq.engine.dispatch import Outbox
from dripiq.engine.knowledge import LINK
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.preview import PreviewedContact, people_of_tenant, preview
from dripiq.repositories.explaining import read_tenant_record
from tests.engine.conftest import World, email_plan

PLANS = Path(__file__).parents[2] / "examples" / "plans"
GALLERY = {path.stem: json.loads(path.read_text()) for path in sorted(PLANS.glob("*.json"))}
BY_EMAIL = [name for name, plan in GALLERY.items() if all(node["channel"] == "email" for node in plan["nodes"])]

RICH = email_plan(
    {
        "id": "intro",
        "variants": [{"subject": "One for {{ contact.name }}"}, {"subject": "Another for {{ lead.name }}"}],
        "transitions": [
            {"on": "opened", "to": "look", "within": "PT72H"},
            {"on": "no_open", "to": "bump", "after": "PT72H"},
        ],
    },
    {
        "id": "look",
        "action": "wait",
        "transitions": [
            {"on": "clicked", "to": "thanks", "within": "PT24H"},
            {"on": "no_click", "to": "bump", "after": "PT24H"},
        ],
    },
    {"id": "thanks", "schedule": {"delay": "PT2H"}},
    {"id": "bump", "replyTo": "previous", "subject": None, "html": "<p>Dear {{ contact.name }}</p>", "body": None},
    timezone="contact",
    quietHours={"start": "20:00", "end": "08:15"},
    sendWindow={"days": ["mon", "tue", "wed", "thu"]},
    jitter="PT2H",
)
RICH["nodes"] = [{k: v for k, v in node.items() if v is not None and (k, node["id"]) != ("subject", "intro")} for node in RICH["nodes"]]  # fmt: skip

Sent = tuple[str, datetime, str | None, str | None, str | None]


def previewed(world: World, plan: dict[str, Any], assumed: Assumption = Assumption.SILENCE) -> list[PreviewedContact]:
    checked = check_plan(plan)
    contacts = [(contact_id, None) for contact_id in world.contacts]
    with world.database.connect() as connection:
        tenant = read_tenant_record(connection, world.tenant_id)
        people = people_of_tenant(connection, world.tenant_id, tenant, checked, contacts, None, world.clock.time)
    return list(preview(checked, people, world.clock.time, assumed))


def live(world: World, assumed: Assumption) -> None:
    """Let a worker do everything in its time, and everybody what is assumed of them in theirs, until all is over."""
    outbox = Outbox(world.database, world.clock, {Channel.EMAIL: FolderSender(world.folder)}, lambda *_: LINK)
    worker, reactions = Worker(outbox, Pace()), dict[str, datetime]()
    kind = {Assumption.OPENS: "open", Assumption.CLICKS: "click"}.get(assumed)
    for _ in range(500):
        asyncio.run(worker.drain())
        fresh = world.rows(
            "SELECT id, sent_at FROM dripiq_app.outbound_messages WHERE sent_at = :now", now=world.clock.time
        )
        reactions |= {row.id: row.sent_at + REACTION for row in fresh if kind is not None}
        due = world.value("SELECT min(run_at) FROM dripiq_app.scheduled_actions WHERE status = 'pending'")
        if (at := min([*reactions.values(), *([due] if due is not None else [])], default=None)) is None:
            return
        world.clock.time = at
        for message_id in [id for id, when in reactions.items() if when == at]:
            del reactions[message_id]
            react_at(world, message_id, str(kind), at)
    raise AssertionError("it does not end")


def react_at(world: World, message_id: str, kind: str, at: datetime) -> None:
    """An event at that very instant: SendGrid's own times are whole seconds."""
    world.receive({"event": kind, "message": message_id, "timestamp": int(at.timestamp())})


def sent(world: World) -> dict[str, list[Sent]]:
    found: dict[str, list[Sent]] = {contact_id: [] for contact_id in world.contacts}
    for row in world.rows(
        "SELECT contact_id, node_id, sent_at, variant, subject, rendered_body FROM dripiq_app.outbound_messages"
        " WHERE sent_at IS NOT NULL ORDER BY sent_at"
    ):
        found[row.contact_id].append((row.node_id, row.sent_at, row.variant, row.subject, row.rendered_body))
    return found


def said(contacts: list[PreviewedContact]) -> dict[str, list[Sent]]:
    return {
        each.contact_id: [(m.node_id, m.at, m.variant, m.subject, m.text) for m in each.messages if m.text is not None]
        for each in contacts
    }


@pytest.fixture
def five(crowd: World) -> World:
    """A tenant with five contacts, in five zones."""
    crowd.contacts = crowd.contacts[:5]
    zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", None, "Australia/Lord_Howe"]
    for contact_id, zone in zip(crowd.contacts, zones, strict=True):
        crowd.execute(
            "UPDATE dripiq_app.lead_point_of_contacts SET timezone = :zone WHERE id = :id", zone=zone, id=contact_id
        )
    return crowd


@pytest.mark.parametrize("assumed", [Assumption.SILENCE, Assumption.OPENS, Assumption.CLICKS])
def test_the_engine_sends_what_was_previewed_when_it_was_previewed(five: World, assumed: Assumption) -> None:
    # Whole seconds, so that a reaction's own time is the one that was assumed.
    plan = RICH if assumed is Assumption.SILENCE else {**RICH, "jitter": "PT0S"}
    expected = said(previewed(five, plan, assumed))
    five.enroll(plan)
    live(five, assumed)
    assert sent(five) == expected
    assert {len(messages) for messages in expected.values()} == {2}


@pytest.mark.parametrize("name", BY_EMAIL)
def test_every_plan_of_the_gallery_is_sent_as_it_was_previewed(five: World, name: str) -> None:
    expected = said(previewed(five, GALLERY[name]))
    five.enroll(GALLERY[name])
    live(five, Assumption.SILENCE)
    assert sent(five) == expected


def test_who_would_not_get_it_is_flagged_with_the_reason_and_nothing_is_written(five: World) -> None:
    plan = email_plan({"id": "intro", "body": "Your {{ contact.external_ref }}"})
    suppressed, enrolled, silent, complete, unreachable = five.contacts
    five.execute("UPDATE dripiq_app.lead_point_of_contacts SET external_ref = 'r' || id WHERE id <> :id", id=silent)
    five.execute("UPDATE dripiq_app.lead_point_of_contacts SET email = NULL WHERE id = :id", id=unreachable)
    five.enroll(email_plan({"id": "old"}), [enrolled])
    five.execute(
        "INSERT INTO dripiq_app.communication_suppressions (id, tenant_id, channel, value, scope, type, source, first_seen_at, last_seen_at)"
        " SELECT id, tenant_id, 'email', email, 'address', 'unsubscribe', 'link', :now, :now FROM dripiq_app.lead_point_of_contacts WHERE id = :id",
        id=suppressed, now=five.clock.time,
    )  # fmt: skip
    tables = "SELECT (SELECT count(*) FROM dripiq_app.contact_campaigns), (SELECT count(*) FROM dripiq_app.outbound_messages)"
    before = five.rows(tables)
    told = {each.contact_id: each for each in previewed(five, plan)}
    assert {id: [(flag.code, flag.is_error) for flag in each.flags] for id, each in told.items()} == {
        suppressed: [("suppressed_unsubscribe", False)],
        enrolled: [("already_enrolled", False)],
        silent: [("template_missing", True)],
        complete: [],
        unreachable: [("no_address", False)],
    }
    assert [len(told[id].messages) for id in (suppressed, enrolled, complete, unreachable)] == [0, 0, 1, 0]
    assert five.rows(tables) == before


def test_a_suppression_that_ends_before_the_message_leaves_does_not_flag_it(world: World) -> None:
    plan = email_plan({"id": "intro", "schedule": {"delay": "P2D"}})
    world.execute(
        "INSERT INTO dripiq_app.communication_suppressions"
        " (id, tenant_id, channel, value, scope, type, source, first_seen_at, last_seen_at, expires_at)"
        " VALUES ('s', :tenant_id, 'email', 'example.com', 'domain', 'manual', 'manual', :now, :now, :ends)",
        now=world.clock.time, ends=world.clock.time + timedelta(days=1),
    )  # fmt: skip
    (told,) = previewed(world, plan)
    assert (len(told.messages), told.flags) == (1, ())


def test_a_sender_that_is_not_verified_is_flagged_and_the_messages_are_shown_all_the_same(world: World) -> None:
    world.execute("UPDATE dripiq_app.email_sender_identities SET validation_status = 'pending'")
    plan = email_plan({"id": "intro", "transitions": [{"on": "no_open", "to": "bump"}]}, {"id": "bump"})
    (told,) = previewed(world, plan)
    assert [(flag.code, flag.node_id) for flag in told.flags] == [("sender_unverified", None)], "once, not by message"
    assert told.messages[0].text == "This is intro."
