"""What do a plan's rules say about a time on the wall: may it be sent then, and if not, when next?

Everything here is about the wall's clock and calendar alone, as naive `datetime`s; `timing` ties them to instants. A time is open if

- the clock is outside the quiet hours, [start, end);
- it is in the send window, [start, end), of one of its days. The part after midnight of a window over midnight belongs to the day before;
- neither its own day is a holiday nor the one on which its window started: a holiday is closed from midnight to midnight, and no window
  starts on it.

So whatever is closed opens at a midnight, at the end of the quiet hours or at the start of a window, and only these are looked at.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from dripiq.domain.errors import PlanError
from dripiq.domain.holidays import all_days, is_holiday
from dripiq.domain.plan.model import Holidays, Plan

NEVER_OPEN: Final = "never_open"
"""The code of the fault that no time is ever open."""

MIDNIGHT: Final = time(0)
DAY: Final = timedelta(days=1)
_NO_HOLIDAYS: Final = Holidays()
_A_MONDAY: Final = date(2024, 1, 1)


class Rule(StrEnum):
    """What can close a time, in the order in which they are asked."""

    QUIET_HOURS = "quiet_hours"
    SEND_WINDOW = "send_window"
    HOLIDAY = "holiday"


def has_rules(plan: Plan) -> bool:
    """Whether anything could close a time."""
    return plan.quiet_hours is not None or plan.send_window is not None or plan.holidays != _NO_HOLIDAYS


def rule_against(plan: Plan, wall: datetime) -> Rule | None:
    """The first rule that closes a time; None where it is open."""
    clock, day = wall.time(), wall.date()
    quiet, window = plan.quiet_hours, plan.send_window
    if quiet is not None and _covers(quiet.start, quiet.end, clock):
        return Rule.QUIET_HOURS
    started = day
    if window is not None:
        if not _covers(window.start, window.end, clock):
            return Rule.SEND_WINDOW
        if clock < window.start:
            started = day - DAY
        if started.isoweekday() not in window.days:
            return Rule.SEND_WINDOW
    if plan.holidays == _NO_HOLIDAYS:
        return None
    closed = is_holiday(plan.holidays, day) or (started != day and is_holiday(plan.holidays, started))
    return Rule.HOLIDAY if closed else None


def next_open(plan: Plan, wall: datetime) -> datetime:
    """The first open time at or after `wall`.

    Raises:
        PlanError: `never_open`.
    """
    if rule_against(plan, wall) is None:
        return wall
    return _first(plan, wall, DAY, _openings(plan), lambda at: at > wall and rule_against(plan, at) is None)


def closed_since(plan: Plan, wall: datetime) -> datetime:
    """The last time at or before `wall` up to which it was open.

    Raises:
        PlanError: `never_open`.
    """
    just_before = timedelta.resolution
    return _first(
        plan, wall, -DAY, _closings(plan), lambda at: at <= wall and rule_against(plan, at - just_before) is None
    )


def never_open(plan: Plan) -> bool:
    """Whether no time is ever open: quiet hours and send window leave none of the week, or holidays take what they leave for a year."""
    weekly = replace(plan, holidays=_NO_HOLIDAYS)
    if all(rule_against(weekly, at) is not None for at in _week(_openings(plan))):
        return True
    try:
        longest_run(plan)
    except PlanError as error:
        if error.error_code != NEVER_OPEN:
            raise
        return True
    return False


def longest_run(plan: Plan) -> timedelta:
    """The longest time on the wall without an open one, over the years that `holidays` looks at.

    Raises:
        PlanError: `never_open`; `unknown_region`.
    """
    weekly = replace(plan, holidays=_NO_HOLIDAYS)
    longest = max(next_open(weekly, at) - at for at in _week(_closings(plan)))
    opens: datetime | None = None
    for day in all_days(plan.holidays):
        midnight = datetime.combine(day, MIDNIGHT)
        if opens is None or midnight >= opens:
            opens = next_open(plan, midnight)
            longest = max(longest, opens - closed_since(plan, midnight))
    return longest


def shortest_opening(plan: Plan) -> timedelta:
    """A length that no run of open time on the wall is shorter than. It counts runs as cut at midnight where one day differs from the next."""
    quiet, window = plan.quiet_hours, plan.send_window
    edges = sorted({clock for span in (quiet, window) if span for clock in (span.start, span.end)})
    if window is not None or plan.holidays != _NO_HOLIDAYS:
        edges = sorted({MIDNIGHT, *edges})
    lengths = [
        _from_to(start, end)
        for start, end in zip(edges, edges[1:] + edges[:1], strict=True)
        if not (quiet and _covers(quiet.start, quiet.end, start))
        and not (window and not _covers(window.start, window.end, start))
    ]
    return min(lengths, default=DAY)


def _first(
    plan: Plan, wall: datetime, step: timedelta, clocks: Iterable[time], fits: Callable[[datetime], bool]
) -> datetime:
    """The first of these times of day, day by day from that of `wall`, that fits.

    It gives up after a year, for what is closed through all of it is closed for ever, and two weeks more for each given date: it can
    close one time of the week on its own day and one in the night after.
    """
    day = wall.date()
    for _ in range(366 + 14 * len(plan.holidays.dates)):
        for clock in clocks:
            at = datetime.combine(day, clock)
            if fits(at):
                return at
        day += step
    raise PlanError(
        "No time is ever allowed: make quiet hours and send window leave some time of some day that is no holiday.",
        code=NEVER_OPEN,
    )


def _week(clocks: Iterable[time]) -> Iterator[datetime]:
    """These times of day on every day of a week."""
    return (datetime.combine(_A_MONDAY + day * DAY, clock) for day in range(7) for clock in clocks)


def _openings(plan: Plan) -> tuple[time, ...]:
    """The times of day at which closed can turn into open, in order."""
    quiet, window = plan.quiet_hours, plan.send_window
    return tuple(sorted({MIDNIGHT, *([quiet.end] if quiet else ()), *([window.start] if window else ())}))


def _closings(plan: Plan) -> tuple[time, ...]:
    """The times of day at which open can turn into closed, the latest first."""
    quiet, window = plan.quiet_hours, plan.send_window
    closings = {MIDNIGHT, *([quiet.start] if quiet else ()), *([window.end] if window else ())}
    return tuple(sorted(closings, reverse=True))


def _covers(start: time, end: time, clock: time) -> bool:
    """Whether [start, end) covers a time of day; over midnight where `end` is not after `start`, so all day where they are the same."""
    if start < end:
        return start <= clock < end
    return clock >= start or clock < end


def _from_to(start: time, end: time) -> timedelta:
    """How long it is from one time of day to the next time that it is the other: a day, where they are the same."""
    return (datetime.combine(_A_MONDAY, end) - datetime.combine(_A_MONDAY, start)) % DAY or DAY
