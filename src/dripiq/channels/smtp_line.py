"""How far did one mail get on one SMTP connection?

A `Line` is a place for a connection: opened when it is needed, kept for the next mail, replaced when it has gone stale. It splits a mail
transaction (RFC 5321, section 3.3) where the answer to "may the server have it?" changes:

- `begin` (MAIL, RCPT, DATA up to the 354): whatever goes wrong here, the server has not got the mail; it raises `NotTaken`.
- `finish` (the mail and the final dot): only a reply tells. No reply means that nobody here knows.

aiosmtplib opens the connection; its `sendmail` and `data` report a connection lost in either half alike, hence `Replies`.
"""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from enum import StrEnum

import aiosmtplib

from dripiq.channels.base import Secret, Verdict, one_line
from dripiq.channels.smtp_replies import Replies
from dripiq.domain.sender_health import NOBODY

MAILS_PER_CONNECTION = 100
"""A connection is replaced after this many: servers commonly close it at 100 or soon after."""
IDLE_LIMIT = 60.0
"""Seconds after which an idle connection is not trusted: a firewall may have forgotten it without a word."""
_QUIT_TIMEOUT = 1.0
_AUTH_CODES = frozenset({530, 534, 535, 538})
"""RFC 4954, section 6: the session, not the mail, is refused."""
_CLOSING = 421
_OURS = _AUTH_CODES | {_CLOSING}
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?![\d.])")


class Security(StrEnum):
    """How a connection is protected: not at all, upgraded after the greeting (RFC 3207), or TLS from the first byte (RFC 8314)."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Server:
    """Where the mail goes, and who we say we are.

    Attributes:
        hostname: our name for EHLO (RFC 5321, section 4.1.4: a domain that resolves to this host, where there is one).
        tls_context: whom to trust; needed unless `security` is none.
    """

    host: str
    port: int
    hostname: str
    security: Security
    username: str | None
    password: Secret | None
    tls_context: ssl.SSLContext | None


class NotTaken(Exception):  # noqa: N818 - an outcome of a conversation, not an error of the program
    """The server has surely not got the mail.

    Attributes:
        ours: it is our set-up or the network that failed, and not this mail.
        to_nobody: the server says that there is no such mailbox.
    """

    def __init__(
        self, verdict: Verdict, code: str, detail: str, *, ours: bool = False, to_nobody: bool = False
    ) -> None:
        super().__init__(detail)
        self.verdict = verdict
        self.code = code
        self.detail = detail
        self.ours = ours
        self.to_nobody = to_nobody


class NotOpened(NotTaken):
    """No connection came about: no other mail would fare better now."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(Verdict.TEMPORARY, code, detail, ours=True)


class _Stale(Exception):  # noqa: N818
    """A kept connection is dead, and nothing was accepted on it."""


class Line:
    """One connection's place in the pool; one mail at a time.

    Attributes:
        opening: a connection is being opened, and no mail has been spoken of on it.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._replies: Replies | None = None
        self._mails = 0
        self._idle_since = 0.0
        self._reset_first = False
        self.opening = False

    async def begin(self, sender: str, recipient: str, size: int) -> None:
        """Bring the server to the point where it waits for the mail: in one round trip where it takes commands in groups, else in three.

        A kept connection that turns out dead before the server accepted MAIL is replaced once: nothing was handed over.

        Raises:
            NotOpened: connection, TLS or login failed.
            NotTaken: one of the commands was refused, or the connection lost.
        """
        self.opening = False
        try:
            if replies := await self._kept():
                try:
                    await self._ask(replies, sender, recipient, size, kept=True)
                except _Stale:
                    self.drop()
                else:
                    return
            await self._ask(await self._open(), sender, recipient, size, kept=False)
        except NotTaken:
            raise
        except Exception as error:
            self.drop()
            raise NotTaken(Verdict.TEMPORARY, "connect", one_line(str(error))) from error

    async def finish(self, mail: bytes) -> aiosmtplib.SMTPResponse:
        """Hand over the mail (CRLF lines, not yet dot-stuffed) and return the server's word on it.

        Raises:
            NotTaken: the connection was found closed before a byte was written.
            OSError: no reply came, or none that can be read; the server may have the mail.
        """
        replies = self._replies
        if replies is None or not replies.usable:
            self.drop()
            raise NotTaken(Verdict.TEMPORARY, "connect", "The server closed the connection before the mail was sent.")
        replies.write(mail.replace(b"\r\n.", b"\r\n..") + b".")
        reply = await replies.read()
        self._mails += 1
        self._rest(reset_first=reply.code // 100 != 2)
        if reply.code // 100 not in (2, 4, 5):
            self.drop()
        return reply

    def drop(self) -> None:
        """Cut the connection, with whatever has not left yet."""
        replies, self._replies = self._replies, None
        self.opening = False
        if replies is not None:
            replies.abort()

    async def close(self) -> None:
        """Take leave as RFC 5321 (section 4.1.1.10) asks, without insisting."""
        if self._replies is not None and self._replies.usable:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_QUIT_TIMEOUT):
                    self._replies.write(b"QUIT")
                    await self._replies.read()
        self.drop()

    async def _kept(self) -> Replies | None:
        """The connection, where there is one worth trying; one that has served its time is closed."""
        if self._replies is None or not self._replies.usable:
            self.drop()
            return None
        idle = asyncio.get_running_loop().time() - self._idle_since
        if self._mails >= MAILS_PER_CONNECTION or idle > IDLE_LIMIT:
            await self.close()
        return self._replies

    async def _ask(self, replies: Replies, sender: str, recipient: str, size: int, *, kept: bool) -> None:
        """MAIL, RCPT and DATA; the first refusal counts (RFC 2920, section 3.1: every reply is looked at)."""
        commands = self._commands(replies, sender, recipient, size)
        if replies.pipelines:
            replies.write(*commands)
        refused: aiosmtplib.SMTPResponse | None = None
        at_recipient = False
        for command in commands:
            doubtful = kept and not command.startswith((b"RCPT", b"DATA"))
            try:
                if not replies.pipelines:
                    replies.write(command)
                reply = await replies.read()
            except OSError as error:
                if refused is not None:
                    break
                if doubtful:
                    raise _Stale from error
                raise
            good = reply.code // 100 == (3 if command == b"DATA" else 2)
            if doubtful and (reply.code == _CLOSING or (command == b"RSET" and not good)):
                raise _Stale
            if refused is not None and command == b"DATA" and good:
                self.drop()  # it waits for a mail to nobody: not even a dot must follow
            elif refused is None and not good:
                refused, at_recipient = reply, command.startswith(b"RCPT")
                if not replies.pipelines:
                    break
        self._reset_first = False
        if refused is not None:
            self._refuse(refused, at_recipient=at_recipient)

    def _commands(self, replies: Replies, sender: str, recipient: str, size: int) -> list[bytes]:
        mail = b"MAIL FROM:<%b>" % sender.encode("ascii")
        return [
            *([b"RSET"] if self._reset_first else []),
            mail + b" SIZE=%d" % size if replies.takes_size else mail,
            b"RCPT TO:<%b>" % recipient.encode("ascii"),
            b"DATA",
        ]

    def _refuse(self, reply: aiosmtplib.SMTPResponse, *, at_recipient: bool) -> None:
        self._rest(reset_first=True)
        if reply.code // 100 not in (4, 5):
            self.drop()  # out of step with this server
        verdict, code = refusal(reply)
        to_nobody = at_recipient and verdict is Verdict.PERMANENT and _names_nobody(reply)
        raise NotTaken(verdict, code, one_line(reply.message), ours=reply.code in _OURS, to_nobody=to_nobody)

    def _rest(self, *, reset_first: bool) -> None:
        self._reset_first = reset_first
        self._idle_since = asyncio.get_running_loop().time()

    async def _open(self) -> Replies:
        """Connect, protect, greet and log in; `NotOpened` says at which step it failed."""
        server = self._server
        step, client = "connect", None
        self.opening = True
        try:
            client = aiosmtplib.SMTP(
                hostname=server.host,
                port=server.port,
                local_hostname=server.hostname,
                timeout=None,
                use_tls=server.security is Security.TLS,
                start_tls=False,
                tls_context=server.tls_context,
            )
            await client.connect()
            if server.security is Security.STARTTLS:
                step = "tls"
                await client.starttls()
            await self._greet(client)
            if server.username is not None and server.password is not None:
                step = "auth"
                await client.login(server.username, server.password.get_secret_value())
            self._replies, self._mails, self._reset_first = Replies(client), 0, False
        except BaseException as error:
            _cut(client)
            if not isinstance(error, Exception):
                raise
            raise NotOpened(step, one_line(str(error))) from error
        self.opening = False
        return self._replies

    @staticmethod
    async def _greet(client: aiosmtplib.SMTP) -> None:
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()


def _cut(client: aiosmtplib.SMTP | None) -> None:
    if client is not None:
        if isinstance(client.transport, asyncio.WriteTransport):
            client.transport.abort()
        client.close()


def refusal(reply: aiosmtplib.SMTPResponse) -> tuple[Verdict, str]:
    """Verdict and code of a reply that is not a yes (RFC 5321, section 4.2.1)."""
    if reply.code in _AUTH_CODES:
        return Verdict.TEMPORARY, "auth"
    return Verdict.PERMANENT if reply.code // 100 == 5 else Verdict.TEMPORARY, code_of(reply)


def _names_nobody(reply: aiosmtplib.SMTPResponse) -> bool:
    enhanced = _ENHANCED.match(reply.message)
    return enhanced is not None and enhanced[0] in NOBODY


def code_of(reply: aiosmtplib.SMTPResponse) -> str:
    """The reply's code with its enhanced status code (RFC 2034) where it has one: "550 5.1.1"."""
    enhanced = _ENHANCED.match(reply.message)
    return f"{reply.code} {enhanced[0]}" if enhanced else str(reply.code)
