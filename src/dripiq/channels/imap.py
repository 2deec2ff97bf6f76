"""How do replies come out of a mailbox?

Over IMAP (RFC 9051), from one folder; folders of sent mail are never opened. Rules:

- The mailbox itself remembers what was taken: each mail is marked with a keyword once it is archived. So there is no cursor that a new UIDVALIDITY could make
  void, several workers may look at once, and what was fetched and not archived is fetched again.
- Nothing that people see is changed: mail stays unread, and where it is.
- News comes by IDLE (RFC 2177) where the server has it; whoever waits looks again after a while in any case.
"""

import imaplib
import logging
import re
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from imap_tools import BaseMailBox, ImapToolsError, MailboxLoginError

from dripiq.channels.base import Secret
from dripiq.channels.imap_line import Cutter, MailboxError, connect
from dripiq.domain.errors import ConfigurationError

logger = logging.getLogger(__name__)

KEYWORD = "$Dripiq"
"""On mail that was archived."""
LOOKS_BACK = timedelta(days=30)
"""Older mail is left alone: a mailbox that is new to us may hold years of it."""
BATCH = 50
STEP = 4
"""A step is connecting and looking, fetching one mail, marking one; a large mail takes its time."""

_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")


class ImapMailbox:
    """A folder of a mailbox, read by one thread at a time; connects when it is needed.

    Args:
        security: `tls`, `starttls` or `none`.
        max_bytes: larger mail is passed over, with a line in the log.
        timeout: seconds that the server may say nothing; `STEP` times as long it may take for a step.
        tls_context: trust other than the system's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        username: str,
        password: Secret,
        security: str = "tls",
        folder: str = "INBOX",
        max_bytes: int = 35_000_000,
        timeout: float = 30.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._security, self._tls_context = host, port, security, tls_context
        self._username, self._password, self._folder = username, password, folder
        self._max_bytes, self._timeout = max_bytes, timeout
        self._open: BaseMailBox | None = None
        self._cutter = Cutter()

    def new(self) -> Iterator[tuple[str, bytes]]:
        """The mails that were not marked yet, at most `BATCH`: UID and bytes as stored.

        Raises:
            MailboxError: the server is away, or refuses.
            ConfigurationError: `mailbox_keeps_no_keywords`: its mail cannot be marked.
        """
        with self._speaking():
            box = self._connected()
            box.client.noop()  # servers may tell an open folder's news only after a command
            since = (datetime.now(UTC) - LOOKS_BACK).strftime("%d-%b-%Y")
            uids = box.uids(f"UNKEYWORD {KEYWORD} UNDELETED SINCE {since}")[:BATCH]
        for uid in uids:
            with self._speaking():
                raw = self._fetch(box, uid)
            if raw is not None:
                yield uid, raw

    def mark(self, uid: str) -> None:
        """Mark a mail as archived. Raises MailboxError."""
        with self._speaking():
            self._store(self._connected(), uid)

    def wait(self, seconds: float) -> None:
        """Return when there may be news, after `seconds` at the latest. Raises MailboxError."""
        with self._speaking(seconds):
            box = self._connected()
            if "IDLE" in box.client.capabilities:
                box.idle.wait(timeout=seconds)
                return
        time.sleep(seconds)

    def close(self) -> None:
        """Give up the connection."""
        box, self._open = self._open, None
        if box is not None:
            with suppress(Exception), self._cutter.within(self._timeout):  # it may be gone already
                box.client.logout()

    def abandon(self) -> None:
        """End what another thread does with it at once: there it is a MailboxError."""
        self._cutter.cut()

    @contextmanager
    def _speaking(self, waits: float = 0.0) -> Iterator[None]:
        """A step, beside `waits` seconds in which nothing is asked. Turns what a connection can raise into MailboxError, and gives the connection up: what
        it was about to answer is unknown."""
        try:
            with self._cutter.within(waits + STEP * self._timeout):
                yield
        except Exception as error:
            self.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise MailboxError(f"The server's certificate is not trusted: {error.verify_message}.") from None
            if isinstance(error, imaplib.IMAP4.error | ImapToolsError | OSError):
                raise MailboxError(f"The mailbox failed ({type(error).__name__}).") from None
            raise

    def _connected(self) -> BaseMailBox:
        if self._open is None:
            box = connect(
                self._host,
                self._port,
                security=self._security,
                timeout=self._timeout,
                tls_context=self._tls_context,
                opened=self._cutter.watch,
            )
            try:
                self._log_in(box)
                self._enter(box)
            except BaseException:
                with suppress(Exception):
                    box.client.logout()
                raise
            self._open = box
        return self._open

    def _log_in(self, box: BaseMailBox) -> None:
        password = self._password.get_secret_value()
        try:
            box.login(self._username, password, initial_folder=None)
        except MailboxLoginError as error:
            said = _words(error.command_result[1], hide=password)  # it is kept and shown
            raise MailboxError(f"The server refuses the log-in of {self._username}{said}.") from None

    def _enter(self, box: BaseMailBox) -> None:
        status, said = box.client.select(f'"{self._folder}"')
        if status != "OK":
            raise MailboxError(f"The server does not open the folder {self._folder}{_words(said)}.")
        _, kept = box.client.response("PERMANENTFLAGS")
        _check_keeps_keywords(kept)

    def _fetch(self, box: BaseMailBox, uid: str) -> bytes | None:
        """The mail; None where it is gone, or too large (which is marked, so that it is said once)."""
        _, said = box.client.uid("FETCH", uid, "(RFC822.SIZE)")
        size = _SIZE.search(b" ".join(part for part in said if isinstance(part, bytes)))
        if size is not None and int(size[1]) > self._max_bytes:
            logger.warning("a mail of %s bytes is too large and was passed over (UID %s)", size[1].decode(), uid)
            self._store(box, uid)
            return None
        _, parts = box.client.uid("FETCH", uid, "(BODY.PEEK[])")
        return next((bytes(part[1]) for part in parts if isinstance(part, tuple)), None)

    def _store(self, box: BaseMailBox, uid: str) -> None:
        status, _ = box.client.uid("STORE", uid, "+FLAGS.SILENT", f"({KEYWORD})")
        if status != "OK":
            raise MailboxError("The server refused to mark a mail.")


def _check_keeps_keywords(kept: list[bytes | None]) -> None:
    flags = b" ".join(part for part in kept if part)
    if b"\\*" not in flags and KEYWORD.encode().lower() not in flags.lower():
        raise ConfigurationError(
            "The mailbox keeps no keywords, so what was read in it cannot be marked. Forward its mail to another, or to Inbound Parse.",
            code="mailbox_keeps_no_keywords",
        )


def _words(said: Iterable[object], *, hide: str | None = None) -> str:
    """What a server says, for a sentence's end, without what is to be hidden."""
    text = b" ".join(part for part in said if isinstance(part, bytes)).decode(errors="replace")
    shown = text.replace(hide, "***") if hide else text
    words = "".join(letter for letter in shown if letter.isprintable())[:200].strip(" .")
    return f": {words}" if words else ""
