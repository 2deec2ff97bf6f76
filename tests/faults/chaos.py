"""A world under torture: processes, a database server, a provider and people, and everything that may be done to them."""

import asyncio
import math
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from dripiq.db.embedded import EmbeddedPostgres
from dripiq.engine.enroll import enroll
from dripiq.engine.pause_sender import resume_sender
from dripiq.engine.steer import pause, pause_sending, resume, resume_sending
from dripiq.engine.suppress import suppress
from dripiq.schema.ids import new_id, new_ids
from dripiq.simulate.hostile import HostileProvider
from dripiq.simulate.provider import SimulatedProvider
from tests.faults.load import PLAN
from tests.faults.nursery import Life, living

CONNECTIONS = 8
LEASE = 8.0
TIMEOUT = 3.0
BACKLOG = 400
"""Sends that are due, and then nobody is enrolled until there are fewer: a machine that is slow is not buried."""
NO_DATABASE = 3
"""The exit code of a process that finds no database as it begins."""

INSERT_CONTACTS = text(
    "INSERT INTO dripiq_app.lead_point_of_contacts (id, tenant_id, lead_id, name, email)"
    " SELECT id, :tenant, (SELECT id FROM dripiq_app.leads WHERE tenant_id = :tenant LIMIT 1), 'Somebody', email"
    " FROM unnest(CAST(:ids AS text[]), CAST(:emails AS text[])) AS c (id, email)"
)
COUNT_DUE = text(
    "SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status IN ('pending', 'queued') AND run_at < clock_timestamp() + INTERVAL '20 seconds'"
)
SOME_CAMPAIGNS = text(
    "SELECT id FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant AND status = :status ORDER BY updated_at DESC LIMIT 20"
)
PAUSED_SENDERS = text(
    "SELECT id FROM dripiq_app.email_sender_identities WHERE tenant_id = :tenant AND paused_at IS NOT NULL"
)
HASTEN = text(
    "UPDATE dripiq_app.scheduled_actions SET run_at = clock_timestamp()"
    " WHERE tenant_id = :tenant AND status = 'pending' AND run_at > clock_timestamp() + INTERVAL '20 seconds'"
)
"""Twenty minutes, or whatever a provider asks for, have passed."""


class BuriedError(Exception):
    """So much is due that nobody is enrolled."""


@dataclass(frozen=True)
class _Birth:
    """How a process came to be: what it runs, since when, and where it speaks."""

    command: str
    context: AbstractContextManager[Life]
    at: float
    log: Path

    @property
    def last_words(self) -> str:
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-5:])


class Scene:
    """What there is, and what happens to it. Everything is drawn from `chance`; `tally` counts what was done.

    Attributes:
        enrolled: tenant and address of everybody whose enrolment was committed for sure.
        trouble: what must not be, as it is seen on the way.
    """

    def __init__(self, chance: random.Random, server: EmbeddedPostgres, database: Engine, folder: Path) -> None:
        self.chance, self.server, self.database, self.folder = chance, server, database, folder
        self.provider: HostileProvider
        self.people: SimulatedProvider
        self.tenants: list[str] = []
        self.points: Sequence[str] = ()
        self.port = _free_port()
        self.tally: Counter[str] = Counter()
        self.enrolled: list[tuple[str, str]] = []
        self.trouble: list[str] = []
        self._lives: dict[Life, _Birth] = {}
        self._killed: set[Life] = set()
        self._thaw: dict[Life, float] = {}
        self._restarted = time.monotonic()
        self._born = 0

    def born(self, command: str, *, armed: bool = False) -> None:
        """Start a `worker` or a `serve`; one that is armed falls by itself somewhere."""
        settings = {
            "database_url": self.database.url.render_as_string(hide_password=False), "email_channel": "smtp",
            "smtp_host": "127.0.0.1", "smtp_port": str(self.provider.smtp_port), "smtp_security": "none",
            "smtp_connections": str(CONNECTIONS), "smtp_timeout": str(TIMEOUT), "smtp_provider": "sendgrid",
            "lease": str(LEASE), "upkeep": "0.5", "poll": "0.5", "batch": "40", "database_pool": "4",
            "sendgrid_webhook_key": self.people.verification_key, "port": str(self.port),
        }  # fmt: skip
        points = [point for point in self.points if point.startswith("ingest:") is (command == "serve")]
        if armed and points:
            deed = self.chance.choice(("kill", "kill", "freeze"))
            settings["fault"] = f"{self.chance.choice(points)}:after:{self.chance.randint(1, 12)}={deed}"
        self._born += 1
        log = self.folder / f"{command}-{self._born}.log"
        context = living(command, log=log, **settings)
        self._lives[context.__enter__()] = _Birth(command, context, time.monotonic(), log)

    async def watch(self) -> None:
        """Look after them all the time: one that is frozen may hold what a deed waits for."""
        while True:
            self.look_after()
            await asyncio.sleep(0.05)

    def look_after(self) -> None:
        """Replace who has ended, and wake who has been frozen long enough."""
        now = time.monotonic()
        for life, birth in list(self._lives.items()):
            code = life.code
            if code is None:
                if life not in self._thaw and life.frozen:
                    self.tally["freezes at a point"] += 1
                    self._thaw[life] = now + self.chance.uniform(0.5, 1.8 * LEASE)
                elif life in self._thaw and now > self._thaw[life]:
                    del self._thaw[life]
                    life.signal(signal.SIGCONT)
                continue
            if code == -signal.SIGKILL:
                self.tally["kills at a point"] += life not in self._killed
            elif code == NO_DATABASE and self._restarted > birth.at:  # as it began
                self.tally["processes that found no database"] += 1
            else:
                self.trouble.append(f"a {birth.command} ended by itself with {code}: {birth.last_words}")
            self._bury(life)
            self.born(birth.command, armed=self.chance.random() < 0.5)

    def _bury(self, life: Life) -> None:
        birth = self._lives.pop(life)
        birth.context.__exit__(None, None, None)
        birth.log.unlink(missing_ok=True)
        self._thaw.pop(life, None)
        self._killed.discard(life)

    def end(self) -> None:
        """Ask all processes to end, frozen or not."""
        for life, birth in list(self._lives.items()):
            if life.code is None and (code := life.end(30)) not in (0, -signal.SIGTERM, -signal.SIGKILL, NO_DATABASE):
                self.trouble.append(f"a {birth.command} that was asked to end ended with {code}: {birth.last_words}")
            self._bury(life)

    async def kill(self) -> None:
        life = self.chance.choice(list(self._lives))
        self._killed.add(life)
        life.signal(signal.SIGKILL)
        self.tally["kills"] += 1

    async def freeze(self) -> None:
        if awake := [life for life in self._lives if life not in self._thaw]:
            life = self.chance.choice(awake)
            self._thaw[life] = time.monotonic() + self.chance.uniform(0.2, 1.8 * LEASE)
            life.signal(signal.SIGSTOP)
            self.tally["freezes"] += 1

    async def restart_postgres(self) -> None:
        """Cut off as by a power failure of the server alone; it replays its log."""
        self._restarted = math.inf
        await asyncio.to_thread(crash, self.server)
        self._restarted = time.monotonic()
        self.tally["restarts of PostgreSQL"] += 1

    async def enrol(self) -> None:
        """New contacts of a tenant and their campaigns, in one transaction; unless too much is due."""
        tenant, ids = self.chance.choice(self.tenants), new_ids(self.chance.randint(1, 40))
        emails = [f"p{new_id()}@example.com" for _ in ids]

        def both(connection: Connection) -> None:
            if connection.execute(COUNT_DUE).scalar_one() > BACKLOG:
                raise BuriedError
            connection.execute(INSERT_CONTACTS, {"tenant": tenant, "ids": ids, "emails": emails})
            enroll(connection, tenant, PLAN, ids)

        if await self.ask("enrolments", both):
            self.tally["contacts enrolled"] += len(ids)
            self.enrolled += [(tenant, email) for email in emails]

    async def pause_some(self) -> None:
        await self._steer("pauses", "active", pause)

    async def resume_some(self) -> None:
        await self._steer("resumes", "paused", resume)

    async def resume_senders(self) -> None:
        """So many bounce and complain that senders are paused again and again."""
        for tenant in self.tenants:

            def let_go(connection: Connection, tenant: str = tenant) -> None:
                for sender_id in connection.execute(PAUSED_SENDERS, {"tenant": tenant}).scalars().all():
                    resume_sender(connection, tenant, sender_id)
                    self.tally["senders resumed"] += 1

            await self.ask("looks at senders", let_go)

    async def _steer(self, name: str, status: str, act: Callable[..., Any]) -> None:
        tenant = self.chance.choice(self.tenants)

        def steer(connection: Connection) -> None:
            found = connection.execute(SOME_CAMPAIGNS, {"tenant": tenant, "status": status})
            act(connection, tenant, list(found.scalars()))

        await self.ask(name, steer)

    async def switch(self) -> None:
        """The kill switch, for a moment."""
        tenant = self.chance.choice(self.tenants)
        if await self.ask("kill switches", lambda c: pause_sending(c, tenant, reason="torture")):
            await asyncio.sleep(self.chance.uniform(0, 1))
        while not await self.ask("kill switches turned back", lambda c: resume_sending(c, tenant)):
            await asyncio.sleep(0.2)

    async def suppress_one(self) -> None:
        """Somebody who was enrolled lately, whose mail may be on its way."""
        if self.enrolled:
            tenant, email = self.chance.choice(self.enrolled[-100:])
            await self.ask("suppressions", lambda c: suppress(c, tenant, [email]))

    async def hasten(self) -> None:
        for tenant in self.tenants:
            await self.ask("waits cut short", lambda c, t=tenant: c.execute(HASTEN, {"tenant": t}))  # type: ignore[misc]

    async def ask(self, name: str, what: Callable[[Connection], object]) -> bool:
        """A transaction of a caller's; whether its COMMIT returned."""
        try:
            await asyncio.to_thread(self._ask, what)
        except BuriedError:
            self.tally[f"{name} put off"] += 1
            return False
        except SQLAlchemyError:
            self.tally[f"{name} that the database refused"] += 1
            return False
        self.tally[name] += 1
        return True

    def _ask(self, what: Callable[[Connection], object]) -> None:
        with self.database.begin() as connection:
            what(connection)


def crash(server: EmbeddedPostgres) -> None:
    """End a server in the mode `immediate`, and start it on the same data."""
    assert server._use is not None
    cluster = server._use.cluster
    assert cluster._server is not None
    cluster.account.run(cluster.stop_command("immediate"))
    cluster._server.wait(30)
    cluster.start_or_join(server._settings)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
