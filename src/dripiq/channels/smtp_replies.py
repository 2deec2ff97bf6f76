"""What did the server reply to each of several commands that were written at once?

aiosmtplib reads one reply at a time and loses what comes with it, so it opens the connection (greeting, TLS, EHLO, login), and then this takes over
its transport. Rules:

- Every written command is owed one reply, and they come in order (RFC 2920, section 3.1).
- A reply that nobody is owed, a 421 for an idle connection say, ends the connection's use: the next command's reply would be taken for another's.
"""

import asyncio
from collections import deque

import aiosmtplib

_MOST = 65_536
"""Bytes of one reply; RFC 5321 (section 4.5.3.1.5) lets a line have 512."""

_ENDLESS = "The server's reply does not end."


class Replies(asyncio.Protocol):
    """One connection's commands and replies, from when the server waits for MAIL.

    Attributes:
        pipelines: the server takes commands in groups (RFC 2920).
        takes_size: the server takes SIZE with MAIL (RFC 1870).
    """

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        transport = client.transport
        if not isinstance(transport, asyncio.Transport) or transport.is_closing():
            raise ConnectionResetError("The server closed the connection after its greeting.")
        self.pipelines = client.supports_extension("pipelining")
        self.takes_size = client.supports_extension("size")
        self._transport = transport
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._length = 0
        self._owed = 0
        self._read: deque[aiosmtplib.SMTPResponse] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._lost: Exception | None = None
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether the connection stands, and nothing came that was not asked for."""
        return self._lost is None and not self._transport.is_closing()

    def write(self, *commands: bytes) -> None:
        """Write commands, or a whole mail with its final dot, without their last CRLF; each is owed a reply. Raises OSError where the connection is gone."""
        if self._lost is not None:
            raise self._lost
        if self._transport.is_closing():
            raise ConnectionResetError("The server closed the connection.")
        self._owed += len(commands)
        self._transport.write(b"".join(command + b"\r\n" for command in commands))

    async def read(self) -> aiosmtplib.SMTPResponse:
        """The next reply. Raises OSError where none will come, or none that can be read."""
        while not self._read:
            if self._lost is not None:
                raise self._lost
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._read.popleft()

    def abort(self) -> None:
        """Cut the connection, with whatever has not left yet."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio's hook: bytes came."""
        self._buffer += data
        while self._lost is None and (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).rstrip(b"\r")
            del self._buffer[: end + 1]
            self._take_line(line)
        if len(self._buffer) > _MOST:
            self._end(ConnectionAbortedError(_ENDLESS))
        self._wake()

    def eof_received(self) -> None:
        """asyncio's hook: the server will say nothing more; the transport closes."""
        self._end(ConnectionResetError("The server closed the connection."))

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's hook: the connection is gone."""
        self._end(exc if isinstance(exc, OSError) else ConnectionResetError("The connection was lost."))

    def _take_line(self, line: bytes) -> None:
        if not (line[:3].isdigit() and line[3:4] in (b"", b" ", b"-")):
            said = line[:100].decode("utf-8", "replace")
            self._end(ConnectionAbortedError(f"The server's reply is none: {said}"))
            return
        self._lines.append(line[4:].strip())
        self._length += len(line)
        if self._length > _MOST:
            self._end(ConnectionAbortedError(_ENDLESS))
        if line[3:4] == b"-" or self._lost is not None:
            return
        text = b"\n".join(self._lines).decode("utf-8", "surrogateescape")
        self._lines.clear()
        self._length = 0
        if self._owed == 0:
            self._end(ConnectionResetError(f"The server said, unasked: {int(line[:3])} {text[:100]}"))
            return
        self._owed -= 1
        self._read.append(aiosmtplib.SMTPResponse(int(line[:3]), text))

    def _end(self, reason: Exception) -> None:
        self._lost = self._lost or reason
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self._read or self._lost is not None):
            self._waiter.set_result(None)
