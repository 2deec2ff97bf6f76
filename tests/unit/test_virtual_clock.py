"""A simulation's clock stops at its ticks, and a moment before a window closes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.moves import NOBODY, Contact
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.timing import is_allowed
from dripiq.simulate.virtual_clock import VirtualClock, tick_for
from tests.engine.conftest import email_plan

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
ALWAYS_OPEN = parse_plan(email_plan({"id": "intro"}))
QUIET = parse_plan(email_plan({"id": "intro"}, quietHours={"start": "20:20", "end": "07:30"}))
ABROAD = parse_plan(
    email_plan({"id": "intro"}, version="1.1", timezone="contact", sendWindow={"start": "09:00", "end": "17:00"})
)

spans = st.timedeltas(timedelta(0), timedelta(days=20))
ticks = st.timedeltas(timedelta(seconds=1), timedelta(hours=3)).map(
    lambda t: timedelta(seconds=t // timedelta(seconds=1))
)


def clock(tick: timedelta, past: timedelta = timedelta(0)) -> VirtualClock:
    return VirtualClock(START, tick, START + past // tick * tick)


@given(ticks, spans, spans)
def test_a_tick_is_the_first_of_the_grid_that_is_neither_before_the_instant_nor_past(
    tick: timedelta, past: timedelta, ahead: timedelta
) -> None:
    here = clock(tick, past)
    at = START + ahead
    found = here.tick_after(at)
    assert (found - START) % tick == timedelta(0)
    assert found > here.time
    assert found >= at
    assert found - tick < at or found - tick <= here.time


@given(ticks, spans, spans)
def test_the_clock_always_moves_on_and_stops_no_later_than_the_tick(
    tick: timedelta, past: timedelta, ahead: timedelta
) -> None:
    here = clock(tick, past)
    stop = here.stop_for(START + ahead, QUIET, [NOBODY])
    assert here.time < stop <= here.tick_after(max(START + ahead, here.time + timedelta(seconds=1)))


@given(ticks, spans)
def test_what_is_due_in_an_open_window_is_done_in_it(tick: timedelta, ahead: timedelta) -> None:
    due = START + timedelta(seconds=ahead // timedelta(seconds=1) + 1)
    zones = [Contact("", zone) for zone in ("Asia/Tokyo", "America/New_York", None)]
    for plan, contacts in ((QUIET, [NOBODY]), (ABROAD, zones)):
        stop = clock(tick).stop_for(due, plan, contacts)
        assert stop >= due
        for contact in contacts:
            if is_allowed(plan, due, contact):
                assert is_allowed(plan, stop, contact)


def test_without_a_window_it_stops_at_ticks_alone() -> None:
    assert clock(timedelta(hours=1)).stop_for(START + timedelta(minutes=1), ALWAYS_OPEN, [NOBODY]) == START + timedelta(
        hours=1
    )


def test_longer_plans_have_longer_ticks() -> None:
    assert [tick_for(timedelta(days=days)) for days in (0, 1, 2, 10, 30, 10_000)] == [
        timedelta(minutes=1), timedelta(minutes=1), timedelta(minutes=15), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=1),
    ]  # fmt: skip
