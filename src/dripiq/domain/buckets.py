"""When is there room for one more?

A limit holds over any window of its period. Time is cut into slices, a twentieth of the period each; a bucket counts, slice by slice, what has left and what
is booked to leave. A window of one period touches at most twenty-one slices, so as long as no twenty-one in a row hold more than the limit, no window does,
wherever it begins, and wherever in its slice a send leaves. What does not fit now books the first slice in which all of its buckets have room: slices ahead
belong to whoever booked them, in each bucket by itself, so that a full one holds up nobody who does not need it. Bookings fill 95 % of a limit, evenly; the
rest is for sends that come late to their slice, and book again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Final, NamedTuple

from dripiq.domain.limits import Key, Period
from dripiq.domain.states import LimitScope

SLICES: Final = 20
"""A period's slices."""

HORIZON: Final = timedelta(hours=6)
"""How far ahead slots are booked. What finds none before asks again then: so much of a tenant's time, at most, is lost by bookings that come to nothing."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Bucket:
    """What one key has let go and promised. Changes are in memory, and `changed` says so."""

    def __init__(self, key: Key, most: int, first: int = 0, taken: Sequence[int] = ()) -> None:
        """
        Args:
            first: the slice that `taken` begins with, counted from 1970.
        """
        self.key = key
        self.changed = False
        self._most = most
        self._promised = ceil(most * 0.95)
        self._at_once = ceil(most / 10)
        self._evenly = ceil(self._promised / SLICES)
        self._length = key.period.span / SLICES
        self._taken = {first + n: count for n, count in enumerate(taken) if count}
        self._full = (0, 0)  # no room to book in these slices, the last excluded

    def has_room(self, now: datetime) -> bool:
        """Whether one more may leave at once."""
        return self._blocked_to(self._slice(now), self._at_once, self._most) is None

    def next_room(self, at: datetime) -> datetime:
        """The first instant from `at` on that can be booked."""
        begun = slice_ = self._slice(at)
        over = self._slice(at + 2 * HORIZON + self.key.period.span)
        if self._full[0] <= slice_ < self._full[1]:
            slice_ = self._full[1]
        while slice_ < over and (blocked := self._blocked_to(slice_, self._evenly, self._promised)) is not None:
            slice_ = blocked
        if begun <= self._full[0] or begun >= self._full[1]:
            self._full = (begun, slice_)
        else:
            self._full = (self._full[0], slice_)
        return max(at, _EPOCH + slice_ * self._length)

    def take(self, at: datetime) -> None:
        """Count one that leaves, or is booked to leave, at that time."""
        self._change(at, 1)

    def give_back(self, at: datetime) -> None:
        """Count one less: what was booked there leaves at another time, or not at all."""
        if self._taken.get(self._slice(at), 0) > 0:
            self._change(at, -1)
            self._full = (0, 0)

    def stored(self, now: datetime) -> tuple[int, list[int]]:
        """What has to be kept: the first slice and the counts from there; what no window reaches any more is left out."""
        kept = [slice_ for slice_ in self._taken if slice_ >= self._slice(now) - SLICES]
        if not kept:
            return 0, []
        first, last = min(kept), max(kept)
        return first, [self._taken.get(slice_, 0) for slice_ in range(first, last + 1)]

    def _slice(self, at: datetime) -> int:
        return (at - _EPOCH) // self._length

    def _change(self, at: datetime, by: int) -> None:
        slice_ = self._slice(at)
        self._taken[slice_] = self._taken.get(slice_, 0) + by
        self.changed = True

    def _blocked_to(self, slice_: int, in_slice: int, in_window: int) -> int | None:
        """None where a slice has room; else the first slice behind what fills it."""
        count = self._taken.get
        held = sum(count(each, 0) for each in range(slice_ - SLICES, slice_ + 1))
        blocked = None
        if count(slice_, 0) >= in_slice:
            blocked = slice_ + 1
        for first in range(slice_ - SLICES, slice_ + 1):
            if held >= in_window:
                blocked = max(blocked or 0, first + SLICES + 1)
            held += count(first + SLICES + 1, 0) - count(first, 0)
        return blocked


class Slot(NamedTuple):
    """When a send may leave that may not now, which key holds it up, and whether the time is to be booked or only to be asked again."""

    at: datetime
    key: Key
    is_free: bool


def find_slot(buckets: Sequence[Bucket], now: datetime, opens: Callable[[datetime], datetime]) -> Slot | None:
    """None where a send may leave now; else the first instant at which all of its buckets have room and its plan lets it leave.

    Args:
        opens: the first instant from one on at which the plan's windows are open.
    """
    full = next((bucket for bucket in buckets if not bucket.has_room(now)), None)
    if full is None:
        return None
    at, key = now, full.key
    while at < now + HORIZON:
        later = at
        for bucket in buckets:
            free = bucket.next_room(at)
            if free > later:
                later, key = free, bucket.key
        later = opens(later)
        if later == at:
            return Slot(at, key, is_free=True)
        at = later
    return Slot(now + HORIZON, key, is_free=False)


class Booking(NamedTuple):
    """A slot that a send has, and in which buckets it was counted."""

    at: datetime
    keys: tuple[Key, ...]

    def as_json(self) -> dict[str, Any]:
        """As it is stored with its message."""
        return {"at": self.at.isoformat(), "keys": [list(key) for key in self.keys]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Booking":
        """As `as_json` wrote it."""
        keys = (Key(LimitScope(scope), value, Period(period)) for scope, value, period in stored["keys"])
        return cls(datetime.fromisoformat(stored["at"]), tuple(keys))


class Ledger:
    """The buckets of a batch of sends, decided in its order."""

    def __init__(self, buckets: Mapping[Key, Bucket]) -> None:
        self._buckets = buckets

    @property
    def changed(self) -> list[Bucket]:
        """The buckets that have to be written."""
        return [bucket for bucket in self._buckets.values() if bucket.changed]

    def return_booking(self, booking: Booking | None) -> None:
        """Give back what was booked; what leaves in its slice takes it again, whoever comes late asks anew."""
        for key in booking.keys if booking is not None else ():
            if key in self._buckets:
                self._buckets[key].give_back(booking.at)  # type: ignore[union-attr]

    def decide(self, keys: Iterable[Key], now: datetime, opens: Callable[[datetime], datetime]) -> Slot | None:
        """Let a send leave now (None) or book its slot, and count it."""
        buckets = [self._buckets[key] for key in keys]
        slot = find_slot(buckets, now, opens)
        if slot is None or slot.is_free:
            for bucket in buckets:
                bucket.take(slot.at if slot is not None else now)
        return slot

    def undo(self, keys: Iterable[Key], now: datetime) -> None:
        """Take back what was counted for a send that does not leave now after all."""
        for key in keys:
            self._buckets[key].give_back(now)
