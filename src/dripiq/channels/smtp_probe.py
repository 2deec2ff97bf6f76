"""Does a mail server answer?"""

import asyncio

from dripiq.channels.base import one_line

PATIENCE_SECONDS = 5


async def greeting(host: str, port: int, *, tls: bool) -> str:
    """The line with which an SMTP server greets (RFC 5321, 3.1); nothing is sent but QUIT.

    Raises:
        OSError: nobody listens there, or TLS fails.
        TimeoutError: no greeting came within `PATIENCE_SECONDS`.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(host, port, ssl=tls or None)
        try:
            line = await reader.readline()
            writer.write(b"QUIT\r\n")
            await writer.drain()
        finally:
            writer.close()
    return one_line(line.decode("utf-8", "replace"))
