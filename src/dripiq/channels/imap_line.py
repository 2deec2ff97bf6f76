"""How is a mailbox's server spoken to?

- Over TLS it has to prove its name, as everywhere: `imaplib` alone, and libraries over it, ask for no certificate.
- Each step ends in time. A socket's own time-out bounds one read, and who sends a byte now and then is never late for that; so the connection is cut when a
  step has taken too long.
"""

import imaplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from imap_tools import BaseMailBox

Opened = Callable[[imaplib.IMAP4], None]


class MailboxError(Exception):
    """The server is away, or refuses; it may be better later."""


class Cutter:
    """Cuts a connection when a step over it takes too long."""

    def __init__(self) -> None:
        self._client: imaplib.IMAP4 | None = None

    def watch(self, client: imaplib.IMAP4) -> None:
        """From now on it is this one's connection."""
        self._client = client

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let a step take so long, and no longer. Raises MailboxError if it would."""
        over, cut = threading.Event(), threading.Event()
        guard = threading.Thread(target=self._cut_after, args=(seconds, over, cut), name="mailbox guard", daemon=True)
        guard.start()
        try:
            yield
        except Exception:
            if cut.is_set():
                raise MailboxError(f"The server was not done after {seconds:.0f} s.") from None
            raise
        finally:
            over.set()
            guard.join()

    def cut(self) -> None:
        """Cut the connection that there is; whoever reads on it, in another thread, finds it ended."""
        if self._client is not None:
            with suppress(OSError):  # it is gone already
                # The plain socket's: that of TLS would take away what the other thread is reading with.
                socket.socket.shutdown(self._client.socket(), socket.SHUT_RDWR)

    def _cut_after(self, seconds: float, over: threading.Event, cut: threading.Event) -> None:
        while not over.wait(seconds):
            cut.set()
            self.cut()
            seconds = 0.2  # it may be opened just now, or wrapped into TLS


def connect(
    host: str, port: int, *, security: str, timeout: float, tls_context: ssl.SSLContext | None, opened: Opened
) -> BaseMailBox:
    """A connection that nobody has logged in on.

    Args:
        security: `tls`, `starttls` or `none`.
        timeout: seconds for connecting, and then for each read.
        tls_context: trust other than the system's.
        opened: told as soon as there is a socket, before the server has said anything.

    Raises:
        OSError: the server is away, or its certificate is not trusted (`ssl.SSLCertVerificationError`).
        imaplib.IMAP4.error: it does not speak IMAP, or no TLS.
    """
    if security == "tls":
        return _Box(_TlsClient(opened, host, port, tls_context or _system_trust(), timeout))
    client = _Client(opened, host, port, timeout)
    if security == "starttls":
        try:
            client.starttls(tls_context or _system_trust())
        except BaseException:
            with suppress(OSError):  # TLS has it, and has closed it
                client.shutdown()
            raise
    return _Box(client)


@cache
def _system_trust() -> ssl.SSLContext:
    """Made once: it reads all certificates that the system trusts."""
    return ssl.create_default_context()


class _Client(imaplib.IMAP4):
    def __init__(self, opened: Opened, host: str, port: int, timeout: float) -> None:
        self._opened = opened
        super().__init__(host, port, timeout)

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        super().open(host, port, timeout)
        self._opened(self)


class _TlsClient(imaplib.IMAP4_SSL):
    def __init__(self, opened: Opened, host: str, port: int, context: ssl.SSLContext, timeout: float) -> None:
        self._opened = opened
        super().__init__(host, port, ssl_context=context, timeout=timeout)

    def open(self, host: str = "", port: int | None = 993, timeout: float | None = None) -> None:
        super().open(host, port, timeout)
        self._opened(self)


class _Box(BaseMailBox):
    """What the library makes of a connection, over a client of ours."""

    def __init__(self, client: imaplib.IMAP4) -> None:
        self._given = client
        super().__init__()

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        return self._given
