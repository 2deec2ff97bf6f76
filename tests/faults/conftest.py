"""The same world as the engine's tests, and a mail server."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.engine.conftest import crowd, world
from tests.engine.smtp_server import Server, listening

__all__ = ["crowd", "world"]


@pytest.fixture
def smtp() -> Iterator[Server]:
    """An SMTP server in a thread of its own; its record is the witness of what was truly accepted."""
    server, ready, done = Server(), threading.Event(), threading.Event()

    async def serve() -> None:
        async with listening(server):
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield server
    done.set()
    thread.join(10)
