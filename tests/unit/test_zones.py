"""Times on the wall and instants, in every zone, against the standard library's reading of the same rules."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.errors import PlanError
from dripiq.domain.zones import LARGEST_SHIFT, clock_shift, instant_of, known_zone, next_change, wall_clock, zone_names

SECOND = timedelta(seconds=1)


def shown(at: datetime, zone: str) -> datetime:
    """What `zoneinfo` says that the wall shows."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def instants(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Any instant from the start of one year to that of another."""
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (first, last))
    return st.integers(0, (end - start) // timedelta.resolution).map(
        lambda micros: start + micros * timedelta.resolution
    )


@given(
    zone=st.sampled_from(sorted(zone_names())),
    at=instants(1850, 2150),
)
def test_around_every_change_the_wall_shows_what_the_standard_library_says(zone: str, at: datetime) -> None:
    assert wall_clock(at, zone) == shown(at, zone)
    change = next_change(at, zone)
    if change is None:
        return
    assert at < change
    for instant in (change - SECOND, change, change + SECOND):
        assert wall_clock(instant, zone) == shown(instant, zone)
    assert (shown(change - SECOND, zone) - at.replace(tzinfo=None)) - (shown(at, zone) - at.replace(tzinfo=None)) == (
        change - SECOND - at
    ), "the offset changes nowhere in between"


@given(
    zone=st.sampled_from(sorted(zone_names())),
    near=instants(1850, 2100),
    by=st.integers(-1500, 1500).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_a_time_on_the_wall_is_the_first_instant_that_shows_it_or_the_jump_past_it(
    zone: str, near: datetime, by: timedelta
) -> None:
    wall = shown(next_change(near, zone) or near, zone) + by
    found = instant_of(wall, zone)
    assert found.tzinfo is UTC
    # From the standard library: fold 0 is the first of two; what does not survive the round trip is in a gap.
    first = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if shown(first, zone) == wall:
        assert found == first
    else:
        assert shown(found - timedelta.resolution, zone) < wall < shown(found, zone)


def test_no_zone_sets_its_clocks_further_than_the_largest_shift() -> None:
    assert max(clock_shift(zone) for zone in zone_names()) == LARGEST_SHIFT
    shifts = {zone: clock_shift(zone) for zone in ("UTC", "Asia/Tokyo", "Africa/Casablanca", "Australia/Lord_Howe")}
    assert list(shifts.values()) == [timedelta(0), timedelta(0), timedelta(hours=1), timedelta(minutes=30)]


def test_an_unknown_zone_is_a_named_error() -> None:
    with pytest.raises(PlanError, match=r'There is no time zone "\.\./etc/passwd"') as caught:
        known_zone("../etc/passwd")
    assert caught.value.error_code == "unknown_timezone"


def test_zones_that_mean_another_place_on_every_machine_are_no_zones() -> None:
    assert {"UTC", "Europe/Berlin", "America/Los_Angeles"} <= zone_names()
    assert zone_names().isdisjoint({"localtime", "Factory", "posixrules"})
