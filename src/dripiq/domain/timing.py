"""When may it be sent, and when is it tried again?

Pure functions of the instants they are given; all instants are aware and in UTC, in and out. Rules are meant by the wall's clock and calendar
in the plan's zone, or in the contact's own: an instant is allowed when the time that the wall shows is open (`opening`). So around a
change of the clocks a closed span may be an hour shorter or longer, may end at the jump itself (when its end falls into the gap), and may come
twice (when the clock is set back into it).
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from dripiq.domain import opening
from dripiq.domain.moves import NOBODY, Contact
from dripiq.domain.opening import Rule
from dripiq.domain.plan.model import CONTACT_ZONE, CalendarSpan, Node, Plan
from dripiq.domain.variants import share
from dripiq.domain.zones import LARGEST_SHIFT, clock_shift, instant_of, known_zone, next_change, wall_clock, zone_names

RETRY_DELAY: Final = timedelta(minutes=20)
MAX_ATTEMPTS: Final = 6
"""How often one message is handed over in all."""


def zone_of(plan: Plan, contact: Contact) -> str:
    """The zone in which the plan's days and times of day are meant for this contact.

    Raises:
        PlanError: `unknown_timezone`, of the plan's own zones. A contact's zone that nobody knows counts as none.
    """
    if plan.timezone != CONTACT_ZONE:
        return known_zone(plan.timezone)
    if contact.timezone is not None and contact.timezone in zone_names():
        return contact.timezone
    return known_zone(plan.fallback_timezone)


def later(plan: Plan, at: datetime, span: timedelta, contact: Contact = NOBODY) -> datetime:
    """`span` after `at`: 24 hours a day; or, for a `CalendarSpan`, the same time on the wall that many days later, and then its hours.

    Where the clock is set past that time on that day, it is the instant of the jump; where the clock shows it twice, the first time.
    """
    at = at.astimezone(UTC)
    if not isinstance(span, CalendarSpan) or span.days == 0:
        return at + span
    zone = zone_of(plan, contact)
    days = timedelta(days=span.days)
    return instant_of(wall_clock(at, zone) + days, zone) + (span - days)


def send_at(plan: Plan, node: Node, now: datetime, contact: Contact = NOBODY) -> datetime:
    """When the message of a node entered `now` is to leave.

    After its delay, in an allowed moment; put off from there by the contact's share of the jitter, so that those who wait for the same opening do
    not leave at once; and in an allowed moment again. Contact and node decide the share, for ever.
    """
    base = next_allowed(plan, later(plan, now, node.delay, contact), contact)
    if not plan.jitter:
        return base
    return next_allowed(plan, base + share("jitter", contact.id, node.id) * plan.jitter, contact)


def is_allowed(plan: Plan, at: datetime, contact: Contact = NOBODY) -> bool:
    """Whether no rule of the plan closes the instant."""
    return closed_by(plan, at, contact) is None


def closed_by(plan: Plan, at: datetime, contact: Contact = NOBODY) -> Rule | None:
    """The first rule that closes the instant: quiet hours, then the send window, then holidays."""
    if not opening.has_rules(plan):
        return None
    return opening.rule_against(plan, wall_clock(at, zone_of(plan, contact)))


def next_allowed(plan: Plan, at: datetime, contact: Contact = NOBODY) -> datetime:
    """The first allowed instant at or after `at` (aware), in UTC.

    Raises:
        PlanError: `never_open`, where nothing is ever allowed (a plan that the verifier passed always allows something).
    """
    at = at.astimezone(UTC)
    if not opening.has_rules(plan):
        return at
    zone = zone_of(plan, contact)
    while True:
        wall = wall_clock(at, zone)
        wait = opening.next_open(plan, wall) - wall
        if not wait:
            return at
        change = next_change(at, zone)
        if change is None or at + wait < change:
            return at + wait
        at = change


def never_open(plan: Plan) -> bool:
    """Whether nothing is ever allowed: quiet hours and send window leave nothing of any week, or holidays take what they leave for a whole year.

    Raises:
        PlanError: `unknown_region`.
    """
    return opening.never_open(plan)


def longest_closed(plan: Plan) -> timedelta:
    """How long a send can wait beyond its delay: for the next allowed moment, from any instant of `holidays.YEARS`, and for its jitter.

    An upper bound; without jitter, and where the clocks are never set, a wait that comes.

    Raises:
        PlanError: `never_open`; `unknown_timezone`; `unknown_region`.
    """
    run = opening.longest_run(plan)
    if not run:
        return plan.jitter
    shift = LARGEST_SHIFT if plan.timezone == CONTACT_ZONE else clock_shift(known_zone(plan.timezone))
    shortest = opening.shortest_opening(plan)
    # A clock set forward can jump over a whole opening: then it is the next one that ends the wait.
    wait = shift + (run if shortest > shift else 2 * run)
    # Who leaves an opening's start by less than the opening's length is still in it.
    return wait + plan.jitter + (wait if plan.jitter and plan.jitter + shift >= shortest else timedelta(0))


def retry_at(now: datetime, attempts: int) -> datetime | None:
    """When a message that was refused for now is tried again: always 20 minutes later, so that a plan's timing stays predictable.

    Args:
        attempts: how often it has been handed over so far.

    Returns:
        None when all of `MAX_ATTEMPTS` are used up.
    """
    return now + RETRY_DELAY if attempts < MAX_ATTEMPTS else None
