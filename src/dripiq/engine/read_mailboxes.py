"""What came into the mailboxes that senders have of their own?

Each is opened, read and closed in turn, a few beside each other in threads of their own: one that is away or refuses is said in a line, and holds up nobody.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from dripiq.channels.imap import ImapMailbox, MailboxError
from dripiq.domain.accounts import Mailbox
from dripiq.domain.errors import DripiqError
from dripiq.engine.arrive import arrive_for
from dripiq.engine.clock import Clock
from dripiq.repositories.sender_accounts import find_mailboxes

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Mailboxes read beside each other, in threads that nothing else waits for."""

Opener = Callable[[Mailbox], ImapMailbox]
"""Opens a sender's mailbox."""


class MailboxReader:
    """Reads the mailboxes of all tenants' senders, again and again."""

    def __init__(self, database: Engine, clock: Clock, opener: Opener) -> None:
        self._database, self._clock, self._opener = database, clock, opener
        self._threads = ThreadPoolExecutor(AT_ONCE, "mailbox")

    async def read(self) -> int:
        """Archive what is new in each; how many mails. Each mail is marked there once that is committed, and so is one that is no business of ours."""
        loop = asyncio.get_running_loop()
        mailboxes = await asyncio.to_thread(self._find)
        return sum(
            await asyncio.gather(*(loop.run_in_executor(self._threads, self._read, mailbox) for mailbox in mailboxes))
        )

    def close(self) -> None:
        """Let go of the threads; what is being read is finished."""
        self._threads.shutdown(cancel_futures=True)

    def _find(self) -> Sequence[Mailbox]:
        with self._database.connect() as connection:
            return find_mailboxes(connection)

    def _read(self, mailbox: Mailbox) -> int:
        archived = 0
        try:
            box = self._opener(mailbox)
            try:
                for uid, raw in box.new():
                    with self._database.begin() as connection:
                        archived += arrive_for(connection, mailbox.tenant_id, raw, self._clock.now(connection))
                    box.mark(uid)
            finally:
                box.close()
        except (MailboxError, DripiqError) as error:
            logger.warning("the mailbox of sender %s (%s) is not read: %s", mailbox.sender_id, mailbox.imap.host, error)
        return archived
