"""How far did one mail get on one SMTP connection?

A `Line` is a place for a connection: opened when it is needed, kept for the next mail, replaced when it has gone stale. It splits a mail
transaction (RFC 5321, section 3.3) where the answer to "may the server have it?" changes:

- `begin` (MAIL, RCPT, DATA up to the 354): whatever goes wrong here, the server has not got the mail; it raises `NotTaken`.
- `finish` (the mail and the final dot): only a reply tells. No reply means that nobody here knows.

aiosmtplib's `sendmail` and `data` report a connection lost in either half alike; hence the single commands.
"""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import aiosmtplib

from dripiq.channels.base import Verdict

MAILS_PER_CONNECTION = 100
"""A connection is replaced after this many: servers commonly close it at 100 or soon after."""
IDLE_LIMIT = 60.0
"""Seconds after which an idle connection is not trusted: a firewall may have forgotten it without a word."""
_QUIT_TIMEOUT = 1.0
_AUTH_CODES = frozenset({530, 534, 535, 538})
"""RFC 4954, section 6: the session, not the mail, is refused."""
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?![\d.])")


class Security(StrEnum):
    """How a connection is protected: not at all, upgraded after the greeting (RFC 3207), or TLS from the first byte (RFC 8314)."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class Secret(Protocol):
    """A password that doesn't show itself (pydantic's `SecretStr` is one)."""

    def get_secret_value(self) -> str:
        """The password itself."""
        ...


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
    """The server has surely not got the mail."""

    def __init__(self, verdict: Verdict, code: str, detail: str) -> None:
        super().__init__(detail)
        self.verdict = verdict
        self.code = code
        self.detail = detail


class Line:
    """One connection's place in the pool; one mail at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client: aiosmtplib.SMTP | None = None
        self._mails = 0
        self._idle_since = 0.0
        self._reset_first = False

    async def begin(self, sender: str, recipient: str, size: int) -> None:
        """Bring the server to the point where it waits for the mail.

        A kept connection that turns out dead before the server accepted MAIL is replaced once: nothing was handed over.

        Raises:
            NotTaken: connection, TLS, login or one of the commands failed.
        """
        try:
            kept = await self._reusable()
            if not (kept and await self._mail_on_kept(sender, size)):
                await self._open()
                self._expect(await self._mail(sender, size), 2)
            self._expect(await self._command(b"RCPT", b"TO:<%b>" % recipient.encode("ascii")), 2)
            self._expect(await self._command(b"DATA"), 3)
        except NotTaken:
            raise
        except Exception as error:
            self.drop()
            raise NotTaken(Verdict.TEMPORARY, "connect", one_line(str(error))) from error

    async def finish(self, mail: bytes) -> aiosmtplib.SMTPResponse:
        """Hand over the mail (CRLF lines, not yet dot-stuffed) and return the server's word on it.

        Raises:
            NotTaken: the connection was found closed before a byte was written.
            Exception: no reply came (SMTPException, OSError), or none that can be read; the server may have the mail.
        """
        protocol = self._client.protocol if self._client else None
        if protocol is None or not protocol.is_connected:
            self.drop()
            raise NotTaken(Verdict.TEMPORARY, "connect", "The server closed the connection before the mail was sent.")
        protocol.write(mail.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        reply = await protocol.read_response()
        self._mails += 1
        self._reset_first = reply.code // 100 != 2
        self._idle_since = asyncio.get_running_loop().time()
        if reply.code // 100 not in (2, 4, 5):
            self.drop()
        return reply

    def drop(self) -> None:
        """Cut the connection, with whatever has not left yet."""
        client, self._client = self._client, None
        if client is None:
            return
        if isinstance(client.transport, asyncio.WriteTransport):
            client.transport.abort()
        client.close()

    async def close(self) -> None:
        """Take leave as RFC 5321 (section 4.1.1.10) asks, without insisting."""
        client = self._client
        if client is not None and client.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_QUIT_TIMEOUT)
        self.drop()

    async def _reusable(self) -> bool:
        """Whether there is a connection worth trying; one that has served its time is closed."""
        if self._client is None or not self._client.is_connected:
            self.drop()
            return False
        idle = asyncio.get_running_loop().time() - self._idle_since
        if self._mails >= MAILS_PER_CONNECTION or idle > IDLE_LIMIT:
            await self.close()
            return False
        return True

    async def _mail_on_kept(self, sender: str, size: int) -> bool:
        """Whether MAIL was accepted; False when the connection was stale."""
        try:
            fresh = not self._reset_first or (await self._command(b"RSET")).code // 100 == 2
            reply = await self._mail(sender, size) if fresh else None
        except OSError:  # aiosmtplib's SMTPServerDisconnected is one
            reply = None
        if reply is None or reply.code == aiosmtplib.SMTPStatus.domain_unavailable:
            self.drop()
            return False
        self._reset_first = False
        self._expect(reply, 2)
        return True

    async def _mail(self, sender: str, size: int) -> aiosmtplib.SMTPResponse:
        words = [b"MAIL", b"FROM:<%b>" % sender.encode("ascii")]
        if self._client is not None and self._client.supports_extension("size"):
            words.append(b"SIZE=%d" % size)
        return await self._command(*words)

    async def _command(self, *words: bytes) -> aiosmtplib.SMTPResponse:
        if self._client is None:
            raise aiosmtplib.SMTPServerDisconnected("The connection is closed.")
        return await self._client.execute_command(*words, timeout=None)

    def _expect(self, reply: aiosmtplib.SMTPResponse, first_digit: int) -> None:
        if reply.code // 100 == first_digit:
            return
        self._reset_first = True
        self._idle_since = asyncio.get_running_loop().time()
        if reply.code // 100 not in (4, 5):
            self.drop()  # out of step with this server
        raise NotTaken(*refusal(reply), one_line(reply.message))

    async def _open(self) -> None:
        """Connect, protect, greet and log in; `NotTaken` says at which step it failed."""
        server = self._server
        step = "connect"
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
            self._client, self._mails, self._reset_first = client, 0, False
            await client.connect()
            if server.security is Security.STARTTLS:
                step = "tls"
                await client.starttls()
            await self._greet(client)
            if server.username is not None and server.password is not None:
                step = "auth"
                await client.login(server.username, server.password.get_secret_value())
        except Exception as error:
            self.drop()
            raise NotTaken(Verdict.TEMPORARY, step, one_line(str(error))) from error

    @staticmethod
    async def _greet(client: aiosmtplib.SMTP) -> None:
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()


def refusal(reply: aiosmtplib.SMTPResponse) -> tuple[Verdict, str]:
    """Verdict and code of a reply that is not a yes (RFC 5321, section 4.2.1)."""
    if reply.code in _AUTH_CODES:
        return Verdict.TEMPORARY, "auth"
    return Verdict.PERMANENT if reply.code // 100 == 5 else Verdict.TEMPORARY, code_of(reply)


def code_of(reply: aiosmtplib.SMTPResponse) -> str:
    """The reply's code with its enhanced status code (RFC 2034) where it has one: "550 5.1.1"."""
    enhanced = _ENHANCED.match(reply.message)
    return f"{reply.code} {enhanced[0]}" if enhanced else str(reply.code)


def one_line(text: str) -> str:
    """A server's words on one printable line of at most 300 characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:300]
