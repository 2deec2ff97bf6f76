"""When it may be sent, whatever the rules: held minute by minute against another way of working it out.

The other way paints each day's 1,440 minutes, open and closed, and reads the clock with `zoneinfo`; it shares no code with `dripiq.domain`.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dripiq.domain.errors import PlanError
from dripiq.domain.moves import Contact
from dripiq.domain.plan.model import (
    CONTACT_ZONE,
    CalendarSpan,
    Holidays,
    Node,
    NodeAction,
    Plan,
    QuietHours,
    SendWindow,
)
from dripiq.domain.states import Channel
from dripiq.domain.timing import is_allowed, later, longest_closed, never_open, next_allowed, send_at
from dripiq.domain.zones import next_change, zone_names

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---- the other way


def minute_of(clock: time) -> int:
    return clock.hour * 60 + clock.minute


def length_of(span: SendWindow | QuietHours) -> int:
    return (minute_of(span.end) - minute_of(span.start)) % 1440 or 1440


@lru_cache(maxsize=64)
def days_off(region: str) -> frozenset[date]:
    country, _, subdivision = region.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=range(1968, 2100)))


class Paper:
    """A plan's days, painted."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.painted: dict[date, list[bool]] = {}

    def is_off(self, day: date) -> bool:
        return day in self.plan.holidays.dates or any(day in days_off(region) for region in self.plan.holidays.regions)

    def day(self, day: date) -> list[bool]:
        if day not in self.painted:
            self.painted[day] = self.paint(day)
        return self.painted[day]

    def paint(self, day: date) -> list[bool]:
        window, quiet = self.plan.send_window, self.plan.quiet_hours
        minutes = [window is None] * 1440
        for begins in (day - DAY, day):
            if window is None or begins.isoweekday() not in window.days or self.is_off(begins):
                continue
            first = minute_of(window.start) - (1440 if begins < day else 0)
            for minute in range(first, first + length_of(window)):
                if 0 <= minute < 1440:
                    minutes[minute] = True
        if quiet is not None:
            first = minute_of(quiet.start)
            for minute in range(first, first + length_of(quiet)):
                minutes[minute % 1440] = False
        return [False] * 1440 if self.is_off(day) else minutes

    def allows(self, at: datetime, zone: ZoneInfo) -> bool:
        wall = at.astimezone(zone)
        return self.day(wall.date())[wall.hour * 60 + wall.minute]


def candidates(at: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """`at`, and every instant in [at, end) at which a minute begins on the wall, by either offset."""
    yield at
    offsets = {moment.astimezone(zone).utcoffset() or timedelta(0) for moment in (at, end)}
    for offset in offsets:
        minute = (at + offset).replace(second=0, microsecond=0) + MINUTE - offset
        while minute < end:
            yield minute
            minute += MINUTE


# ---- what is tried

# Where clocks change: by an hour north and south, by half an hour, by two, at midnight, against the sun, by seconds, over the date line, for good.
CHANGES = [
    ("America/New_York", "2026-03-08T07:00"), ("America/New_York", "2026-11-01T06:00"), ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Dublin", "2026-10-25T01:00"), ("Europe/Dublin", "2026-03-29T01:00"), ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"), ("America/Santiago", "2026-09-06T04:00"), ("Africa/Cairo", "2026-04-23T22:00"),
    ("Asia/Beirut", "2026-03-28T22:00"), ("Africa/Casablanca", "2026-02-15T02:00"), ("Africa/Casablanca", "2026-03-22T02:00"),
    ("Pacific/Apia", "2011-12-30T10:00"), ("Pacific/Kwajalein", "1993-08-21T12:00"), ("Pacific/Kwajalein", "1969-09-30T13:00"),
    ("Antarctica/Troll", "2026-03-29T01:00"), ("Antarctica/Troll", "2026-10-25T01:00"), ("America/Caracas", "2016-05-01T07:00"),
    ("Africa/Monrovia", "1972-01-07T00:44:30"), ("Asia/Kathmandu", "1985-12-31T18:30"), ("Antarctica/Casey", "2020-10-03T16:00"),
    ("America/Havana", "2026-11-01T05:00"), ("UTC", "2026-03-29T01:00"),
]  # fmt: skip


def instants(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Any instant from the start of one year to that of another."""
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (first, last))
    return st.integers(0, (end - start) // timedelta.resolution).map(
        lambda micros: start + micros * timedelta.resolution
    )


fives = st.integers(0, 24 * 12 - 1).map(lambda fives: time(fives * 5 // 60, fives * 5 % 60))
# Near the hours at which clocks change, and at midnight, more often than by chance.
clocks = st.one_of(fives, st.sampled_from([time(0), time(1), time(1, 30), time(2), time(2, 30), time(3), time(23, 30)]))
quiets = st.none() | st.builds(QuietHours, clocks, clocks)
windows = st.none() | st.builds(SendWindow, st.frozensets(st.integers(1, 7), min_size=1), clocks, clocks)


def plans(zone: str, around: datetime) -> st.SearchStrategy[Plan]:
    """Plans with any rules, and given holidays around that day."""
    dates = st.frozensets(st.integers(-4, 12).map(lambda days: around.date() + timedelta(days=days)), max_size=5)
    off = st.builds(Holidays, st.sampled_from([(), (), ("DE-BY",), ("JP",), ("DE", "US")]), dates)
    return st.builds(
        lambda quiet, window, off: Plan("1.1", zone, "a", {}, "", quiet, window, off),
        quiets,
        windows,
        st.just(Holidays()) | off,
    )


@st.composite
def moments(draw: st.DrawFn) -> tuple[Plan, datetime]:
    """A plan and an instant near a change of its clocks."""
    zone, text = draw(st.sampled_from(CHANGES))
    change = utc(text)
    after = st.integers(-3 * 86_400, 3 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
    quarters = st.integers(-200, 200).map(lambda quarters: quarters * timedelta(minutes=15))
    return draw(plans(zone, change)), change + draw(st.one_of(after, quarters))


def quiet_in(zone: str, start: str, end: str) -> Plan:
    return Plan("1.1", zone, "a", {}, "", QuietHours(time.fromisoformat(start), time.fromisoformat(end)))


# ---- the guarantees


@given(moments())
@example((quiet_in("America/New_York", "21:00", "02:30"), utc("2026-03-08T06:30")))
@example((quiet_in("Australia/Lord_Howe", "21:00", "02:15"), utc("2026-10-03T15:00")))
@example((quiet_in("Pacific/Apia", "21:00", "07:30"), utc("2011-12-30T08:00")))
@example((quiet_in("America/New_York", "01:30", "05:00"), utc("2026-11-01T05:40")))
def test_the_moment_found_is_allowed_and_none_before_it_is(moment: tuple[Plan, datetime]) -> None:
    plan, at = moment
    assume(not never_open(plan))
    zone, paper = ZoneInfo(plan.timezone), Paper(plan)
    found = next_allowed(plan, at)
    assert found >= at
    assert is_allowed(plan, found)
    assert paper.allows(found, zone)
    if found > at:
        assert [early for early in candidates(at, found, zone) if paper.allows(early, zone)] == []


@given(moments())
def test_an_instant_is_allowed_exactly_where_its_minute_is_painted_open(moment: tuple[Plan, datetime]) -> None:
    plan, at = moment
    assert is_allowed(plan, at) is Paper(plan).allows(at, ZoneInfo(plan.timezone))


@given(moments(), st.integers(0, 7200).map(lambda minutes: minutes * MINUTE))
def test_who_asks_again_hears_the_same_and_who_asks_later_never_an_earlier_moment(
    moment: tuple[Plan, datetime], by: timedelta
) -> None:
    plan, at = moment
    assume(not never_open(plan))
    found = next_allowed(plan, at)
    assert next_allowed(plan, found) == found
    assert next_allowed(plan, at + (found - at) / 2) == found
    assert next_allowed(plan, at + by) >= found


@given(quiets, windows)
@example(QuietHours(time(21), time(7)), SendWindow(frozenset({7}), time(21), time(7)))
@example(QuietHours(time(0, 5), time(0)), SendWindow(frozenset({1}), time(23), time(0, 5)))
@example(QuietHours(time(7), time(3)), SendWindow(frozenset({5}), time(1), time(3, 30)))
def test_a_plan_is_never_open_exactly_where_no_minute_of_a_week_is(
    quiet: QuietHours | None, window: SendWindow | None
) -> None:
    plan = Plan("1.1", "Europe/Berlin", "a", {}, "", quiet, window)
    zone, paper = ZoneInfo(plan.timezone), Paper(plan)
    closed = not any(any(paper.day(date(2026, 6, 1) + day * DAY)) for day in range(7))
    # The week in which the clocks are set back opens nothing more.
    assert closed is not any(
        paper.allows(utc("2026-10-22T00:00") + minutes * timedelta(minutes=5), zone) for minutes in range(7 * 288 + 12)
    )
    assert never_open(plan) is closed
    if closed:
        for ask in (lambda: next_allowed(plan, utc("2026-10-22T00:00")), lambda: longest_closed(plan)):
            with pytest.raises(PlanError) as caught:
                ask()
            assert caught.value.error_code == "never_open"


jitters = st.sampled_from(
    [timedelta(0), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=7), timedelta(days=2)]
)


@given(
    st.data(),
    st.sampled_from(sorted(zone_names())),
    instants(2025, 2060),
    st.integers(-3 * 1440, 1440).map(lambda minutes: minutes * MINUTE),
    jitters,
    st.booleans(),
)
def test_no_send_waits_longer_than_the_longest_wait(
    data: st.DataObject, zone: str, near: datetime, by: timedelta, jitter: timedelta, of_contact: bool
) -> None:
    at = max(utc("2025-01-01T00:00"), (next_change(near, zone) or near) + by)
    drawn = data.draw(plans(zone, at))
    assume(not never_open(drawn))
    plan = Plan(
        "1.1", CONTACT_ZONE if of_contact else zone, "a", {}, "", drawn.quiet_hours, drawn.send_window, drawn.holidays, jitter
    )  # fmt: skip
    contact = Contact(data.draw(st.sampled_from(["c1", "c2", "c3", "c4"])), zone)
    node = Node("a", Channel.EMAIL, NodeAction.SEND)
    bound = longest_closed(plan)
    assert next_allowed(plan, at, contact) - at <= bound
    leaves = send_at(plan, node, at, contact)
    assert at <= leaves <= at + bound
    assert next_allowed(plan, at, contact) <= leaves
    assert is_allowed(plan, leaves, contact)
    assert send_at(plan, node, at, contact) == leaves


@given(
    st.sampled_from([change for change in CHANGES if change[1] > "2025"]),
    st.none() | st.builds(QuietHours, clocks, clocks),
    st.none() | st.builds(SendWindow, st.just(frozenset(range(1, 8))), clocks, clocks),
)
@example(("America/New_York", "2026-03-08T07:00"), None, SendWindow(frozenset(range(1, 8)), time(2), time(2, 30)))
@example(("Antarctica/Troll", "2026-10-25T01:00"), QuietHours(time(21), time(7, 30)), None)
def test_the_wait_around_a_change_of_the_clocks_is_at_most_the_longest_one(
    change: tuple[str, str], quiet: QuietHours | None, window: SendWindow | None
) -> None:
    plan = Plan("1.1", change[0], "a", {}, "", quiet, window)
    assume(not never_open(plan))
    asked = [utc(change[1]) + five * timedelta(minutes=5) for five in range(-27 * 12, 3 * 12)]
    assert max(next_allowed(plan, at) - at for at in asked) <= longest_closed(plan)


@given(st.data(), quiets, windows)
def test_the_longest_wait_without_changes_of_the_clock_is_one_that_comes(
    data: st.DataObject, quiet: QuietHours | None, window: SendWindow | None
) -> None:
    dates = data.draw(st.frozensets(st.integers(0, 20).map(lambda day: date(2026, 6, 1) + day * DAY), max_size=8))
    plan = Plan("1.1", "UTC", "a", {}, "", quiet, window, Holidays((), dates))
    assume(not never_open(plan))
    paper = Paper(plan)
    lengths, closed = [0], 0
    for day in range(60):
        for is_open in paper.day(date(2026, 5, 18) + day * DAY):
            closed = 0 if is_open else closed + 1
            lengths.append(closed)
    assert longest_closed(plan) == max(lengths) * MINUTE


@given(
    st.sampled_from(CHANGES),
    st.integers(-3 * 1440, 3 * 1440).map(lambda minutes: minutes * MINUTE),
    st.integers(1, 5),
    st.integers(0, 1439).map(lambda minutes: minutes * MINUTE),
)
def test_days_of_the_calendar_keep_the_time_on_the_wall_wherever_the_wall_shows_it(
    change: tuple[str, str], by: timedelta, days: int, rest: timedelta
) -> None:
    zone, at, plan = ZoneInfo(change[0]), utc(change[1]) + by, quiet_in(change[0], "21:00", "07:30")
    found = later(plan, at, CalendarSpan(days=days))
    assert later(plan, at, CalendarSpan(days=days, seconds=rest.total_seconds())) == found + rest
    wanted = at.astimezone(zone).replace(tzinfo=None, fold=0) + days * DAY
    first = wanted.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None, fold=0) == wanted:
        assert found == first
    else:
        before, after = (
            (found - ago).astimezone(zone).replace(tzinfo=None) for ago in (timedelta.resolution, timedelta(0))
        )
        assert before < wanted < after
