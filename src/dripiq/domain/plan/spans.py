"""How long is a span of a plan, at least and at most?

A day is 24 hours, or, for a `CalendarSpan`, as long as the clock on the wall makes it. So two spans from the same start can be compared only by their worst
case.
"""

from datetime import timedelta
from typing import Final

from dripiq.domain.plan.model import CONTACT_ZONE, CalendarSpan, Plan
from dripiq.domain.zones import LARGEST_SHIFT, clock_shift, zone_names

_NOTHING: Final = timedelta(0)


def longest(plan: Plan, span: timedelta) -> timedelta:
    """The most time that can pass in `span`."""
    return span + _slack(plan, span)


def shortest(plan: Plan, span: timedelta) -> timedelta:
    """The least time that can pass in `span`."""
    return max(_NOTHING, span - _slack(plan, span))


def surplus(plan: Plan, one: timedelta, other: timedelta) -> timedelta:
    """By how much `one` can outlast `other` at most, both from the same start; negative where `one` always ends first."""
    alike = _calendar_days(one) == _calendar_days(other)
    return one - other + (_NOTHING if alike else _shift(plan))


def _slack(plan: Plan, span: timedelta) -> timedelta:
    return _shift(plan) if _calendar_days(span) else _NOTHING


def _calendar_days(span: timedelta) -> int:
    return span.days if isinstance(span, CalendarSpan) else 0


def _shift(plan: Plan) -> timedelta:
    """How far the clocks that the plan goes by are set; of a zone that does not exist, not at all."""
    if plan.timezone == CONTACT_ZONE:
        return LARGEST_SHIFT
    return clock_shift(plan.timezone) if plan.timezone in zone_names() else _NOTHING
