"""What does a worker do all day?

Four loops side by side: act on what is due, normalise what came in, put right what broke, and listen for news. Each waits for a signal (LISTEN) with polling
behind it; any number of workers run the same loops, on any number of machines. A failed database is waited for, never fatal.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dripiq.channels.imap import ImapMailbox
from dripiq.channels.imap_line import MailboxError
from dripiq.channels.inbound_readers import IMAP
from dripiq.domain.sender_health import Tolerance
from dripiq.engine.arrive import arrive
from dripiq.engine.claim import Share, claim, find_due
from dripiq.engine.dispatch import Outbox, dispatch
from dripiq.engine.fire import fire
from dripiq.engine.normalise import find_tenants, normalise
from dripiq.engine.pause_sender import pause_troubled
from dripiq.engine.read_mailboxes import MailboxReader, Opener
from dripiq.engine.receive import find_tenants as find_receivers
from dripiq.engine.receive import receive
from dripiq.engine.release import release_reassigned
from dripiq.engine.resolve import settle
from dripiq.engine.upkeep import drop_partitions, expire, make_partitions, prune_buckets
from dripiq.repositories.queue import find_next_due

logger = logging.getLogger(__name__)

PRUNE_EVERY = 100
"""Rounds of upkeep from one pruning to the next."""

RELEASE_EVERY = 6
"""Rounds of upkeep from one look for what is held for another's sender to the next: it reads all that is held."""

_WORST_PAUSE = 30.0
"""Seconds between tries while the database is away."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a worker takes its time.

    Attributes:
        share: what it takes of one tenant at a time.
        poll: the longest it waits for work without a signal; also how often it looks where no signal can reach it.
        upkeep: how often it looks for what has to be put right.
        keep_months: how many full months of events are kept before the current one; None keeps all.
        mailbox_period: how often a mailbox that a sender has of its own is read, by whichever worker.
        tolerance: what a sender's bounces and complaints may come to before it is paused; None pauses none.
        listen_url: a direct libpq URL for LISTEN; None behind a transaction pooler, where `poll` alone serves.
    """

    share: Share = field(default_factory=Share)
    poll: timedelta = timedelta(seconds=5)
    upkeep: timedelta = timedelta(seconds=10)
    mailbox_period: timedelta = timedelta(minutes=1)
    listen_url: str | None = None
    keep_months: int | None = None
    tolerance: Tolerance | None = None


class Worker:
    """One worker: `run` until `stop`. `done` counts what it did, by kind."""

    def __init__(
        self, outbox: Outbox, pace: Pace, mailbox: ImapMailbox | None = None, own_mailboxes: Opener | None = None
    ) -> None:
        self._outbox = outbox
        self._mailbox = mailbox
        self._pace = pace
        self._reader = (
            MailboxReader(outbox.database, outbox.clock, own_mailboxes, pace.mailbox_period)
            if own_mailboxes is not None
            else None
        )
        self._stopping = asyncio.Event()
        self._news = {"act": asyncio.Event(), "normalise": asyncio.Event()}
        self._last_tenant = ""
        self._rounds = 0
        self.done: Counter[str] = Counter()

    async def run(self) -> None:
        """Work until `stop` is called; what is in hand is finished first."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen()) if self._pace.listen_url is not None else None
            working = [
                group.create_task(self._repeat("act", self._act, self._until_next_due)),
                group.create_task(self._repeat("normalise", self._normalise, self._poll_only)),
                group.create_task(self._repeat("upkeep", self._upkeep, self._upkeep_only)),
            ]
            if self._mailbox is not None:
                working.append(group.create_task(self._read_mailbox(self._mailbox)))
            if self._reader is not None:
                working.append(group.create_task(self._read_own_mailboxes(self._reader)))
            await asyncio.gather(*working)
            if listening is not None:
                listening.cancel()

    def stop(self) -> None:
        """End `run` once what is in hand is done. Safe to call from a signal handler of the loop, and again."""
        self._stopping.set()
        self._wake()

    async def run_until_idle(self) -> None:
        """Put right what broke, then work until nothing is due and nothing has come in, or until `stop`."""
        await self._upkeep()
        while not self._stopping.is_set() and await self.drain():
            pass

    async def drain(self) -> int:
        """Do one round of everything that is due or has come in; how much there was."""
        return await self._act() + await self._normalise()

    def _wake(self) -> None:
        for news in self._news.values():
            news.set()

    async def _repeat(
        self, name: str, work: Callable[[], Awaitable[int]], wait: Callable[[], Awaitable[float]]
    ) -> None:
        failures = 0
        news = self._news.get(name)
        while not self._stopping.is_set():
            if news is not None:
                news.clear()
            try:
                busy = await work()
                pause = 0.0 if busy else await wait()
                failures = 0
            except Exception as error:
                failures += 1
                pause = min(_WORST_PAUSE, 0.2 * 2**failures)
                _log(f"{name}: failed; trying again in {pause:.1f} s", error)
            if pause > 0:
                await self._pause(pause, news if failures == 0 else None)

    async def _pause(self, seconds: float, news: asyncio.Event | None) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._stopping, news) if event is not None]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _act(self) -> int:
        """One round over the tenants with due actions."""
        outbox = self._outbox
        due = await asyncio.to_thread(find_due, outbox.database, outbox.clock, after=self._last_tenant)
        return await self._each(due, self.act_for)

    async def act_for(self, tenant_id: str) -> int:
        """Take a share of what is due for one tenant, and do it; how much that was."""
        outbox = self._outbox
        self._last_tenant = tenant_id
        lease = await asyncio.to_thread(claim, outbox.database, outbox.clock, tenant_id, self._pace.share)
        if lease.actions:
            self.done["timers"] += await asyncio.to_thread(fire, outbox.database, outbox.clock, lease)
            self.done.update(await dispatch(outbox, lease))
        return len(lease.actions)

    async def _each(self, tenants: Iterable[str], work: Callable[[str], Awaitable[int]]) -> int:
        """Work for one tenant after the other; what fails for one does not keep the others waiting. Raises only where nothing could be done."""
        done, failure = 0, None
        for tenant_id in tenants:
            if self._stopping.is_set():
                break
            try:
                done += await work(tenant_id)
            except Exception as error:
                _log(f"work for tenant {tenant_id} failed", error)
                failure = error
        if failure is not None and not done:
            raise failure
        return done

    async def _normalise(self) -> int:
        """One round over the tenants with deliveries to read, then over those with mail to read."""
        database, clock, replies = self._outbox.database, self._outbox.clock, self._outbox.replies
        waiting = await asyncio.to_thread(find_tenants, database, clock)
        worked = await self._each(waiting, lambda tenant_id: asyncio.to_thread(normalise, database, clock, tenant_id))
        written = await asyncio.to_thread(find_receivers, database)
        worked += await self._each(
            written, lambda tenant_id: asyncio.to_thread(receive, database, clock, tenant_id, replies)
        )
        if worked:
            self.done["deliveries"] += worked
            self._news["act"].set()  # a move may have scheduled something that is due at once
        return worked

    async def _read_mailbox(self, mailbox: ImapMailbox) -> None:
        async def wait() -> float:
            await asyncio.to_thread(mailbox.wait, self._pace.poll.total_seconds())
            return 0.0

        await self._repeat("mailbox", self.fetch, wait)
        await asyncio.to_thread(mailbox.close)

    async def _read_own_mailboxes(self, reader: MailboxReader) -> None:
        async def work() -> int:
            self.done["fetched"] += await reader.read(self._stopping.is_set)
            return 0

        await self._repeat("senders' mailboxes", work, self._poll_only)
        await asyncio.to_thread(reader.close)

    async def fetch(self) -> int:
        """Archive what is new in the mailbox; how many mails. Each is marked there once it is committed here."""
        fetched = await asyncio.to_thread(self._fetch)
        self.done["fetched"] += fetched
        return fetched

    def _fetch(self) -> int:
        fetched = 0
        for uid, raw in self._mailbox.new() if self._mailbox is not None else ():
            with self._outbox.database.begin() as connection:
                arrive(connection, IMAP, raw, self._outbox.clock.now(connection), self._outbox.replies)
            if self._mailbox is not None:
                self._mailbox.mark(uid)
            fetched += 1
        return fetched

    async def _upkeep(self) -> int:
        outbox = self._outbox
        repairs = await asyncio.to_thread(expire, outbox.database, outbox.clock, self._pace.share.lease)
        self.done["leases_returned"] += repairs.leases_returned
        self.done["put_in_doubt"] += repairs.put_in_doubt
        self.done["doubts_settled"] += await asyncio.to_thread(settle, outbox.database, outbox.clock)
        await asyncio.to_thread(make_partitions, outbox.database, outbox.clock)
        self._rounds += 1
        if self._rounds % PRUNE_EVERY == 1:
            pruned = await asyncio.to_thread(prune_buckets, outbox.database, outbox.clock)
            self.done["buckets_pruned"] += pruned.buckets_pruned
        released = 0
        if self._rounds % RELEASE_EVERY == 1:
            released = await asyncio.to_thread(release_reassigned, outbox.database, outbox.clock)
            self.done["sends_released"] += released
        if self._pace.tolerance is not None:
            self.done["senders_paused"] += await asyncio.to_thread(
                pause_troubled, outbox.database, outbox.clock, self._pace.tolerance
            )
        if self._pace.keep_months is not None:
            await asyncio.to_thread(drop_partitions, outbox.database, outbox.clock, self._pace.keep_months)
        if repairs.leases_returned or released:
            self._news["act"].set()
        return 0

    async def _until_next_due(self) -> float:
        return await asyncio.to_thread(_seconds_to_next_due, self._outbox, self._pace.poll.total_seconds())

    async def _poll_only(self) -> float:
        return self._pace.poll.total_seconds()

    async def _upkeep_only(self) -> float:
        return self._pace.upkeep.total_seconds()

    async def _listen(self) -> None:
        """Turn NOTIFY into wake-ups; where the connection breaks, polling serves until it is back."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._pace.listen_url or "", autocommit=True
                ) as connection:
                    await connection.execute("LISTEN dripiq_work")
                    self._wake()  # what was notified while nobody listened
                    async for _ in connection.notifies():
                        self._wake()
            except psycopg.Error as error:
                logger.warning("LISTEN failed (%s); polling until it is back", type(error).__name__)
            await asyncio.sleep(1)


def _log(said: str, error: Exception) -> None:
    """A database that fails is news in a line; anything else is a fault of ours, with its traceback."""
    if isinstance(error, SQLAlchemyError):
        cause = error.orig if isinstance(error, DBAPIError) else error
        logger.warning("%s (the database: %s)", said, type(cause).__name__)
    elif isinstance(error, MailboxError):
        logger.warning("%s (%s)", said, error)
    else:
        logger.error(said, exc_info=error)


def _seconds_to_next_due(outbox: Outbox, at_most: float) -> float:
    database: Engine = outbox.database
    with database.begin() as connection:
        due = find_next_due(connection)
        if due is None:
            return at_most
        ahead = (due - outbox.clock.now(connection)).total_seconds()
    return min(at_most, max(0.01, ahead))
