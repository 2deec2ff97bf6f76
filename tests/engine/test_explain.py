"""What `explain` says of a contact is what dispatch then does."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

import dripiq
from dripiq.domain.errors import InputError, NotFoundError
from dripiq.domain.explanation import CampaignExplanation, Explanation, Prospect
from dripiq.domain.states import SuppressionScope
from dripiq.engine.explain import explain
from dripiq.engine.steer import pause, pause_sending
from dripiq.engine.suppress import suppress
from dripiq.schema.ids import new_id
from tests.engine.conftest import NOON, ONE_MAIL, World, email_plan, settle_tenant


def explained(world: World, contact: str | None = None, at: datetime | None = None) -> Explanation:
    with world.database.connect() as connection:
        return explain(connection, world.tenant_id, contact or world.contacts[0], at=at, now=world.clock.time)


def only(world: World, at: datetime | None = None) -> CampaignExplanation:
    (campaign,) = explained(world, at=at).campaigns
    return campaign


# ---- the property


@dataclass(frozen=True)
class Circumstances:
    """One contact's world: when it is asked, and what is in the way."""

    hour: int
    waited: int
    delay: str
    second: bool
    quiet: bool = False
    window: bool = False
    tenant_paused: bool = False
    campaign_paused: bool = False
    suppressed: SuppressionScope | None = None
    lasts: timedelta | None = None
    validation: str | None = None
    sender: str = "default"
    address: str = "own"
    body: str = "Hello {{ contact.name }}"
    doubt: bool = False


IN_THE_WAY: list[dict[str, Any]] = [
    {"quiet": True},
    {"window": True},
    {"tenant_paused": True},
    {"campaign_paused": True},
    {"suppressed": SuppressionScope.ADDRESS},
    {"suppressed": SuppressionScope.ADDRESS, "lasts": timedelta(hours=20)},
    {"suppressed": SuppressionScope.DOMAIN, "lasts": timedelta(days=3)},
    {"validation": "invalid"},
    {"validation": "risky"},
    {"sender": "unverified"},
    {"sender": "missing"},
    {"sender": "named"},
    {"sender": "named_unverified"},
    {"address": "none"},
    {"address": "primary"},
    {"body": "Your {{ contact.title }}"},
    {"doubt": True},
]
# Of what is due, and what is not; those due meet the quiet hours as often as not.
TIMES = st.fixed_dictionaries(
    {
        "hour": st.sampled_from([6, 12, 20]),
        "waited": st.sampled_from([0, 2, 30, 34]),
        "delay": st.sampled_from(["PT0S", "PT0S", "PT45M", "P2D"]),
        "second": st.booleans(),
    }
)
WORLDS = st.builds(
    lambda times, obstacles: Circumstances(**times, **dict(pair for each in obstacles for pair in each.items())),
    TIMES,
    st.lists(st.sampled_from(IN_THE_WAY), max_size=3),
)


def make(database: Engine, folder: Path, wanted: Circumstances) -> World:
    """A tenant with one contact in these circumstances, the clock at the time at which it is asked."""
    world = World(database, folder / new_id())
    world.tenant_id, world.sender_id, world.contacts = settle_tenant(database, 1)
    world.clock.time = NOON.replace(hour=wanted.hour)
    other = new_id()
    world.execute(
        "INSERT INTO dripiq_app.email_sender_identities (id, tenant_id, user_id, from_email, from_name, domain, validation_status)"
        " SELECT :other, tenant_id, user_id, 'other@example.com', 'Other', 'example.com', :status"
        " FROM dripiq_app.email_sender_identities WHERE tenant_id = :tenant_id",
        other=other,
        status="verified" if wanted.sender == "named" else "pending",
    )
    if wanted.second:
        world.enroll(plan_of(wanted, other))
        world.work()
    set_up(world, wanted)
    if not wanted.second:
        world.enroll(plan_of(wanted, other))
    if wanted.campaign_paused:
        with world.database.begin() as connection:
            pause(connection, world.tenant_id, [world.campaign().id], now=world.clock.time)
    if wanted.doubt:
        world.execute(
            "UPDATE dripiq_app.scheduled_actions SET status = 'held', reason = 'in_doubt'"
            " WHERE tenant_id = :tenant_id AND action_type = 'send' AND status = 'pending'"
        )
    world.clock.pass_(hours=wanted.waited)
    return world


def set_up(world: World, wanted: Circumstances) -> None:
    """What dispatch is to meet."""
    if wanted.address == "none":
        world.execute("UPDATE dripiq_app.lead_point_of_contacts SET email = NULL WHERE tenant_id = :tenant_id")
    if wanted.address == "primary":
        world.execute(
            "INSERT INTO dripiq_app.contact_channels (id, tenant_id, contact_id, channel, value, is_primary)"
            " SELECT :id, tenant_id, id, 'email', 'primary@example.com', true FROM dripiq_app.lead_point_of_contacts WHERE tenant_id = :tenant_id",
            id=new_id(),
        )
    address = "primary@example.com" if wanted.address == "primary" else "c1@example.com"
    if wanted.validation is not None:
        world.execute(
            "INSERT INTO dripiq_app.email_validation_results (id, tenant_id, email, result_status, source, validated_at)"
            " VALUES (:id, :tenant_id, :email, :result, 'import', :now)",
            id=new_id(), email=address, result=wanted.validation, now=world.clock.time,
        )  # fmt: skip
    if wanted.sender in ("unverified", "missing"):
        change = "validation_status = 'failed'" if wanted.sender == "unverified" else "is_default = false"
        world.execute(f"UPDATE dripiq_app.email_sender_identities SET {change} WHERE id = :id", id=world.sender_id)
    with world.database.begin() as connection:
        if wanted.tenant_paused:
            pause_sending(connection, world.tenant_id, now=world.clock.time, reason="a test")
    if wanted.suppressed is not None:
        value = address if wanted.suppressed is SuppressionScope.ADDRESS else "example.com"
        with world.database.begin() as connection:
            suppress(connection, world.tenant_id, [value], now=world.clock.time, scope=wanted.suppressed)
        if wanted.lasts is not None:
            world.execute(
                "UPDATE dripiq_app.communication_suppressions SET expires_at = :end WHERE tenant_id = :tenant_id",
                end=world.clock.time + wanted.lasts,
            )


def plan_of(wanted: Circumstances, named: str) -> dict[str, Any]:
    told = {"schedule": {"delay": wanted.delay}, "body": wanted.body}
    if wanted.sender.startswith("named"):
        told["senderIdentityId"] = named
    rules: dict[str, Any] = {}
    if wanted.quiet:
        rules["quietHours"] = {"start": "21:00", "end": "07:00"}
    if wanted.window:
        rules["sendWindow"] = {"days": ["mon", "fri"], "start": "09:00", "end": "10:00"}
    if not wanted.second:
        return email_plan({"id": "asked", **told}, **rules)
    first = {
        "id": "first",
        "transitions": [{"on": "no_open", "to": "asked", "after": "PT24H"}, {"on": "replied", "to": "stop"}],
    }
    return email_plan(first, {"id": "asked", **told}, **rules)


def live_until(world: World, target: datetime, rounds: int = 30) -> None:
    """Let a worker do everything in its time, up to and with `target`."""
    worker = world.worker()
    for _ in range(rounds):
        asyncio.run(worker.run_until_idle())
        due = world.value(
            "SELECT min(run_at) FROM dripiq_app.scheduled_actions WHERE tenant_id = :tenant_id AND status = 'pending'"
        )
        if due is None or due > target:
            break
        world.clock.time = max(due, world.clock.time)
    world.clock.time = target
    asyncio.run(worker.run_until_idle())


def action(world: World, said: CampaignExplanation) -> Any:
    """The send that was spoken of."""
    if said.send is None:
        return None
    (row,) = world.rows(
        "SELECT status, reason, run_at FROM dripiq_app.scheduled_actions"
        " WHERE tenant_id = :tenant_id AND action_type = 'send' AND visit = :visit",
        visit=said.send.visit,
    )
    return row


def check_prospect(world: World, said: CampaignExplanation) -> None:
    """One round of a worker does what was said."""
    mails, before = len(world.mails()), action(world, said)
    asyncio.run(world.worker().drain())
    code = said.closed.code if said.closed is not None else None
    assert len(world.mails()) - mails == (said.prospect is Prospect.SENDS)
    match said.prospect:
        case Prospect.HOLDS:
            assert tuple(action(world, said))[:2] == ("held", code)
        case Prospect.PUTS_OFF:
            assert said.closed is not None
            assert tuple(action(world, said)) == ("pending", code, said.closed.until)
        case Prospect.STOPS:
            assert world.campaign().status == "stopped"
            assert (
                world.value(
                    "SELECT reason FROM dripiq_app.campaign_transitions WHERE tenant_id = :tenant_id ORDER BY seq DESC LIMIT 1"
                )
                == code
            )
        case Prospect.NOT_DUE | Prospect.HELD:
            assert action(world, said) == before
        case _:
            assert said.prospect in (Prospect.SENDS, Prospect.NOTHING_TO_SEND)


@example(Circumstances(hour=20, waited=2, delay="PT45M", second=False, quiet=True))
@example(Circumstances(hour=12, waited=30, delay="PT45M", second=False, window=True))
@example(Circumstances(hour=12, waited=0, delay="PT0S", second=False, body="Your {{ contact.title }}"))
@example(Circumstances(hour=12, waited=0, delay="PT0S", second=False, sender="named_unverified"))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=WORLDS)
def test_dispatch_does_what_was_said_and_sends_at_the_instant_that_was_said_and_not_before(
    engine: Engine, tmp_path: Path, wanted: Circumstances
) -> None:
    world = make(engine, tmp_path, wanted)
    try:
        said = only(world)
        mails = len(world.mails())
        check_prospect(world, said)
        leaves = said.next.at if said.next is not None else None
        if leaves is None:
            live_until(world, world.clock.time + timedelta(days=5), rounds=5)
            assert len(world.mails()) == mails
            return
        if leaves > world.clock.time:
            live_until(world, leaves - timedelta(microseconds=1))
            assert len(world.mails()) == mails
        live_until(world, leaves)
        assert len(world.mails()) == mails + 1
    finally:
        world.execute("DELETE FROM dripiq_app.tenants WHERE id = :tenant_id")


# ---- what else is told

OPENED_OR_NOT = email_plan(
    {
        "id": "intro",
        "transitions": [
            {"on": "opened", "to": "thanks", "within": "PT48H"},
            {"on": "replied", "to": "stop"},
            {"on": "no_open", "to": "bump", "after": "PT72H"},
        ],
    },
    {"id": "thanks", "schedule": {"delay": "PT2H"}},
    {"id": "bump"},
    quietHours={"start": "21:00", "end": "07:00"},
)


def test_every_way_on_says_when_its_message_could_leave(world: World) -> None:
    world.enroll(OPENED_OR_NOT)
    world.work()
    world.clock.pass_(hours=8)  # an answer now, at 20:00, would leave at 22:00, were it not for the quiet hours
    said = only(world)
    assert said.next is not None
    assert (said.next.node_id, said.next.at) == ("bump", NOON + timedelta(hours=72))
    ways = {way.on: way for way in said.ways}
    assert list(ways) == ["no_open", "opened", "replied"]
    assert ways["opened"].until == NOON + timedelta(hours=48)
    assert ways["opened"].then is not None
    assert (ways["opened"].then.node_id, ways["opened"].then.at) == ("thanks", NOON + timedelta(hours=19))
    assert (ways["replied"].to, ways["replied"].then) == ("stop", None)
    assert said.why.startswith(
        "The campaign waits for opened or replied until Sat 2026-03-07 12:00:00 UTC; then the message of 'bump'"
    )


def test_ways_are_counted_from_the_leaving_of_a_message_that_has_not_left(world: World) -> None:
    world.enroll(OPENED_OR_NOT)
    assert next((way.on, way.at) for way in only(world).ways) == ("no_open", NOON + timedelta(hours=72))


def test_a_way_whose_time_is_over_is_not_told_any_more(world: World) -> None:
    world.enroll(OPENED_OR_NOT)
    world.work()
    assert [way.on for way in only(world, at=NOON + timedelta(hours=49)).ways] == ["no_open", "replied"]


def test_a_campaign_that_is_over_says_how_it_ended_and_has_nothing_to_come(world: World) -> None:
    world.enroll(ONE_MAIL)
    world.work()
    said = only(world)
    assert said.why == "The campaign came to its end on Wed 2026-03-04 12:00:00 UTC (sent): nothing more is sent."
    assert (said.next, said.gates, said.ways, said.stops_on) == (None, (), (), ())
    assert ([step.to_status for step in said.path], [m.status for m in said.messages]) == (
        ["active", "completed"],
        ["sent"],
    )


def test_a_contact_with_campaigns_on_several_channels_is_told_of_each(world: World) -> None:
    world.enroll(ONE_MAIL)
    texts = {"id": "text", "channel": "sms", "body": "Hello", "subject": None}
    plan = email_plan({key: value for key, value in texts.items() if value is not None})
    plan["nodes"][0].pop("subject")
    world.enroll(plan)
    said = explained(world)
    assert [campaign.channel for campaign in said.campaigns] == ["email", "sms"]
    assert said.why.startswith("Contact 1 has 2 campaigns. EMAIL: ")
    assert "SMS: The message of 'text' stops the campaign: the contact has no address on this channel." in said.why


def test_a_contact_without_a_campaign_says_so_and_a_stranger_is_refused(world: World) -> None:
    assert explained(world).why.startswith("Contact 1 has no campaign")
    for stranger in ("nobody", "nobody@example.com"):
        with pytest.raises(NotFoundError) as raised:
            explained(world, stranger)
        assert raised.value.error_code == "unknown_contact"


def test_an_address_that_two_contacts_have_is_ambiguous(crowd: World) -> None:
    crowd.execute(
        "UPDATE dripiq_app.lead_point_of_contacts SET email = 'c1@example.com' WHERE id = :id", id=crowd.contacts[1]
    )
    with pytest.raises(InputError) as raised:
        explained(crowd, "C1@example.com")
    assert raised.value.facts["ids"] == crowd.contacts[:2]


def test_it_can_be_asked_within_the_tenants_own_role_and_waits_for_no_lock(world: World) -> None:
    world.enroll(email_plan({"id": "intro", "body": "From {{ tenant.name }}"}))
    with world.database.begin() as holder, world.database.connect() as connection:
        holder.execute(text("SELECT FROM dripiq_app.contact_campaigns FOR UPDATE"))
        holder.execute(text("SELECT FROM dripiq_app.scheduled_actions FOR UPDATE"))
        connection.execute(text("SET LOCAL lock_timeout = '1ms'"))
        with dripiq.as_tenant(connection, world.tenant_id):
            (said,) = dripiq.explain(connection, world.tenant_id, world.contacts[0], now=world.clock.time).campaigns
    assert said.prospect is Prospect.SENDS
