"""The ground that fault tests stand on: one server, one world made once, and for each case a clone of it with a mail server, people and processes."""

import asyncio
import json
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import Engine, make_url

from dripiq.db.embedded import EmbeddedPostgres
from dripiq.db.session import make_engine
from dripiq.simulate.witnesses import Event
from tests.api.conftest import SENDGRID_KEY, shown, signed
from tests.conftest import Server
from tests.faults.load import LATE, LATE_PLAN, People, Post, Sink, Tenants, posting_into, settle
from tests.faults.nursery import Life, living
from tests.faults.verdict import count_undone

CONNECTIONS = 4
LEASE = 2.0
TIMEOUT = 1.0
PATIENCE = 300.0
"""Seconds for a case to come to its point, and then to its end."""


@dataclass
class Ground:
    """A server with a sealed database that every case is a clone of."""

    server: Server
    template: str
    tenants: Tenants
    folder: Path

    @property
    def enrol(self) -> tuple[str, ...]:
        """The command that enrols the late tenant's contacts."""
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps(LATE_PLAN))
        return ("campaign", "start", str(plan), "--tenant", LATE)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[tuple[str, Engine]]:
        context = self.server.database(self.template)
        url = await asyncio.to_thread(context.__enter__)
        engine = make_engine(url, pool_size=4)
        try:
            yield url, engine
        finally:
            engine.dispose()
            await asyncio.to_thread(context.__exit__, None, None, None)


@contextmanager
def prepared(server: Server, template_database: str, folder: Path) -> Iterator[Ground]:
    """Make the world once."""
    name = f"{server.prefix}_load_{secrets.token_hex(4)}"
    server.create(name, template_database)
    engine = make_engine(server.address(name))
    tenants = settle(engine)
    engine.dispose()
    server.seal(name)
    try:
        yield Ground(server, name, tenants, folder)
    finally:
        server.drop(name)


def settings_for(url: str, smtp_port: int) -> dict[str, str]:
    return {
        "database_url": url, "email_channel": "smtp", "smtp_host": "127.0.0.1", "smtp_port": str(smtp_port),
        "smtp_security": "none", "smtp_connections": str(CONNECTIONS), "smtp_timeout": str(TIMEOUT), "smtp_provider": "sendgrid",
        "lease": str(LEASE), "upkeep": "0.3", "poll": "0.3", "batch": "6", "database_pool": "4",
        "sendgrid_webhook_key": shown(SENDGRID_KEY),
    }  # fmt: skip


class Playing:
    """One database with its sink, its people, and the processes that work on it."""

    def __init__(self, ground: Ground, url: str, database: Engine, stack: AsyncExitStack, name: str) -> None:
        self.ground, self.url, self.database, self._stack = ground, url, database, stack
        self.people = People(seed=1)
        self.sink = Sink(on_mail=self.people.take)
        self.log = ground.folder / f"{name}.log"
        self.lives: list[Life] = []
        self.armed: list[Life] = []
        self.fallen: dict[Life, float] = {}
        self.port = _free_port()

    def arm(self, *command: str, **settings: str) -> Life:
        """Start a process that is to fall."""
        self.armed.append(life := self.start(*command, **settings))
        return life

    def start(self, *command: str, **more: str) -> Life:
        """Start a process, a worker if nothing else is said, with these settings beside the usual ones."""
        settings = {**settings_for(self.url, self.sink.port), **more}
        self.lives.append(life := self._live(command or ("worker",), settings))
        return life

    def _live(self, command: Sequence[str], settings: dict[str, str]) -> Life:
        return self._stack.enter_context(living(*command, log=self.log, **settings))

    def undone(self) -> int:
        with self.database.begin() as connection:
            return count_undone(connection)

    async def watch(self) -> None:
        """Note who falls, and wake those that are frozen when their lease has run out."""
        while True:
            now = time.monotonic()
            for life in self.armed:
                if life not in self.fallen and life.fell:
                    self.fallen[life] = now
                elif life in self.fallen and life.frozen and now > self.fallen[life] + LEASE + 1:
                    life.signal(signal.SIGCONT)
            await asyncio.sleep(0.05)

    async def come_to_an_end(self) -> list[str]:
        """Wait until nothing is left to do, and end all processes; what was wrong with how they did.

        Those that were to fall end first: what one that was woken hands over yet is answered by people, and others have to hear it.
        """
        quiet = await self.until_quiet()
        wrong = await asyncio.to_thread(self._end, self.armed)
        quiet = quiet and await self.until_quiet()
        wrong += await asyncio.to_thread(self._end, [life for life in self.lives if life not in self.armed])
        return wrong if quiet else [f"not quiet after {PATIENCE:.0f} s", *wrong]

    def _end(self, lives: Sequence[Life]) -> list[str]:
        wrong = []
        for life in lives:
            code = life.end(10)
            # One that was asked to end before it had begun ends of the signal.
            if code not in (0, -signal.SIGTERM) and not (code == -signal.SIGKILL and life in self.fallen):
                wrong.append(f"a process ended with {code}; see {self.log}")
        return wrong

    async def until_quiet(self) -> bool:
        """Whether there is nothing left to do, in time."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if await self.is_quiet():
                return True
            await asyncio.sleep(0.2)
        return False

    async def is_quiet(self) -> bool:
        """Whether nobody sleeps and there is nothing left to do, twice in a row."""
        for pause in (0.2, 0.0):
            asleep = any(life.frozen for life in self.armed)
            if asleep or self.people.waiting or await asyncio.to_thread(self.undone):
                return False
            await asyncio.sleep(pause)
        return True


@asynccontextmanager
async def playing(ground: Ground, name: str, *, over_http: bool = False) -> AsyncIterator[Playing]:
    """A clone of the world, with mail server and people, for as long as this lasts."""
    async with AsyncExitStack() as stack:
        url, engine = await stack.enter_async_context(ground.database())
        play = Playing(ground, url, engine, stack, name)
        await stack.enter_async_context(play.sink.listening())
        stop = asyncio.Event()
        post: Post = posting_into(engine)
        if over_http:
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=1.0))
            post = _posting_to(client, play)
        posting = asyncio.create_task(play.people.answer_until(stop, post))
        watching = asyncio.create_task(play.watch())
        try:
            yield play
        finally:
            watching.cancel()
            stop.set()
            await posting


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _posting_to(client: httpx.AsyncClient, play: Playing) -> Post:
    async def post(batch: list[Event]) -> bool:
        raw = json.dumps(batch).encode()
        try:
            answer = await client.post(
                f"http://127.0.0.1:{play.port}/webhooks/sendgrid", content=raw, headers=signed(raw)
            )
        except httpx.HTTPError:
            return False
        return answer.is_success

    return post


@contextmanager
def own_server(folder: Path) -> Iterator[tuple[Server, str]]:
    """A PostgreSQL of its own, that keeps commit times, with a migrated template."""
    from dripiq.db.migrate import upgrade

    fast = {"fsync": "off", "track_commit_timestamp": "on", "max_connections": "300"}
    folder.chmod(0o711)
    with (
        EmbeddedPostgres(folder / "home", settings=fast) as url,
        Server(make_url(url), folder) as server,
    ):
        server.create(server.template)
        upgrade(server.address(server.template))
        server.seal(server.template)
        yield server, server.template


@contextmanager
def own_ground() -> Iterator[Ground]:
    """A ground of a program's own."""
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="dripiq-faults-", dir=parent) as name,
        own_server(Path(name)) as (server, template),
        prepared(server, template, Path(name)) as ground,
    ):
        yield ground
