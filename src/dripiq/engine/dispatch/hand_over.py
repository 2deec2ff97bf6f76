"""How does a batch of claimed sends go through its four steps?"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from dripiq.channels.base import Outcome, Sender, Verdict
from dripiq.domain.states import ActionStatus, ActionType, Channel
from dripiq.engine.clock import Clock
from dripiq.engine.dispatch.prepare import Ready, Unsubscribe, prepare
from dripiq.engine.dispatch.record import HandedOver, record
from dripiq.repositories.outbox import commit_to_send
from dripiq.repositories.queue import Lease, PutBack, lock_leased, put_back
from dripiq.repositories.sending_lock import lock_shared

LANES = 2
"""Sub-batches under way at once, so that one is in the provider's hands while another is in the database's."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """What dispatch works with: the database, the engine's clock, a sender per channel, and who makes unsubscribe links."""

    database: Engine
    clock: Clock
    senders: Mapping[Channel, Sender]
    unsubscribe: Unsubscribe | None = None


Tally = Counter[str]
"""How many messages of a batch ended how, by verdict; `not_committed` for those that went back before the hand-over."""


async def dispatch(outbox: Outbox, lease: Lease) -> Tally:
    """Send what a lease holds, and record what came of it. What no sender carries is held as `no_channel`.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed; the lease's end brings everything to rights.
    """
    tally: Tally = Counter()
    if not lease.of_type(ActionType.SEND):
        return tally
    prepared = await asyncio.to_thread(_prepare, outbox, lease)
    for channel, ready in prepared.items():
        sender = outbox.senders[channel]
        parts = _parts(ready, max(1, sender.capacity // LANES))
        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(_lane(outbox, lease, sender, parts, tally))
    return tally


async def _lane(outbox: Outbox, lease: Lease, sender: Sender, parts: Iterator[Sequence[Ready]], tally: Tally) -> None:
    for part in parts:
        committed = await asyncio.to_thread(_commit, outbox, lease, sender, part)
        tally["not_committed"] += len(part) - len(committed)
        if not committed:
            continue
        if time.monotonic() + sender.timeout.total_seconds() < lease.expires:
            outcomes = {o.id: o for o in await sender.send([ready.message for ready, _ in committed])}
        else:  # the process was stopped since the commit; nothing was handed over, and that is known
            outcomes = {
                r.message.id: Outcome(r.message.id, Verdict.TEMPORARY, code="lease_too_short") for r, _ in committed
            }
        handed = [HandedOver(ready, attempts, outcomes[ready.message.id]) for ready, attempts in committed]
        tally.update(str(h.outcome.verdict) for h in handed)
        await asyncio.to_thread(_record, outbox, lease, handed)


def _prepare(outbox: Outbox, lease: Lease) -> dict[Channel, list[Ready]]:
    providers = {channel: sender.provider for channel, sender in outbox.senders.items()}
    with outbox.database.begin() as connection:
        now = outbox.clock.now(connection)
        return prepare(connection, lease, lease.of_type(ActionType.SEND), providers, now, outbox.unsubscribe)


def _commit(outbox: Outbox, lease: Lease, sender: Sender, part: Sequence[Ready]) -> list[tuple[Ready, int]]:
    """The point of no return for a sub-batch; what may not leave any more goes back to the gates, which say why."""
    with outbox.database.begin() as connection:
        lock_shared(connection, lease.tenant_id, sender.channel)
        now = outbox.clock.now(connection)
        held = lock_leased(connection, lease, [ready.action_id for ready in part], now + sender.timeout)
        ours = [ready for ready in part if ready.action_id in held]
        attempts = commit_to_send(
            connection, lease.tenant_id, sender.channel, [ready.message.id for ready in ours], now
        )
        back = [
            PutBack(r.action_id, ActionStatus.PENDING, "not_committed") for r in part if r.message.id not in attempts
        ]
        put_back(connection, lease, back, now)
    return [(ready, attempts[ready.message.id]) for ready in ours if ready.message.id in attempts]


def _record(outbox: Outbox, lease: Lease, handed: Sequence[HandedOver]) -> None:
    with outbox.database.begin() as connection:
        record(connection, lease, handed, outbox.clock.now(connection))


def _parts(ready: Sequence[Ready], size: int) -> Iterator[Sequence[Ready]]:
    for start in range(0, len(ready), size):
        yield ready[start : start + size]
