"""How does the API run inside a loop that is somebody else's?

Signals are the command's: the server leaves them alone, and ends when `stop` is set. Requests in hand are finished first, within ten seconds.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from dripiq.domain.errors import ConfigurationError

GRACE_SECONDS = 9
"""For requests in hand; with the server's own steps it ends within ten."""


async def serve(
    app: ASGIApp, host: str, port: int, *, ready: Callable[[int], None] | None = None, stop: asyncio.Event
) -> None:
    """Serve until `stop` is set, or this is cancelled; both let requests in hand finish first.

    Args:
        host: the address to listen on, or a name of one.
        port: 0 takes a free one.
        ready: called with the port once connections are taken.

    Raises:
        ConfigurationError: `cannot_listen`: the address is not this machine's, or the port is taken.
    """
    with _listener(host, port) as listener:
        bound: int = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            access_log=False,  # its paths would hold unsubscribe tokens
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = _Server(config, lambda: ready(bound) if ready is not None else None)
        serving = asyncio.create_task(server.serve([listener]))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """Says when it listens, and takes no signals."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Its protocol must be said: asyncio turns Nagle's delay (40 ms an answer) off only where it reads IPPROTO_TCP.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"The API cannot listen on {host}:{port} ({error.strerror}). Choose with DRIPIQ_HOST and DRIPIQ_PORT; 0 takes a free port.",
            code="cannot_listen",
            facts={"host": host, "port": port},
        ) from None
    return listener
