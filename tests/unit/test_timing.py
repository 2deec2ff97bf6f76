"""When it may be sent: quiet hours as the clock on the wall shows them, on every night of the year."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dripiq.domain.errors import PlanError
from dripiq.domain.plan.model import Plan, QuietHours
from dripiq.domain.timing import MAX_ATTEMPTS, is_allowed, next_allowed, quiet_length, retry_at
from dripiq.domain.zones import known_zone, zone_names


def plan_with(timezone: str, start: str | None, end: str | None = None) -> Plan:
    quiet = QuietHours(time.fromisoformat(start), time.fromisoformat(end)) if start and end else None
    return Plan("1.0", timezone, "a", {}, "", quiet)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "start", "end", "at", "expected"),
    [
        pytest.param("UTC", "21:00", "07:30", "2026-03-01T12:00", "2026-03-01T12:00", id="open by day"),
        pytest.param("UTC", "21:00", "07:30", "2026-03-01T21:00", "2026-03-02T07:30", id="quiet from the start"),
        pytest.param("UTC", "21:00", "07:30", "2026-03-01T20:59:59.999999", "2026-03-01T20:59:59.999999", id="open before"),
        pytest.param("UTC", "21:00", "07:30", "2026-03-02T07:30", "2026-03-02T07:30", id="open at the end"),
        pytest.param("UTC", "21:00", "07:30", "2026-03-02T03:00:30", "2026-03-02T07:30", id="over midnight"),
        pytest.param("UTC", "00:00", "08:00", "2026-03-02T00:00", "2026-03-02T08:00", id="from midnight"),
        pytest.param("UTC", "12:00", "00:00", "2026-03-02T13:00", "2026-03-03T00:00", id="to midnight"),
        pytest.param("America/Los_Angeles", "21:00", "07:30", "2026-06-01T10:00", "2026-06-01T14:30", id="summer time"),
        pytest.param("America/Los_Angeles", "21:00", "07:30", "2026-01-01T10:00", "2026-01-01T15:30", id="winter time"),
        pytest.param("America/New_York", "21:00", "07:30", "2026-03-08T05:00", "2026-03-08T11:30", id="short night"),
        pytest.param("America/New_York", "21:00", "07:30", "2026-11-01T03:00", "2026-11-01T12:30", id="long night"),
        # 02:00 to 03:00 does not exist: the quiet hours end at the jump, at 03:00 summer time.
        pytest.param("America/New_York", "21:00", "02:30", "2026-03-08T05:00", "2026-03-08T07:00", id="end in the gap"),
        pytest.param("America/New_York", "02:15", "02:45", "2026-03-08T06:59", "2026-03-08T06:59", id="all in the gap"),
        # 01:00 to 02:00 comes twice: 01:30 ends the span, and again after the clock was set back into it.
        pytest.param("America/New_York", "21:00", "01:30", "2026-11-01T04:00", "2026-11-01T05:30", id="end, first time"),
        pytest.param("America/New_York", "21:00", "01:30", "2026-11-01T06:10", "2026-11-01T06:30", id="end, second time"),
        # Quiet from 01:30, but the clock goes back to 01:00 and opens half an hour.
        pytest.param("America/New_York", "01:30", "05:00", "2026-11-01T05:40", "2026-11-01T06:00", id="set back to before"),
        pytest.param("Australia/Lord_Howe", "21:00", "02:15", "2026-10-03T14:00", "2026-10-03T15:30", id="half-hour gap"),
        pytest.param("Australia/Lord_Howe", "21:00", "07:30", "2026-04-04T12:00", "2026-04-04T21:00", id="half-hour overlap"),
        # Samoa went from the 29th to the 31st of December 2011.
        pytest.param("Pacific/Apia", "21:00", "07:30", "2011-12-30T08:00", "2011-12-30T17:30", id="day skipped"),
        pytest.param("Asia/Kathmandu", "21:00", "07:30", "2026-01-01T16:00", "2026-01-02T01:45", id="quarter-hour zone"),
    ],
)  # fmt: skip
def test_the_next_allowed_instant(timezone: str, start: str, end: str, at: str, expected: str) -> None:
    assert next_allowed(plan_with(timezone, start, end), utc(at)) == utc(expected)


def test_without_quiet_hours_every_instant_is_allowed() -> None:
    at = utc("2026-03-01T03:00")
    assert is_allowed(plan_with("UTC", None), at)
    assert next_allowed(plan_with("UTC", None), at) == at


def test_an_instant_of_any_zone_comes_back_in_utc() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert next_allowed(plan_with("UTC", "21:00", "07:30"), at) == utc("2026-03-01T07:30")
    assert next_allowed(plan_with("UTC", None), at).tzinfo is UTC


def test_quiet_hours_of_the_whole_day_are_refused_instead_of_searched_for_ever() -> None:
    with pytest.raises(PlanError, match="make quiet hours and send window leave some time") as caught:
        next_allowed(plan_with("UTC", "09:00", "09:00"), utc("2026-03-01T12:00"))
    assert caught.value.error_code == "never_open"


def test_an_unknown_zone_is_a_named_error() -> None:
    with pytest.raises(PlanError, match=r'There is no time zone "\.\./etc/passwd"') as caught:
        known_zone("../etc/passwd")
    assert caught.value.error_code == "unknown_timezone"


def test_zones_that_mean_another_place_on_every_machine_are_no_zones() -> None:
    assert {"UTC", "Europe/Berlin", "America/Los_Angeles"} <= zone_names()
    assert zone_names().isdisjoint({"localtime", "Factory", "posixrules"})


def test_a_refused_message_is_tried_again_after_twenty_minutes_six_times_in_all() -> None:
    now = utc("2026-03-01T12:00")
    assert [retry_at(now, attempts) for attempts in (1, 5)] == [now + timedelta(minutes=20)] * 2
    assert retry_at(now, MAX_ATTEMPTS) is None
    assert MAX_ATTEMPTS == 6


def test_the_length_of_quiet_hours() -> None:
    assert quiet_length(None) == timedelta(0)
    assert quiet_length(QuietHours(time(21), time(7, 30))) == timedelta(hours=10.5)
    assert quiet_length(QuietHours(time(1), time(2))) == timedelta(hours=1)


# Nights on which clocks change: by an hour north and south, by half an hour, at midnight, against the sun, over the date line, for good.
CHANGES = [
    ("America/New_York", "2026-03-08T07:00"), ("America/New_York", "2026-11-01T06:00"), ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/London", "2026-10-25T01:00"), ("Australia/Lord_Howe", "2026-10-03T15:30"), ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("America/Santiago", "2026-09-06T04:00"), ("Africa/Cairo", "2026-04-23T22:00"), ("Asia/Beirut", "2026-03-28T22:00"),
    ("Africa/Casablanca", "2026-02-15T02:00"), ("Pacific/Apia", "2011-12-30T10:00"), ("Asia/Kathmandu", "1985-12-31T18:30"),
    ("Antarctica/Troll", "2026-03-29T01:00"), ("America/Caracas", "2016-05-01T07:00"), ("UTC", "2026-03-29T01:00"),
]  # fmt: skip
clocks = st.integers(0, 24 * 12 - 1).map(lambda fives: time(fives * 5 // 60, fives * 5 % 60))


@given(change=st.sampled_from(CHANGES), minutes=st.integers(-2160, 2160), start=clocks, end=clocks)
@example(change=("America/New_York", "2026-03-08T07:00"), minutes=-30, start=time(21), end=time(2, 30))
@example(change=("Australia/Lord_Howe", "2026-10-03T15:30"), minutes=-30, start=time(21), end=time(2, 15))
def test_the_next_allowed_instant_is_allowed_and_no_earlier_minute_is(
    change: tuple[str, str], minutes: int, start: time, end: time
) -> None:
    assume(start != end)
    plan = Plan("1.0", change[0], "a", {}, "", QuietHours(start, end))
    at = utc(change[1]) + timedelta(minutes=minutes)
    found = next_allowed(plan, at)
    assert found >= at
    assert is_allowed(plan, found)
    between = int((found - at) / timedelta(minutes=1))
    assert not any(
        is_allowed(plan, at + timedelta(minutes=minute))
        for minute in range(between + (found > at + timedelta(minutes=between)))
    )


@given(
    name=st.sampled_from(sorted(zone_names())),
    start=clocks,
    end=clocks,
    at=st.integers(946_684_800, 2_208_988_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_in_any_zone_at_any_time_the_wait_is_at_most_a_night_and_a_clock_change(
    name: str, start: time, end: time, at: datetime
) -> None:
    assume(start != end)
    quiet = QuietHours(start, end)
    plan = Plan("1.0", name, "a", {}, "", quiet)
    found = next_allowed(plan, at)
    assert is_allowed(plan, found)
    assert timedelta(0) <= found - at <= quiet_length(quiet) + timedelta(hours=26)
    assert next_allowed(plan, found) == found
