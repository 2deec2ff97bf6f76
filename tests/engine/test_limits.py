"""What a limit holds waits for its slot, once; what leaves never passes it, and explain says so beforehand."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dripiq.domain.errors import InputError, NotFoundError
from dripiq.domain.explanation import Prospect
from dripiq.domain.limits import Period
from dripiq.domain.states import Channel, LimitScope
from dripiq.engine.explain import explain
from dripiq.engine.limit import clear_limit, lift_limits, set_limit
from dripiq.engine.steer import pause, resume
from tests.engine.conftest import NOON, ONE_MAIL, World, email_plan, settle_tenant

MINUTE = {Period.MINUTE: 20}
HOUR = {Period.HOUR: 10}


@pytest.fixture
def limited(engine: Engine, tmp_path: Path) -> World:
    """A tenant with fifty contacts that nothing limits but what the test says."""
    made = World(engine, tmp_path / "mail")
    made.tenant_id, made.sender_id, made.contacts = settle_tenant(engine, 50)
    return made


def limit(world: World, scope: LimitScope, maxima: dict[Period, int], value: str | None = None) -> None:
    with world.database.begin() as connection:
        set_limit(connection, world.tenant_id, scope, value, maxima=maxima, now=world.clock.time)


def live(world: World, **span: float) -> list[float]:
    """Let a worker do everything in its time; the seconds since the beginning at which mails left."""
    begun, left, mails = world.clock.time, [], len(world.mails())
    worker = world.worker()
    while True:
        world.work(worker)
        now = len(world.mails())
        left += [(world.clock.time - begun).total_seconds()] * (now - mails)
        mails = now
        due = world.value("SELECT min(run_at) FROM dripiq_app.scheduled_actions WHERE status = 'pending'")
        if due is None or due - begun > timedelta(**span):
            return left
        world.clock.time = max(due, world.clock.time)


def test_what_does_not_fit_is_put_off_once_to_its_slot_with_the_limits_code_and_is_no_failed_attempt(
    limited: World,
) -> None:
    limit(limited, LimitScope.SENDER, MINUTE)
    limited.enroll(ONE_MAIL)
    limited.work()
    waiting = limited.rows("SELECT reason, run_at, attempts FROM dripiq_app.scheduled_actions WHERE status = 'pending'")
    assert {row.reason for row in waiting} == {"limit_sender_minute"}
    assert (len(limited.mails()), len(waiting)) == (2, 48)
    assert len({row.run_at for row in waiting}) == 48
    left = live(limited, minutes=3)
    assert len(left) == 48
    assert max(left) < 50 / 20 * 60 / 0.9
    assert set(limited.rows("SELECT attempts FROM dripiq_app.outbound_messages")) == {(1,)}
    claims = Counter(row.attempts for row in limited.rows("SELECT attempts FROM dripiq_app.scheduled_actions"))
    assert claims == {1: 2, 2: 48}


def test_the_defaults_hold_where_the_tenant_says_nothing(engine: Engine, tmp_path: Path) -> None:
    world = World(engine, tmp_path / "mail")
    world.tenant_id, world.sender_id, world.contacts = settle_tenant(engine, 50, is_limited=True)
    world.enroll(ONE_MAIL)
    world.work()
    reasons = "SELECT DISTINCT reason FROM dripiq_app.scheduled_actions WHERE status = 'pending' ORDER BY reason"
    assert len(world.mails()) == 2
    assert world.rows(reasons) == [("limit_domain_hour",), ("limit_sender_minute",)]


def test_each_domain_has_a_limit_of_its_own_and_a_full_one_holds_up_no_other(limited: World) -> None:
    limit(limited, LimitScope.DOMAIN, HOUR)
    limit(limited, LimitScope.DOMAIN, {}, "free.test")
    limited.execute(
        "UPDATE dripiq_app.lead_point_of_contacts SET email = 'c' || id || '@free.test' WHERE id = ANY (:some)",
        some=limited.contacts[::2],
    )
    limited.enroll(ONE_MAIL)
    limited.work()
    sent = "SELECT split_part(to_address, '@', 2) FROM dripiq_app.outbound_messages WHERE status = 'sent'"
    assert Counter(limited.rows(sent)) == {("free.test",): 25, ("example.com",): 1}
    assert len(live(limited, hours=3)) == 24


def test_a_slot_lies_where_the_plan_lets_it_leave(limited: World) -> None:
    limit(limited, LimitScope.TENANT, HOUR)
    limited.enroll(email_plan({"id": "intro"}, quietHours={"start": "13:00", "end": "15:00"}))
    limited.work()
    slots = [
        row.run_at for row in limited.rows("SELECT run_at FROM dripiq_app.scheduled_actions WHERE status = 'pending'")
    ]
    assert not any(NOON + timedelta(hours=1) <= slot < NOON + timedelta(hours=3) for slot in slots)
    assert any(slot >= NOON + timedelta(hours=3) for slot in slots)


def test_who_comes_late_asks_again_and_no_burst_follows_a_pause_of_the_workers(limited: World) -> None:
    limit(limited, LimitScope.SENDER, MINUTE)
    limited.enroll(ONE_MAIL)
    limited.work()
    limited.clock.pass_(hours=1)
    limited.work()
    assert len(limited.mails()) == 4
    assert len(live(limited, minutes=5)) == 46


def test_a_limit_that_is_lifted_lets_what_waits_leave_when_it_is_due_and_a_tighter_one_holds_for_it(
    limited: World,
) -> None:
    limit(limited, LimitScope.SENDER, MINUTE)
    limited.enroll(ONE_MAIL)
    limited.work()
    limit(limited, LimitScope.SENDER, {Period.HOUR: 1})
    limited.clock.pass_(minutes=2)
    limited.work()
    assert len(limited.mails()) == 3  # what left before by another period's limit is not counted by this one
    with limited.database.begin() as connection:
        lift_limits(connection, limited.tenant_id, now=limited.clock.time)
    limited.clock.pass_(hours=7)
    limited.work()
    assert len(limited.mails()) == 50


def test_what_is_held_meanwhile_does_not_leave_at_its_slot_and_takes_another_later(limited: World) -> None:
    limit(limited, LimitScope.SENDER, MINUTE)
    limited.enroll(ONE_MAIL)
    limited.work()
    campaigns = [row.id for row in limited.rows("SELECT id FROM dripiq_app.contact_campaigns WHERE status = 'active'")]
    with limited.database.begin() as connection:
        pause(connection, limited.tenant_id, campaigns, now=limited.clock.time)
    assert live(limited, minutes=10) == []
    limited.clock.pass_(minutes=10)
    with limited.database.begin() as connection:
        resume(connection, limited.tenant_id, campaigns, now=limited.clock.time)
    assert live(limited, seconds=1) == [0, 0]
    assert len(live(limited, minutes=5)) == 46


def test_explain_says_which_limit_and_until_when_and_the_same_of_a_send_that_has_its_slot(limited: World) -> None:
    limit(limited, LimitScope.SENDER, {Period.HOUR: 2})
    limited.enroll(ONE_MAIL, limited.contacts[:2])
    limited.work()
    limited.enroll(ONE_MAIL, limited.contacts[2:3])
    with limited.database.connect() as connection:
        (said,) = explain(connection, limited.tenant_id, limited.contacts[2], now=NOON).campaigns
    assert said.closed is not None
    assert said.closed.until is not None
    assert (said.prospect, said.closed.code) == (Prospect.PUTS_OFF, "limit_sender_hour")
    assert "its sender has used up what it may send in an hour" in said.why
    limited.work()
    pending = "SELECT run_at, reason FROM dripiq_app.scheduled_actions WHERE status = 'pending' ORDER BY run_at DESC"
    assert limited.rows(pending)[0] == (said.closed.until, "limit_sender_hour")
    with limited.database.connect() as connection:
        at_its_slot = said.closed.until
        (after,) = explain(connection, limited.tenant_id, limited.contacts[2], at=at_its_slot, now=NOON).campaigns
    assert (after.prospect, after.closed) == (Prospect.SENDS, None)


def test_a_limit_that_makes_no_sense_is_refused_with_what_it_should_be(limited: World) -> None:
    ramp = {"start": 50, "double_every_days": 3, "started_at": NOON.isoformat()}
    with limited.database.begin() as connection:
        for scope, value, maxima, growth, code in (
            (LimitScope.SENDER, None, {Period.HOUR: 0}, None, "limit"),
            (LimitScope.TENANT, "x", HOUR, None, "limit"),
            (LimitScope.DOMAIN, "no domain", HOUR, None, "invalid_domain"),
            (LimitScope.SENDER, None, HOUR, ramp, "ramp"),
            (LimitScope.SENDER, None, {Period.DAY: 20}, ramp, "ramp"),
        ):
            with pytest.raises(InputError) as raised:
                set_limit(connection, limited.tenant_id, scope, value, maxima=maxima, ramp=growth)
            assert raised.value.error_code == code
        with pytest.raises(NotFoundError) as unknown:
            set_limit(connection, limited.tenant_id, LimitScope.SENDER, "nobody", maxima=HOUR)
        assert unknown.value.error_code == "unknown_sender"
        clear_limit(connection, limited.tenant_id, LimitScope.DOMAIN, channel=Channel.SMS)
        with pytest.raises(NotFoundError, match="Nothing was said of it"):
            clear_limit(connection, limited.tenant_id, LimitScope.DOMAIN, channel=Channel.SMS)


def test_buckets_that_no_window_reaches_any_more_are_pruned_and_the_others_go_on_counting(limited: World) -> None:
    limit(limited, LimitScope.DOMAIN, HOUR)
    limited.enroll(ONE_MAIL, limited.contacts[:1])
    limited.work()
    limited.execute(
        "UPDATE dripiq_app.lead_point_of_contacts SET email = 'c@free.test' WHERE id = :id", id=limited.contacts[1]
    )
    limited.clock.pass_(hours=47)
    limited.enroll(ONE_MAIL, limited.contacts[1:2])
    assert limited.work().done["buckets_pruned"] == 0
    limited.clock.pass_(hours=2)
    assert limited.work().done["buckets_pruned"] == 1
    assert limited.rows("SELECT scope_value FROM dripiq_app.send_rate_buckets") == [("free.test",)]
