"""When may it be sent, and when is it tried again?

Pure functions of the instants they are given; all instants are aware and in UTC, in and out. Quiet hours are wall-clock time in the plan's zone:
an instant is quiet when the clock on the wall there shows a time in [start, end). So around a change of the clocks a quiet span may be an hour
shorter or longer, may end at the jump itself (when its end falls into the gap), and may come twice (when the clock is set back into it).

`zoneinfo` reads the time-zone files of the system or of the `tzdata` package on first use of a zone; nothing else here touches the world.
"""

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from dripiq.domain.errors import PlanError
from dripiq.domain.moves import NOBODY, Contact
from dripiq.domain.plan.model import CONTACT_ZONE, Node, Plan, QuietHours

RETRY_DELAY: Final = timedelta(minutes=20)
MAX_ATTEMPTS: Final = 6
"""How often one message is handed over in all."""


def zone_of(plan: Plan, contact: Contact) -> ZoneInfo:
    """The zone in which the plan's days and times of day are meant for this contact."""
    if plan.timezone != CONTACT_ZONE:
        return zone(plan.timezone)
    known = contact.timezone is not None and contact.timezone in zone_names()
    return zone(contact.timezone if known and contact.timezone else plan.fallback_timezone)


def later(plan: Plan, at: datetime, span: timedelta, contact: Contact = NOBODY) -> datetime:
    """`span` after `at`: 24 hours a day, or, for a `CalendarSpan`, the same time of day that many days later."""
    return at + span


def send_at(plan: Plan, node: Node, now: datetime, contact: Contact = NOBODY) -> datetime:
    """When the message of a node entered `now` is to leave: after its delay, in an allowed moment, put off by the contact's share of the jitter."""
    return next_allowed(plan, later(plan, now, node.delay, contact), contact)


def is_allowed(plan: Plan, at: datetime, contact: Contact = NOBODY) -> bool:
    """Whether `at` is outside the plan's quiet hours."""
    quiet = plan.quiet_hours
    return quiet is None or not _is_quiet(quiet, at.astimezone(zone_of(plan, contact)).time())


def next_allowed(plan: Plan, at: datetime, contact: Contact = NOBODY) -> datetime:
    """The first instant at or after `at` (aware) that is outside the plan's quiet hours, in UTC.

    Raises:
        PlanError: `never_open`, when the quiet hours cover the whole day (a verified plan's never do).
    """
    at = at.astimezone(UTC)
    quiet = plan.quiet_hours
    if quiet is None or is_allowed(plan, at, contact):
        return at
    if quiet.start == quiet.end:
        raise PlanError("The quiet hours cover the whole day: make start and end differ.", code="never_open")
    there = zone_of(plan, contact)
    today = at.astimezone(there).date()
    # Days 0 to 2: the end may lie on the next day, and a zone may skip a whole day (Samoa, 30 December 2011).
    ends = (
        datetime.combine(today + timedelta(days=day), quiet.end, there).replace(fold=fold).astimezone(UTC)
        for day in range(3)
        for fold in (0, 1)
    )
    end = min(instant for instant in ends if instant >= at and is_allowed(plan, instant, contact))
    jump = _clock_change(there, at, end)
    return jump if jump is not None and is_allowed(plan, jump, contact) else end


def retry_at(now: datetime, attempts: int) -> datetime | None:
    """When a message that was refused for now is tried again: always 20 minutes later, so that a plan's timing stays predictable.

    Args:
        attempts: how often it has been handed over so far.

    Returns:
        None when all of `MAX_ATTEMPTS` are used up.
    """
    return now + RETRY_DELAY if attempts < MAX_ATTEMPTS else None


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name.

    Raises:
        PlanError: `unknown_timezone`.
    """
    if name not in zone_names():
        raise PlanError(
            f'There is no time zone "{name}": write an IANA name, such as "Europe/Berlin".', code="unknown_timezone"
        )
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every IANA zone; without the names that mean another zone on every machine, or none."""
    return frozenset(available_timezones() - {"localtime", "Factory", "posixrules"})


def quiet_length(quiet: QuietHours | None) -> timedelta:
    """How long the quiet hours last on a day without a change of the clocks."""
    if quiet is None:
        return timedelta(0)
    return (_since_midnight(quiet.end) - _since_midnight(quiet.start)) % timedelta(days=1) or timedelta(days=1)


def _is_quiet(quiet: QuietHours, clock: time) -> bool:
    if quiet.start < quiet.end:
        return quiet.start <= clock < quiet.end
    return clock >= quiet.start or clock < quiet.end


def _clock_change(there: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The instant in (start, end] at which the zone's offset changes; None where it is the same at both."""
    before = start.astimezone(there).utcoffset()
    if end.astimezone(there).utcoffset() == before:
        return None
    low, high = int(start.timestamp()), int(end.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, there).utcoffset() == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _since_midnight(clock: time) -> timedelta:
    return timedelta(hours=clock.hour, minutes=clock.minute)
