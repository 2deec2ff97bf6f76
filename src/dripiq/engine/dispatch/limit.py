"""Which sends of a sub-batch may leave now without passing a limit, and when may the others?

Part of the transaction that commits to sending: it takes its turn at the tenant's limits before it looks at the clock, so that what is counted leaves
in the slice in which it is counted. What fits is counted now; what does not books its slot, and goes back until then.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from dripiq.domain.addresses import domain_of
from dripiq.domain.buckets import Booking, Ledger, Slot
from dripiq.domain.limits import Key, Rules
from dripiq.domain.states import ActionStatus, Channel
from dripiq.domain.timing import next_allowed
from dripiq.engine.dispatch.prepare import Ready
from dripiq.repositories.limits import book_slots, lock_limits, read_buckets, read_limits, write_buckets
from dripiq.repositories.queue import PutBack


class Turn:
    """This transaction's turn at the limits of one tenant and channel."""

    def __init__(
        self, tenant_id: str, channel: Channel, keys: Mapping[str, Mapping[Key, int]], ledger: Ledger | None
    ) -> None:
        self._tenant_id = tenant_id
        self._channel = channel
        self._keys = keys
        self._ledger = ledger
        self._slots: dict[str, Slot] = {}
        self._decided: list[Ready] = []

    def choose(self, sends: Sequence[Ready], now: datetime) -> list[Ready]:
        """Those that may leave now, in their order; the others have their slots."""
        if self._ledger is None:
            return list(sends)
        self._decided = list(sends)
        for send in sends:
            self._ledger.return_booking(send.booking)
        for send in sends:
            opens = partial(next_allowed, send.plan, contact=send.contact)
            slot = self._ledger.decide(self._keys[send.message.id], now, opens)
            if slot is not None:
                self._slots[send.message.id] = slot
        return [send for send in sends if send.message.id not in self._slots]

    def settle(self, connection: Connection, left: Iterable[str], now: datetime) -> list[PutBack]:
        """Write what was counted, give back what was for sends that did not leave, and say when the others are due.

        Args:
            left: the ids of the messages that are committed to sending.
        """
        if self._ledger is None:
            return []
        gone = set(left)
        bookings: dict[str, Booking | None] = {}
        for send in self._decided:
            id, slot = send.message.id, self._slots.get(send.message.id)
            if slot is not None and slot.is_free:
                bookings[id] = Booking(slot.at, tuple(self._keys[id]))
            elif id not in gone:
                if slot is None:
                    self._ledger.undo(self._keys[id], now)
                if send.booking is not None:
                    bookings[id] = None
        write_buckets(connection, self._tenant_id, self._channel, self._ledger.changed, now)
        book_slots(connection, self._tenant_id, bookings, now)
        return [
            PutBack(send.action_id, ActionStatus.PENDING, slot.key.code, slot.at)
            for send in self._decided
            if (slot := self._slots.get(send.message.id)) is not None
        ]


def take_turn(connection: Connection, tenant_id: str, channel: Channel, sends: Sequence[Ready]) -> Turn:
    """Read what limits these sends (ramps stand as when the messages were written), and wait for one's turn where anything does."""
    named = {send.sender_id for send in sends} | {domain_of(send.message.to_address) for send in sends}
    rules = Rules(read_limits(connection, tenant_id, channel, named), max(send.message.at for send in sends))
    keys = {send.message.id: rules.keys(send.sender_id, send.message.to_address) for send in sends}
    wanted = {key: most for each in keys.values() for key, most in each.items()}
    if not wanted:
        return Turn(tenant_id, channel, keys, None)
    lock_limits(connection, tenant_id, channel)
    return Turn(tenant_id, channel, keys, Ledger(read_buckets(connection, tenant_id, channel, wanted)))
