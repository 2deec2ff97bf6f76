"""Does the whole of dripiq work, from a CSV to a funnel?

A run with real parts: a PostgreSQL of its own, the API and workers as processes, mail over SMTP, signed webhooks over HTTP. Then everything is held against
what the mail server really received. Nothing but loopback is used, and everything ends with the run.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import httpx
from sqlalchemy import Engine

from dripiq.db.embedded import EmbeddedPostgres
from dripiq.db.migrate import upgrade
from dripiq.db.session import make_engine
from dripiq.domain.errors import DatabaseError
from dripiq.repositories.audit import StandingRow, count_unread, read_record, read_standing
from dripiq.simulate import cohort
from dripiq.simulate.fresh_database import make_fresh_database
from dripiq.simulate.invariants import IN_DOUBT, check_all
from dripiq.simulate.processes import Part, running
from dripiq.simulate.provider import SimulatedProvider
from dripiq.simulate.report import Report, funnel, outcomes
from dripiq.simulate.smtp_sink import SmtpSink

LOOK = 0.4
"""Seconds between two looks at how far it is."""
START_SECONDS = 30.0
SMTP_TIMEOUT = 10.0
DRAIN_SECONDS = 20.0
FAR_OFF = 60.0
"""Seconds beyond the run's end after which a contact's next step is called waiting; longer than any timer of the plan."""


@dataclass(frozen=True, slots=True)
class Course:
    """How the demo runs.

    Attributes:
        seed: decides what recipients do, and which faults the provider has.
        seconds: the longest that campaigns may run; what is under way then is reported as such.
        home: where its PostgreSQL and logs are kept.
        workers: how many, each a process.
        keep: let workers go on after the verdict.
    """

    seed: int
    seconds: float
    home: Path
    workers: int = 2
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """How far it is, for who watches: a row per tenant (by name), and events posted so far."""

    seconds: float
    standing: Mapping[str, StandingRow]
    mails: int
    webhooks: Mapping[str, int]
    events: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the parts are that were left running."""

    database_url: str
    api_url: str
    tenants: Mapping[str, str]


class Audience(Protocol):
    """Who watches a run."""

    def began(self, what: str) -> None:
        """A step has begun."""
        ...

    def looked(self, look: Look) -> None:
        """It is so far."""
        ...

    async def judged(self, report: Report, kept: Kept) -> None:
        """The run is over; all of it is still there until this returns (workers where they are kept)."""
        ...


def run(course: Course, audience: Audience) -> Report:
    """Run the demo, and judge it.

    Raises:
        ConfigurationError, DatabaseError: its PostgreSQL cannot run in `home`.
        PartEndedError: a worker or the API has ended by itself.
    """
    audience.began("PostgreSQL")
    with EmbeddedPostgres(course.home, settings={"track_commit_timestamp": "on"}) as server:
        audience.began("the tables")
        url = make_fresh_database(server)
        upgrade(url)
        database = make_engine(url)
        try:
            return asyncio.run(_run(course, audience, url, database))
        finally:
            database.dispose()


async def _run(course: Course, audience: Audience, url: str, database: Engine) -> Report:
    audience.began("tenants, senders and contacts from the CSV")
    members = await asyncio.to_thread(cohort.settle, database)
    provider = SimulatedProvider(course.seed)
    sink = SmtpSink(on_mail=provider.accept)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(sink.listening())
        audience.began(f"the API and {course.workers} workers")
        settings = _settings(course, url, sink.port, provider.verification_key)
        api_url = settings["DRIPIQ_PUBLIC_URL"]
        api = await stack.enter_async_context(running("serve", ["serve"], settings, course.home / "serve.log"))
        await _until_ready(api, api_url)
        async with _workers(course, settings) as workers:
            audience.began("campaigns")
            began = time.monotonic()
            for member in members:
                await asyncio.to_thread(cohort.start, database, member)
            async with _posting(provider, f"{api_url}/webhooks/sendgrid"):
                await _until_done(course, audience, database, members, sink, provider, [api, *workers])
            await _until_read(database, members, [api, *workers])
        report = await asyncio.to_thread(_judge, course, database, members, sink, provider, time.monotonic() - began)
        if course.keep:
            await stack.enter_async_context(_workers(course, settings))
        await audience.judged(report, Kept(url, api_url, {member.name: member.id for member in members}))
    return report


def _settings(course: Course, url: str, smtp_port: int, key: str) -> dict[str, str]:
    """What the parts are told, all of it by their environment."""
    port = _free_port()
    return {
        "DRIPIQ_DATABASE_URL": url,
        "DRIPIQ_HOME": str(course.home),
        "DRIPIQ_EMAIL_CHANNEL": "smtp",
        "DRIPIQ_SMTP_HOST": "127.0.0.1",
        "DRIPIQ_SMTP_PORT": str(smtp_port),
        "DRIPIQ_SMTP_SECURITY": "none",
        "DRIPIQ_SMTP_TIMEOUT": str(SMTP_TIMEOUT),
        "DRIPIQ_SMTP_PROVIDER": "sendgrid",
        "DRIPIQ_SENDGRID_WEBHOOK_KEY": key,
        "DRIPIQ_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DRIPIQ_SECRET": secrets.token_hex(32),
        "DRIPIQ_HOST": "127.0.0.1",
        "DRIPIQ_PORT": str(port),
        "DRIPIQ_BATCH": "40",  # so that the workers share the work
        "DRIPIQ_LEASE": "PT30S",
        "DRIPIQ_POLL": "PT2S",
        "DRIPIQ_UPKEEP": "PT5S",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def _workers(course: Course, settings: Mapping[str, str]) -> AsyncIterator[list[Part]]:
    async with AsyncExitStack() as stack:
        parts = [
            running("worker", ["worker"], settings, course.home / f"worker-{number}.log")
            for number in range(1, course.workers + 1)
        ]
        yield [await stack.enter_async_context(part) for part in parts]


@asynccontextmanager
async def _posting(provider: SimulatedProvider, url: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    posting = asyncio.create_task(provider.post_until(stop, url))
    try:
        yield
    finally:
        stop.set()
        await posting


async def _until_ready(api: Part, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        while time.monotonic() < deadline:
            api.check()
            try:
                if (await client.get(f"{url}/readyz")).is_success:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    raise DatabaseError(
        f"The API was not ready within {START_SECONDS:.0f} seconds; {api.log} says why.", code="api_not_ready"
    )


async def _until_done(
    course: Course, audience: Audience, database: Engine, members: Sequence[cohort.Member], sink: SmtpSink,
    provider: SimulatedProvider, parts: Sequence[Part],
) -> None:  # fmt: skip
    """Until every contact is final or waits for longer than the run lasts, and all webhooks are posted; or the time is up."""
    names = {member.id: member.name for member in members}
    began = time.monotonic()
    horizon = datetime.now(UTC) + timedelta(seconds=course.seconds + FAR_OFF)

    def look() -> tuple[dict[str, StandingRow], int]:
        with database.connect() as connection:
            rows = {row.tenant_id: row for row in read_standing(connection, names, horizon)}
            return {name: rows[tenant_id] for tenant_id, name in names.items()}, count_unread(connection, names)

    while True:
        for part in parts:
            part.check()
        standing, unread = await asyncio.to_thread(look)
        seconds = time.monotonic() - began
        ledger = provider.ledger
        audience.looked(Look(seconds, standing, len(sink.received), dict(ledger.tally), len(ledger.answered)))
        settled = all(row.contacts == row.final + row.waiting for row in standing.values())
        if (settled and provider.waiting == 0 and unread == 0) or seconds > course.seconds:
            return
        await asyncio.sleep(LOOK)


async def _until_read(database: Engine, members: Sequence[cohort.Member], parts: Sequence[Part]) -> None:
    """Until the workers have read every delivery; what they do not get to is for the judge to find."""

    def unread() -> int:
        with database.connect() as connection:
            return count_unread(connection, [member.id for member in members])

    deadline = time.monotonic() + DRAIN_SECONDS
    while await asyncio.to_thread(unread) and time.monotonic() < deadline:
        for part in parts:
            part.check()
        await asyncio.sleep(LOOK)


def _judge(
    course: Course, database: Engine, members: Sequence[cohort.Member], sink: SmtpSink, provider: SimulatedProvider,
    seconds: float,
) -> Report:  # fmt: skip
    names = {member.id: member.name for member in members}
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        record = read_record(connection, names)
    ledger = provider.ledger
    webhooks = {"events_answered": len(ledger.answered), **ledger.tally, "forger_heard": ledger.forger_heard or 0}
    return Report(
        seed=course.seed,
        seconds=seconds,
        contacts=sum(len(member.rows) for member in members),
        funnel=funnel(record, names, members[0].sending_nodes),
        outcomes=outcomes(record, names, {member.plan.plan_hash: member.plan for member in members}),
        mails={
            "received": len(sink.received),
            "recipients": len({mail.recipient for mail in sink.received}),
            "in_doubt": sum(row.status in IN_DOUBT for row in record.messages),
        },
        webhooks=webhooks,
        checks=check_all(record, sink.received, ledger.answered, timedelta(seconds=SMTP_TIMEOUT / 2)),
    )
