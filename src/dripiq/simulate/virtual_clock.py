"""What time is it in a simulation, and where does the clock stop next?

The clock jumps from stop to stop, wherever work is due. Stops lie on a grid of ticks, so that work comes in batches: what is due between two ticks is done
at the later one. Where the plan's window would close in between, the clock stops a moment before, so that no send misses its window for the grid's sake.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from dripiq.domain.moves import Contact
from dripiq.domain.plan.model import Plan
from dripiq.domain.timing import is_allowed, next_allowed

_TICKS: Final = (
    (timedelta(days=1), timedelta(minutes=1)),
    (timedelta(days=10), timedelta(minutes=15)),
)
_LONGEST_TICK: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)


def tick_for(longest: timedelta) -> timedelta:
    """The tick for a plan that takes at most this long: a minute up to a day, a quarter of an hour up to ten days, else an hour."""
    return next((tick for length, tick in _TICKS if longest <= length), _LONGEST_TICK)


@dataclass
class VirtualClock:
    """A clock for the engine that moves when it is told to.

    Attributes:
        start: the grid's origin (aware, UTC, a whole second).
        tick: the grid's step.
        time: now.
    """

    start: datetime
    tick: timedelta
    time: datetime

    def now(self, connection: Connection) -> datetime:
        """The virtual time."""
        return self.time

    def tick_after(self, at: datetime) -> datetime:
        """The first tick at or after an instant, and after now."""
        ticks = -((self.start - at) // self.tick)
        on_grid = self.start + ticks * self.tick
        return on_grid if on_grid > self.time else self.tick_after(self.time + _SECOND)

    def stop_for(self, due: datetime, plan: Plan, contacts: Iterable[Contact]) -> datetime:
        """Where to stop for an action that is due then: at its tick, or, where a window of one of these contacts closes in between, just before that."""
        stop, due = self.tick_after(due), max(due, self.time + _SECOND)
        closings = (
            _last_open(plan, contact, opened, stop)
            for contact in contacts
            if not is_allowed(plan, stop, contact) and (opened := next_allowed(plan, due, contact)) < stop
        )
        return min(closings, default=stop)


def _last_open(plan: Plan, contact: Contact, opened: datetime, closed: datetime) -> datetime:
    """The last whole second after `opened` in which sends are allowed; by `closed` they are not."""
    low, high = 0, int((closed - opened) / _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if is_allowed(plan, opened + middle * _SECOND, contact):
            low = middle
        else:
            high = middle
    return opened + low * _SECOND
