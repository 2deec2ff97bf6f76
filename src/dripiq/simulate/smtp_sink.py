"""What did really arrive by SMTP?

A mail server on loopback (aiosmtpd) that takes every mail, and keeps a record of each that it answered with 250: the witness that invariants are held
against. It knows of a mail what a provider knows: the envelope, and the unique arguments in its X-SMTPAPI header (SendGrid, "Building an X-SMTPAPI
Header").
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from email.policy import default as default_policy
from typing import Any, cast

from aiosmtpd.smtp import SMTP

from dripiq.simulate.witnesses import ReceivedMail

_HEADERS = BytesHeaderParser(policy=default_policy)


@dataclass
class SmtpSink:
    """The server's record, and its port while it is listening (see `listening`).

    Attributes:
        on_mail: told of each mail, before it is answered.
    """

    on_mail: Callable[[ReceivedMail], None] = lambda _mail: None
    port: int = 0
    received: list[ReceivedMail] = field(default_factory=list)
    _sessions: list[SMTP] = field(default_factory=list)

    async def handle_MAIL(self, _server: SMTP, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        """aiosmtpd's hook for MAIL."""
        envelope.mail_from, envelope.began_at = address, datetime.now(UTC)
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802
        """aiosmtpd's hook for a whole mail: what is answered here with 250 is on record."""
        queue_id = secrets.token_hex(8)
        for recipient in envelope.rcpt_tos:
            mail = read_mail(envelope.content, envelope.began_at, recipient, envelope.mail_from, queue_id)
            self.received.append(mail)
            self.on_mail(mail)
        return f"250 2.0.0 Ok: queued as {queue_id}"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["SmtpSink"]:
        """Take mail on a free port of 127.0.0.1 for as long as this lasts."""
        loop = asyncio.get_running_loop()

        def session() -> SMTP:
            made = SMTP(self, hostname="mx.demo.test", loop=loop)
            self._sessions.append(made)
            return made

        server = await loop.create_server(session, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for made in self._sessions:
                if made.transport is not None:
                    cast("asyncio.Transport", made.transport).abort()
            self._sessions.clear()
            await asyncio.sleep(0)  # the sessions hear of it


def read_mail(content: bytes, began_at: datetime, recipient: str, sender: str, queue_id: str) -> ReceivedMail:
    """What a provider knows of a mail. A header that is missing or malformed leaves its fields empty."""
    headers = _HEADERS.parsebytes(content)
    try:
        arguments = json.loads(str(headers.get("X-SMTPAPI", "{}")))["unique_args"]
        tenant_id, message_id = str(arguments["dripiq_tenant"]), str(arguments["dripiq_message"])
    except (ValueError, KeyError, TypeError):
        tenant_id = message_id = ""
    smtp_id = str(headers.get("Message-ID", "")).strip().strip("<>")
    return ReceivedMail(began_at, recipient.lower(), sender, queue_id, tenant_id, message_id, smtp_id)
