"""What does the clock on the wall of a place show, and at which instant does it show a given time?

Instants are aware `datetime`s and come out in UTC; times on the wall are naive ones. `whenever` knows the zones and their changes
(docs/decisions/0010-dates.md) and is known to this module only. It reads the time-zone files of the system or of the `tzdata` package on
first use of a zone; nothing else here touches the world.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import whenever

from dripiq.domain.errors import PlanError

LARGEST_SHIFT: Final = timedelta(hours=2)
"""The largest `clock_shift` of any zone (Antarctica/Troll; all others set their clocks by an hour or less)."""

_AHEAD: Final = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
"""The years whose changes count as known ahead: the rules of today, gone on with."""


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every IANA zone; without the names that mean another zone on every machine, or none."""
    return frozenset(whenever.available_timezones() - {"localtime", "Factory", "posixrules"})


def known_zone(name: str) -> str:
    """The name, if a zone has it.

    Raises:
        PlanError: `unknown_timezone`.
    """
    if name not in zone_names():
        raise PlanError(
            f'There is no time zone "{name}": write an IANA name, such as "Europe/Berlin".', code="unknown_timezone"
        )
    return name


def wall_clock(at: datetime, zone: str) -> datetime:
    """What calendar and clock show there at an instant."""
    return whenever.Instant(at).to_tz(zone).to_plain().to_stdlib()


def instant_of(wall: datetime, zone: str) -> datetime:
    """When the clock there shows that time: for the first time, where it is set back and shows it twice; where it is set forward
    past it, at the instant at which it is set.
    """
    plain = whenever.PlainDateTime(wall)
    there = plain.assume_tz(zone, disambiguation="earlier")
    if there.to_plain() != plain:
        # In a gap "earlier" is as long before the change as the clock would be past it: the change comes next.
        there = there.next_transition() or there
    return there.to_instant().to_stdlib()


def next_change(at: datetime, zone: str) -> datetime | None:
    """When the zone's rules next change after `at`: its offset, or only its name; None where they never do."""
    there = whenever.Instant(at).to_tz(zone).next_transition()
    return None if there is None else there.to_instant().to_stdlib()


@lru_cache(maxsize=1024)
def clock_shift(zone: str) -> timedelta:
    """How far apart the zone's offsets are at most from 2025 on: how far its clocks are set, and zero where they never are."""
    at, end = _AHEAD
    offsets = set()
    change: datetime | None = at
    while change is not None and change < end:
        offsets.add(wall_clock(change, zone) - change.replace(tzinfo=None))
        change = next_change(change, zone)
    return max(offsets) - min(offsets)
