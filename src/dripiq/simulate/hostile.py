"""What is the worst that a provider may do to a worker?

A provider that speaks SMTP and SendGrid's `POST /v3/mail/send` on this machine, and answers as it likes: it refuses for now, fails, hangs, cuts the
connection in the middle of a mail, and takes mails without ever saying so. What it truly took is on record, which is what invariants are held against; and
its recipients' deeds are posted by `SimulatedProvider`, out of order, doubled, late by a day, without ids.

Source of the forms: RFC 5321; Twilio SendGrid, "Mail Send" and "Event Webhook Reference".
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, cast

import orjson
from aiosmtpd.smtp import SMTP
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key

from dripiq.simulate.malice import TAKING, Fate, Malice
from dripiq.simulate.smtp_sink import read_mail
from dripiq.simulate.witnesses import ReceivedMail

HANG_SECONDS = 600.0
_LARGEST = 30_000_000
"""Bytes of a request; SendGrid's own bound."""


@dataclass
class HostileProvider:
    """The record of what it took, and its ports while it is listening.

    Args:
        malice: how it behaves.
        seed: decides what becomes of each mail, in the order in which they come.
        on_mail: told of each mail that it takes, before it is answered.

    Attributes:
        received: every mail that it took, answered or not.
        tally: mails by fate.
    """

    malice: Malice
    seed: int
    on_mail: Callable[[ReceivedMail, Fate, str], None] = lambda _mail, _fate, _way: None
    smtp_port: int = 0
    http_port: int = 0
    received: list[ReceivedMail] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - play, not secrecy
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: set[_Session] = set()

    @property
    def http_url(self) -> str:
        """For `DRIPIQ_SENDGRID_URL`."""
        return f"http://127.0.0.1:{self.http_port}"

    def next_fate(self) -> Fate:
        """Draw what becomes of a mail."""
        fate = self.malice.fate(self._chance)
        self.tally[fate] += 1
        return fate

    def take(self, mail: ReceivedMail, fate: Fate, way: str) -> None:
        """Take a mail: from now on it counts as accepted, whatever is answered."""
        self.received.append(mail)
        self.on_mail(mail, fate, way)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["HostileProvider"]:
        """Listen on its ports of 127.0.0.1 (free ones where they are 0) for as long as this lasts.

        Raises:
            OSError: a port is taken.
        """
        loop = asyncio.get_running_loop()

        def session() -> "_Session":
            return _Session(self, self._sessions, loop)

        smtp = await loop.create_server(session, "127.0.0.1", self.smtp_port)
        try:
            http = await asyncio.start_server(self._accept, "127.0.0.1", self.http_port, limit=_LARGEST)
        except OSError:
            smtp.close()
            raise
        self.smtp_port, self.http_port = (server.sockets[0].getsockname()[1] for server in (smtp, http))
        try:
            yield self
        finally:
            for server in (smtp, http):
                server.close()
            for made in list(self._sessions):
                made.end()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # the connections hear of it

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request of a connection; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = headers.get("content-length", "")
        if not head[0].startswith("POST /v3/mail/send ") or not length.isdigit() or int(length) > _LARGEST:
            return _say(writer, 404, b'{"errors": [{"message": "POST /v3/mail/send is all there is"}]}')
        fate = self.next_fate()
        if fate is Fate.CUT:
            await reader.read(1)
            return False
        began = datetime.now(UTC)
        body = await reader.readexactly(int(length))
        queue_id = secrets.token_hex(8)
        mails = _mails_of(body, began, queue_id)
        if not mails:
            return _say(
                writer, 400, b'{"errors": [{"message": "a mail has personalizations, each with one recipient"}]}'
            )
        if fate in TAKING:
            for mail in mails:
                self.take(mail, fate, "http")
        match fate:
            case Fate.TAKEN:
                return _say(writer, 202, b"", f"X-Message-Id: {queue_id}")
            case Fate.REFUSED:
                reset = int(datetime.now(UTC).timestamp()) + 1
                return _say(
                    writer, 429, b'{"errors": [{"message": "too many requests"}]}', f"X-RateLimit-Reset: {reset}"
                )
            case Fate.FAILED | Fate.FAILED_TAKEN:
                return _say(writer, 500, b'{"errors": [{"message": "internal error"}]}')
            case Fate.HUNG | Fate.UNANSWERED:
                await asyncio.sleep(HANG_SECONDS)
        return False


def _say(writer: asyncio.StreamWriter, status: int, body: bytes, *headers: str) -> bool:
    lines = [f"HTTP/1.1 {status} Answer", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    return True


def _mails_of(body: bytes, began: datetime, queue_id: str) -> list[ReceivedMail]:
    """What a Mail Send request asks for; none where it is malformed."""
    try:
        mail = orjson.loads(body)
        arguments = mail.get("custom_args", {})
        return [
            ReceivedMail(
                began_at=began,
                recipient=str(each["to"][0]["email"]).lower(),
                sender=str(mail["from"]["email"]),
                queue_id=queue_id,
                tenant_id=str(arguments.get("dripiq_tenant", "")),
                message_id=str(arguments.get("dripiq_message", "")),
                smtp_id=str(mail.get("headers", {}).get("Message-ID", "")).strip("<>"),
            )
            for each in mail["personalizations"]
        ]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return []


class _Session(SMTP):
    """One SMTP connection."""

    def __init__(self, provider: HostileProvider, sessions: "set[_Session]", loop: asyncio.AbstractEventLoop) -> None:
        self._provider = provider
        self._sessions = sessions
        self._fate = Fate.TAKEN
        super().__init__(self, hostname="mx.hostile.test", loop=loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's hook."""
        self._sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio's hook."""
        self._sessions.discard(self)
        super().connection_lost(error)

    def end(self) -> None:
        """Cut it, whatever it waits for: its task is cancelled when the connection is lost."""
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()

    async def _hang_up(self) -> None:
        """Cut it, and read nothing more of what had come."""
        self.end()
        await asyncio.sleep(HANG_SECONDS)

    async def handle_MAIL(self, _server: SMTP, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        """aiosmtpd's hook for MAIL."""
        self._fate = self._provider.next_fate()
        envelope.mail_from, envelope.began_at = address, datetime.now(UTC)
        envelope.mail_options.extend(options)
        return "451 4.7.1 Too many connections, try again later" if self._fate is Fate.REFUSED else "250 2.1.0 Ok"

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """aiosmtpd's method for DATA, which may cut the line in its middle."""
        if self._fate is Fate.CUT:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._reader.read(1)
            await self._hang_up()
            return
        await super().smtp_DATA(arg)

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802
        """aiosmtpd's hook for a whole mail."""
        queue_id = secrets.token_hex(8)
        if self._fate in TAKING:
            for recipient in envelope.rcpt_tos:
                mail = read_mail(envelope.content, envelope.began_at, recipient, envelope.mail_from, queue_id)
                self._provider.take(mail, self._fate, "smtp")
        match self._fate:
            case Fate.FAILED:
                return "421 4.3.0 Service shutting down"
            case Fate.HUNG | Fate.UNANSWERED | Fate.FAILED_TAKEN:
                await asyncio.sleep(HANG_SECONDS)
            case Fate.DROPPED:
                await self._hang_up()
        return f"250 2.0.0 Ok: queued as {queue_id}"


def record_of(mail: ReceivedMail, fate: Fate, way: str) -> bytes:
    """A line of the record: one mail that was taken, and what its sender was told."""
    return orjson.dumps(
        {
            "at": mail.began_at,
            "way": way,
            "fate": fate,
            "tenant": mail.tenant_id,
            "message": mail.message_id,
            "to": mail.recipient,
            "message_id": mail.smtp_id,
            "queue_id": mail.queue_id,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def key_of(seed: int) -> EllipticCurvePrivateKey:
    """The key that events are signed with: the same for the same seed, so that a worker's settings outlive a restart. It protects nothing."""
    number = int.from_bytes(sha256(f"dripiq hostile {seed}".encode()).digest()) >> 1
    return derive_private_key(number, SECP256R1())
