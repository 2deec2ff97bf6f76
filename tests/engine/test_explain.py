"""What `explain` says of a contact is what dispatch then does."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from dripiq.domain.explanation import CampaignExplanation, Explanation, Prospect
from dripiq.domain.states import SuppressionScope
from dripiq.engine.explain import explain
from dripiq.engine.steer import pause, pause_sending
from dripiq.engine.suppress import suppress
from dripiq.schema.ids import new_id
from tests.engine.conftest import NOON, World, email_plan, settle_tenant


def explained(world: World, contact: str | None = None, at: datetime | None = None) -> Explanation:
    with world.database.connect() as connection:
        return explain(connection, world.tenant_id, contact or world.contacts[0], at=at, now=world.clock.time)


def only(world: World, at: datetime | None = None) -> CampaignExplanation:
    (campaign,) = explained(world, at=at).campaigns
    return campaign


# ---- the property


@dataclass(frozen=True)
class Circumstances:
    """One contact's world."""

    hour: int
    waited: int
    delay: str
    quiet: bool
    window: bool
    second: bool
    tenant_paused: bool
    campaign_paused: bool
    suppression: tuple[SuppressionScope, timedelta | None] | None
    validation: str | None
    sender: str
    address: str
    body: str
    doubt: bool


rare = st.sampled_from([False] * 6 + [True])
WORLDS = st.builds(
    Circumstances,
    hour=st.sampled_from([3, 6, 12, 20, 23]),
    waited=st.sampled_from([0, 0, 1, 30, 100]),
    delay=st.sampled_from(["PT0S", "PT0S", "PT45M", "P2D"]),
    quiet=st.booleans(),
    window=rare,
    second=st.booleans(),
    tenant_paused=rare,
    campaign_paused=rare,
    suppression=st.none()
    | st.none()
    | st.tuples(st.sampled_from(SuppressionScope), st.sampled_from([None, timedelta(hours=1), timedelta(days=3)])),
    validation=st.sampled_from([None, None, "valid", "risky", "invalid"]),
    sender=st.sampled_from(["default"] * 3 + ["unverified", "missing", "named", "named_unverified"]),
    address=st.sampled_from(["own", "own", "own", "primary", "none"]),
    body=st.sampled_from(["Hello {{ contact.name }}"] * 4 + ["Your {{ contact.title }}"]),
    doubt=rare,
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
    if wanted.suppression is not None:
        scope, lasts = wanted.suppression
        value = address if scope is SuppressionScope.ADDRESS else "example.com"
        with world.database.begin() as connection:
            suppress(connection, world.tenant_id, [value], now=world.clock.time, scope=scope)
        if lasts is not None:
            world.execute(
                "UPDATE dripiq_app.communication_suppressions SET expires_at = :end WHERE tenant_id = :tenant_id",
                end=world.clock.time + lasts,
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
