"""What came into the mailboxes that senders have of their own?

Each is read by one worker at a time, once a period however many workers there are: providers count log-ins. A claim is a lease, so what a dead worker held is
read by another when that has run out. A few are read beside each other, in threads of their own, and the next is claimed when one of these is free. A mailbox
that is away or refuses is tried ever more rarely, says why, and holds up nobody.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dripiq.channels.imap import ImapMailbox
from dripiq.channels.imap_line import MailboxError
from dripiq.domain.accounts import Mailbox, rest
from dripiq.domain.errors import DripiqError
from dripiq.engine.arrive import arrive_for
from dripiq.engine.clock import Clock
from dripiq.engine.translation import is_about_data
from dripiq.repositories.mailboxes import (
    ClaimedMailbox,
    Reading,
    claim_mailboxes,
    find_mailbox_tenants,
    record_readings,
)

logger = logging.getLogger(__name__)

AT_ONCE = 8
"""Mailboxes that a worker reads beside each other, in threads that nothing else waits for."""
LEASE = timedelta(minutes=5)
"""How long a mailbox may be a worker's. Half of it is for taking mails; a server that says nothing is given up well within the other half. Two that read the
same mailbox nevertheless do no harm: a mail is archived once."""
LOOKS_AGAIN = 5.0
"""Seconds: as often it is asked what else is due while mailboxes are read, so that one that takes its time holds up none that fall due meanwhile."""

Opener = Callable[[Mailbox], ImapMailbox]
"""Opens a sender's mailbox."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What a thread found: how many mails were archived, and why no more (None: all was read)."""

    claimed: ClaimedMailbox
    archived: int
    error: str | None


class MailboxReader:
    """Reads the mailboxes of all tenants' senders, each once in `period`."""

    def __init__(
        self, database: Engine, clock: Clock, opener: Opener, period: timedelta = timedelta(minutes=1)
    ) -> None:
        self._database, self._clock, self._opener, self._period = database, clock, opener, period
        self._threads = ThreadPoolExecutor(AT_ONCE, "mailbox")
        self._open: set[ImapMailbox] = set()

    async def read(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Read what is due until nothing is, or until `stopping`, when who says nothing is given up; how many mails were archived.

        Each mail is marked in the mailbox once it is committed here, and so is one that is no business of ours.
        """
        loop = asyncio.get_running_loop()
        archived, reading = 0, dict[asyncio.Future[_Read | None], str]()
        try:
            while True:
                if len(reading) < AT_ONCE and not stopping():
                    for claimed in await asyncio.to_thread(self._claim, AT_ONCE - len(reading)):
                        if claimed.id not in reading.values():  # it hangs here, longer than its lease
                            reading[loop.run_in_executor(self._threads, self._read, claimed, stopping)] = claimed.id
                if not reading:
                    return archived
                done, _ = await asyncio.wait(reading, timeout=LOOKS_AGAIN, return_when=asyncio.FIRST_COMPLETED)
                if stopping() and not done:
                    for box in tuple(self._open):
                        box.abandon()
                for future in done:
                    del reading[future]
                found = [read for future in done if (read := future.result()) is not None]
                await asyncio.to_thread(self._record, found)
                archived += sum(read.archived for read in found)
        finally:
            if reading:
                await asyncio.wait(reading)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _claim(self, free: int) -> list[ClaimedMailbox]:
        """As many as there are threads free, those that have been due for longest first."""
        claimed: list[ClaimedMailbox] = []
        with self._database.begin() as connection:
            now = self._clock.now(connection)
            tenants = find_mailbox_tenants(connection, now, free)
        for tenant_id in tenants:
            with self._database.begin() as connection:
                now = self._clock.now(connection)
                room = free - len(claimed)
                claimed += claim_mailboxes(connection, tenant_id, now=now, until=now + LEASE, limit=room)
            if len(claimed) == free:
                break
        return claimed

    def _record(self, found: Sequence[_Read]) -> None:
        for tenant_id in sorted({read.claimed.mailbox.tenant_id for read in found}):
            own = [read for read in found if read.claimed.mailbox.tenant_id == tenant_id]
            with self._database.begin() as connection:
                now = self._clock.now(connection)
                readings = [
                    Reading(
                        read.claimed,
                        # Counted from its claim, so that the period is one however long the reading takes.
                        read.claimed.claimed_at + self._period
                        if read.error is None
                        else now + rest(self._period, read.claimed.failures + 1),
                        read.error,
                    )
                    for read in own
                ]
                record_readings(connection, tenant_id, readings, now)

    def _read(self, claimed: ClaimedMailbox, stopping: Callable[[], bool]) -> _Read | None:
        """In a thread. None where it was the database that failed, or we that left: the lease is left to run out."""
        archived, error = 0, None
        try:
            for new in self._take(claimed.mailbox, stopping):
                archived += new
        except (MailboxError, DripiqError) as failed:
            if stopping():
                return None
            error = str(failed)
            logger.warning("%s: %s", _said(claimed), error)
        except Exception as failed:  # what one mailbox holds must not keep the others waiting
            if isinstance(failed, SQLAlchemyError) and not (isinstance(failed, DBAPIError) and is_about_data(failed)):
                logger.warning("%s (the database: %s)", _said(claimed), type(failed).__name__)
                return None
            error = f"Reading it failed ({type(failed).__name__}); the worker's log says where."
            logger.exception("%s", _said(claimed))
        return _Read(claimed, archived, error)

    def _take(self, mailbox: Mailbox, stopping: Callable[[], bool]) -> Iterator[bool]:
        """Archive and mark what is new, while there is time; of each mail, whether it was archived."""
        ends = time.monotonic() + LEASE.total_seconds() / 2
        box = self._opener(mailbox)
        self._open.add(box)
        try:
            more = True
            while more:
                more = False
                for uid, raw in box.new():
                    with self._database.begin() as connection:
                        new = arrive_for(connection, mailbox.tenant_id, raw, self._clock.now(connection))
                    box.mark(uid)
                    yield new
                    if stopping() or time.monotonic() > ends:
                        return
                    more = True
        finally:
            self._open.discard(box)
            box.close()


def _said(claimed: ClaimedMailbox) -> str:
    return f"the mailbox of sender {claimed.mailbox.sender_id} ({claimed.mailbox.imap.host}) is not read"
