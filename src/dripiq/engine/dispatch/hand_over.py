"""How does a batch of claimed sends go through its four steps?"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from dripiq.channels.base import Outcome, Sender, Verdict
from dripiq.domain.accounts import Account
from dripiq.domain.reply_address import ReplyAddresses
from dripiq.domain.states import ActionStatus, ActionType, Channel
from dripiq.engine.clock import Clock
from dripiq.engine.dispatch.draft import Track, Unsubscribe
from dripiq.engine.dispatch.limit import take_turn
from dripiq.engine.dispatch.prepare import Ready, prepare
from dripiq.engine.dispatch.record import HandedOver, record
from dripiq.repositories.outbox import commit_to_send
from dripiq.repositories.queue import Lease, PutBack, lock_leased, put_back
from dripiq.repositories.sending_lock import lock_shared

RECORD_PAUSES = (0.1, 0.5, 2.0, 5.0)
"""Seconds between tries to record outcomes."""

LOCK_PATIENCE = timedelta(seconds=5)
"""How long the sends of a tenant are put off whose sending somebody's transaction holds up."""

LANES = 2
"""Sub-batches under way at once, so that one is in the provider's hands while another is in the database's."""


ACCOUNTS_AT_ONCE = 3
"""How many senders' own accounts are used at once, for one lease."""


class Accounts(Protocol):
    """The ways of sending of senders with accounts of their own; `provider` is the name stored with what leaves so."""

    provider: str

    def lend(self, account: Account) -> AbstractAsyncContextManager[Sender]:
        """An account's way of sending, for as long as it lasts."""
        ...


@dataclass(frozen=True, slots=True)
class Outbox:
    """What a worker works with: the database, the engine's clock, a sender per channel, who makes unsubscribe links and links that tell of clicks, and the
    addresses at which messages are answered. `accounts` lends the way of sending of senders that have one of their own; without, their mail leaves as the
    others'."""

    database: Engine
    clock: Clock
    senders: Mapping[Channel, Sender]
    unsubscribe: Unsubscribe | None = None
    track: Track | None = None
    replies: ReplyAddresses | None = None
    accounts: Accounts | None = None


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
        shared = [each for each in ready if each.account is None]
        own: dict[Account, list[Ready]] = {}
        for each in ready:
            if each.account is not None:
                own.setdefault(each.account, []).append(each)
        # Accounts beside each other, a few at a time: a server that is slow or refuses holds up its own sender's mail.
        turns = asyncio.Semaphore(ACCOUNTS_AT_ONCE)
        ways = [_over_account(outbox, lease, account, theirs, tally, turns) for account, theirs in own.items()]
        await _all(_over(outbox, lease, outbox.senders[channel], shared, tally), *ways)
    return tally


async def _over_account(
    outbox: Outbox, lease: Lease, account: Account, ready: Sequence[Ready], tally: Tally, turns: asyncio.Semaphore
) -> None:
    assert outbox.accounts is not None
    async with turns, outbox.accounts.lend(account) as sender:
        await _over(outbox, lease, sender, ready, tally)


async def _over(outbox: Outbox, lease: Lease, sender: Sender, ready: Sequence[Ready], tally: Tally) -> None:
    parts = _parts(ready, max(1, sender.capacity // LANES))
    await _all(*(_lane(outbox, lease, sender, parts, tally) for _ in range(LANES)))


async def _all(*work: Awaitable[None]) -> None:
    """Await all of it, whatever becomes of one: what fails does not cancel its neighbour, whose mail may be in the provider's hands."""
    for error in await asyncio.gather(*work, return_exceptions=True):
        if error is not None:
            raise error


async def _lane(outbox: Outbox, lease: Lease, sender: Sender, parts: Iterator[Sequence[Ready]], tally: Tally) -> None:
    for part in parts:
        committed = await asyncio.to_thread(_commit, outbox, lease, sender, part)
        tally["not_committed"] += len(part) - len(committed)
        if not committed:
            continue
        if time.monotonic() + sender.timeout.total_seconds() < lease.expires:
            outcomes = {o.id: o for o in await sender.send([ready.message for ready, _ in committed])}
            handed = [HandedOver(ready, attempts, _outcome_of(ready, outcomes)) for ready, attempts in committed]
            tally.update(str(h.outcome.verdict) for h in handed if h.outcome is not None)
        else:  # the process was stopped since the commit; nothing was handed over, and that is known
            handed = [HandedOver(ready, attempts, None) for ready, attempts in committed]
            tally["lease_too_short"] += len(handed)
        await _record_patiently(outbox, lease, handed)


def _outcome_of(ready: Ready, outcomes: Mapping[str, Outcome]) -> Outcome:
    """What the sender said of a message; of one that it forgot, nobody knows."""
    return outcomes.get(ready.message.id) or Outcome(ready.message.id, Verdict.UNKNOWN, code="no_outcome")


async def _record_patiently(outbox: Outbox, lease: Lease, handed: Sequence[HandedOver]) -> None:
    """Record outcomes, again and again while the database fails: what is known of a hand-over should not become a doubt. The last time without stopping
    others' campaigns, which somebody may hold for long: the gates stop these."""
    for pause in RECORD_PAUSES:
        try:
            await asyncio.to_thread(_record, outbox, lease, handed)
        except SQLAlchemyError:
            await asyncio.sleep(pause)
        else:
            return
    await asyncio.to_thread(_record, outbox, lease, handed, stops_others=False)


def _prepare(outbox: Outbox, lease: Lease) -> dict[Channel, list[Ready]]:
    """Judge what the lease holds. While somebody's open transaction holds up this tenant's sending, all of it waits."""
    providers = {channel: sender.provider for channel, sender in outbox.senders.items()}
    sends = lease.of_type(ActionType.SEND)
    own = outbox.accounts.provider if outbox.accounts is not None else None
    try:
        with outbox.database.begin() as connection:
            now = outbox.clock.now(connection)
            return prepare(
                connection, lease, sends, providers, now, outbox.unsubscribe, outbox.track, outbox.replies, own
            )
    except OperationalError as error:
        _wait_for_lock(outbox, lease, [action.id for action in sends], error)
    return {}


def _commit(outbox: Outbox, lease: Lease, sender: Sender, part: Sequence[Ready]) -> list[tuple[Ready, int]]:
    """Commit a sub-batch to sending. While somebody's open transaction holds up this tenant's sending, it waits; others' does not."""
    try:
        return _commit_part(outbox, lease, sender, part)
    except OperationalError as error:
        _wait_for_lock(outbox, lease, [ready.action_id for ready in part], error)
    return []


def _wait_for_lock(outbox: Outbox, lease: Lease, action_ids: Sequence[str], error: OperationalError) -> None:
    """Put sends off that found a lock taken; what else failed is raised again."""
    if not isinstance(error.orig, LockNotAvailable):
        raise error
    with outbox.database.begin() as connection:
        now = outbox.clock.now(connection)
        later = now + LOCK_PATIENCE
        back = [PutBack(action_id, ActionStatus.PENDING, "sending_held_up", later) for action_id in action_ids]
        put_back(connection, lease, back, now)


def _commit_part(outbox: Outbox, lease: Lease, sender: Sender, part: Sequence[Ready]) -> list[tuple[Ready, int]]:
    """The point of no return for a sub-batch; what a limit holds waits for its slot, and what may not leave any more goes back to the gates, which say why."""
    with outbox.database.begin() as connection:
        lock_shared(connection, lease.tenant_id, sender.channel)
        turn = take_turn(connection, lease.tenant_id, sender.channel, part)
        now = outbox.clock.now(connection)
        held = lock_leased(connection, lease, [ready.action_id for ready in part], now + sender.timeout)
        ours = turn.choose([ready for ready in part if ready.action_id in held], now)
        attempts = commit_to_send(
            connection, lease.tenant_id, sender.channel, [ready.message.id for ready in ours], now
        )
        back = turn.settle(connection, attempts, now)
        waiting = {each.action_id for each in back}
        back += [
            PutBack(r.action_id, ActionStatus.PENDING, "not_committed")
            for r in part
            if r.message.id not in attempts and r.action_id not in waiting
        ]
        put_back(connection, lease, back, now)
    return [(ready, attempts[ready.message.id]) for ready in ours if ready.message.id in attempts]


def _record(outbox: Outbox, lease: Lease, handed: Sequence[HandedOver], *, stops_others: bool = True) -> None:
    with outbox.database.begin() as connection:
        record(connection, lease, handed, outbox.clock.now(connection), stops_others=stops_others)


def _parts(ready: Sequence[Ready], size: int) -> Iterator[Sequence[Ready]]:
    for start in range(0, len(ready), size):
        yield ready[start : start + size]
