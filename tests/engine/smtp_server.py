"""A real SMTP server on loopback whose answers a test chooses, and which keeps what it was given."""

import asyncio
import email
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aiosmtpd.smtp import SMTP

Say = Callable[[SMTP, str], Awaitable[str]]


async def ok(_session: SMTP, _recipient: str) -> str:
    return "250 2.0.0 Ok"


async def hang_up(session: SMTP, _recipient: str) -> str:
    cast("asyncio.Transport", session.transport).abort()
    return "250 2.0.0 Ok"


async def hang(_session: SMTP, _recipient: str) -> str:
    await asyncio.Event().wait()
    return ""


def answer(text: str) -> Say:
    async def say(_session: SMTP, _recipient: str) -> str:
        return text

    return say


@dataclass
class Server:
    """An SMTP server's behaviour, and the record of what it was given."""

    on_mail: Say = ok
    on_rcpt: Say = ok
    on_data: Say = ok
    port: int = 0
    received: list[bytes] = field(default_factory=list)
    sessions: list[SMTP] = field(default_factory=list)
    had_data: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_MAIL(self, server: SMTP, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await self.on_mail(server, address)

    async def handle_RCPT(self, server: SMTP, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802
        said = await self.on_rcpt(server, address)
        if said.startswith("2"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.received.append(envelope.content)
        self.had_data.set()
        return await self.on_data(server, envelope.rcpt_tos[0])

    def close_sessions(self) -> None:
        """As a server does with idle connections."""
        for session in self.sessions:
            if session.transport is not None:
                session.transport.close()

    def message_ids(self) -> list[str]:
        return [email.message_from_bytes(raw)["Message-ID"].strip("<>") for raw in self.received]


@asynccontextmanager
async def listening(server: Server, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Server]:
    def session() -> SMTP:
        made = SMTP(server, hostname="mx.test", loop=asyncio.get_running_loop(), **options)
        server.sessions.append(made)
        return made

    listener = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for made in server.sessions:
            if made._handler_coroutine is not None:
                made._handler_coroutine.cancel()
        server.close_sessions()
        await asyncio.sleep(0)
