"""Which driver should dripiq speak to PostgreSQL with?

Four ways take turns in every round, on one server and one set of tables (migrated, with all keys and indexes): the engine's own statements for
"claim 500, complete 500" on `scheduled_actions`, and for 1,000 rows into `message_events`. One connection each, one transaction a statement, a
durable server. What was done is counted in the tables at the end. The decision is in docs/decisions/0002-driver.md.
"""

import argparse
import asyncio
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import psycopg
from sqlalchemy import Engine, TextClause, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from dripiq.db.embedded import EmbeddedPostgres
from dripiq.db.migrate import upgrade
from dripiq.db.session import make_engine
from dripiq.repositories.intake import INSERT_EVENTS
from dripiq.repositories.queue import CLAIM_DUE, PUT_BACK
from dripiq.schema.ids import new_id, new_ids

CLAIMED, CLAIMS = 500, 8
INSERTED, INSERTS = 1_000, 4
CAMPAIGNS, VISITS = 15_000, 15
RESULTS = Path(__file__).parent / "results" / "driver.json"

Work = Generator[tuple[TextClause, dict[str, Any]], Sequence[Any], int]
"""What is to be done, whichever way: yields a statement and its parameters, is sent the rows, returns how many rows it worked."""


class Way(Protocol):
    """One way to speak to PostgreSQL."""

    name: str

    def run(self, work: Work) -> int:
        """Do the work, each statement in a transaction of its own."""
        ...

    def close(self) -> None: ...


class SqlAlchemyOnPsycopg:
    """As the engine does it."""

    name = "SQLAlchemy Core, psycopg 3"

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url)

    def _transaction(self, statement: TextClause, parameters: Mapping[str, Any]) -> Sequence[Any]:
        with self._engine.begin() as connection:
            return connection.execute(statement, parameters).all()

    def run(self, work: Work) -> int:
        return _drive(work, self._transaction)

    def close(self) -> None:
        self._engine.dispose()


class Psycopg:
    name = "psycopg 3"

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False))
        self._texts: dict[TextClause, bytes] = {}

    def _transaction(self, statement: TextClause, parameters: Mapping[str, Any]) -> Sequence[Any]:
        if statement not in self._texts:
            names = {name: f"%({name})s" for name in parameters}
            self._texts[statement] = _with_markers(statement, names).encode()
        with self._connection.transaction():
            return self._connection.execute(self._texts[statement], parameters).fetchall()

    def run(self, work: Work) -> int:
        return _drive(work, self._transaction)

    def close(self) -> None:
        self._connection.close()


class Asyncpg:
    name = "asyncpg"

    def __init__(self, url: str) -> None:
        self._loop = asyncio.Runner()
        parsed = make_url(url)
        self._connection = self._loop.run(
            asyncpg.connect(
                host=parsed.query.get("host") or parsed.host, user=parsed.username, database=parsed.database
            )
        )
        self._texts: dict[TextClause, str] = {}

    async def _transaction(self, statement: TextClause, parameters: Mapping[str, Any]) -> Sequence[Any]:
        if statement not in self._texts:
            numbers = {name: f"${number}" for number, name in enumerate(parameters, start=1)}
            self._texts[statement] = _with_markers(statement, numbers)
        async with self._connection.transaction():
            rows: Sequence[Any] = await self._connection.fetch(self._texts[statement], *parameters.values())
            return rows

    def run(self, work: Work) -> int:
        return self._loop.run(_drive_async(work, self._transaction))

    def close(self) -> None:
        self._loop.run(self._connection.close())
        self._loop.close()


class SqlAlchemyOnAsyncpg:
    name = "SQLAlchemy Core, asyncpg"

    def __init__(self, url: str) -> None:
        self._loop = asyncio.Runner()
        self._engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), pool_pre_ping=True)

    async def _transaction(self, statement: TextClause, parameters: Mapping[str, Any]) -> Sequence[Any]:
        async with self._engine.begin() as connection:
            return (await connection.execute(statement, parameters)).all()

    def run(self, work: Work) -> int:
        return self._loop.run(_drive_async(work, self._transaction))

    def close(self) -> None:
        self._loop.run(self._engine.dispose())
        self._loop.close()


def _drive(work: Work, transaction: Callable[[TextClause, dict[str, Any]], Sequence[Any]]) -> int:
    try:
        wanted = next(work)
        while True:
            wanted = work.send(transaction(*wanted))
    except StopIteration as end:
        return int(end.value)


async def _drive_async(work: Work, transaction: Callable[[TextClause, dict[str, Any]], Any]) -> int:
    try:
        wanted = next(work)
        while True:
            wanted = work.send(await transaction(*wanted))
    except StopIteration as end:
        return int(end.value)


def _with_markers(statement: TextClause, markers: Mapping[str, str]) -> str:
    """The statement's text with a driver's own markers for its parameters."""
    marked = statement.text
    for name in sorted(markers, key=len, reverse=True):
        marked = marked.replace(f":{name}", markers[name])
    return marked


@dataclass(frozen=True, slots=True)
class Seeded:
    """The rows that work is done on."""

    tenant_id: str
    campaign_ids: Sequence[str]
    message_ids: Sequence[str]


def claim_and_complete(seeded: Seeded, now: datetime) -> Work:
    """Claim 500 actions and complete them under their lease, a few times over."""
    done = 0
    for _ in range(CLAIMS):
        token = new_id()
        claim = {"tenant_id": seeded.tenant_id, "token": token, "lease_until": now + timedelta(minutes=2), "now": now}
        ids = [row[0] for row in (yield CLAIM_DUE, {**claim, "limit": CLAIMED})]
        nothing = [None] * len(ids)
        arrays = {"ids": ids, "statuses": ["completed"] * len(ids), "run_ats": nothing, "reasons": nothing}
        rows = yield PUT_BACK, {"tenant_id": seeded.tenant_id, "token": token, "now": now, **arrays, "errors": nothing}
        done += len(rows)
    return done


_events = count(1)


def insert_events(seeded: Seeded, now: datetime) -> Work:
    """Insert 1,000 events of known messages, a few times over."""
    done = 0
    for _ in range(INSERTS):
        numbers = [next(_events) for _ in range(INSERTED)]
        arrays = {
            "ids": new_ids(INSERTED),
            "message_ids": [seeded.message_ids[n % len(seeded.message_ids)] for n in numbers],
            "campaign_ids": [seeded.campaign_ids[n % len(seeded.message_ids)] for n in numbers],
            "providers": ["sendgrid"] * INSERTED,
            "types": ["opened"] * INSERTED,
            "ats": [now + timedelta(milliseconds=n) for n in numbers],
            "urls": [None] * INSERTED,
            "ips": ["192.0.2.1"] * INSERTED,
            "user_agents": ["Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"] * INSERTED,
            "event_ids": [f"event-{n}" for n in numbers],
            "payloads": [json.dumps({"event": "open", "sg_event_id": f"event-{n}"}) for n in numbers],
            "confidences": ["unknown"] * INSERTED,
        }
        done += len((yield INSERT_EVENTS, {"tenant_id": seeded.tenant_id, "now": now, **arrays}))
    return done


SEED = (
    "INSERT INTO dripiq_app.tenants (id, name) VALUES (:tenant, 'Bench')",
    "INSERT INTO dripiq_app.leads (id, tenant_id, name) VALUES (:tenant, :tenant, 'Lead')",
    "INSERT INTO dripiq_app.lead_point_of_contacts (id, tenant_id, lead_id, name, email)"
    " SELECT id, :tenant, :tenant, 'Contact', id || '@example.com' FROM unnest(CAST(:ids AS text[])) AS c (id)",
    "INSERT INTO dripiq_app.contact_campaigns"
    " (tenant_id, id, lead_id, contact_id, channel, status, plan_json, plan_hash, current_node_id, visit)"
    " SELECT :tenant, id, :tenant, id, 'email', 'active', '{}', 'hash', 'intro', 1"
    " FROM unnest(CAST(:ids AS text[])) AS c (id)",
    "ANALYZE dripiq_app.contact_campaigns",
    "INSERT INTO dripiq_app.scheduled_actions"
    " (tenant_id, id, contact_campaign_id, node_id, visit, action_type, run_at, dedupe_key)"
    " SELECT :tenant, id || '-' || visit, id, 'intro', visit, 'send',"
    " CAST(:now AS timestamptz) - random() * INTERVAL '1 day', id || '-' || visit"
    " FROM unnest(CAST(:ids AS text[])) AS c (id), generate_series(1, :visits) AS visit",
    "INSERT INTO dripiq_app.outbound_messages"
    " (tenant_id, id, contact_campaign_id, contact_id, node_id, visit, channel, to_address, body, provider, status, dedupe_key)"
    " SELECT :tenant, id, id, id, 'intro', 1, 'email', id || '@example.com', 'Hi', 'smtp', 'sent', id"
    " FROM unnest(CAST(:ids AS text[])) AS c (id)",
    "ANALYZE",
)


def seed(engine: Engine, now: datetime) -> Seeded:
    """One tenant with its campaigns, their pending actions and their messages."""
    tenant_id, ids = new_id(), new_ids(CAMPAIGNS)
    values = {"tenant": tenant_id, "ids": ids, "now": now, "visits": VISITS}
    for statement in SEED:
        with engine.begin() as connection:
            wanted = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), wanted)
    return Seeded(tenant_id, campaign_ids=ids, message_ids=ids)


@dataclass(frozen=True, slots=True)
class Rate:
    """How one way did in one round."""

    rows: int
    seconds: float
    client_seconds: float


def measure(way: Way, work: Work) -> Rate:
    """Run the work; wall-clock time, and the processor time of this process alone."""
    started, used = time.perf_counter(), time.process_time()
    rows = way.run(work)
    return Rate(rows, time.perf_counter() - started, time.process_time() - used)


def compare(ways: Sequence[Way], work: Callable[[], Work], rounds: int) -> dict[str, list[Rate]]:
    """Every way in every round, each round beginning with another; the first round only warms up, and is not told."""
    rates: dict[str, list[Rate]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        first = number % len(ways)
        for way in (*ways[first:], *ways[:first]):
            rate = measure(way, work())
            if number:
                rates[way.name].append(rate)
    return rates


def report(question: str, rates: Mapping[str, Sequence[Rate]]) -> dict[str, Any]:
    """Print and return: rows a second (median, least, most), the ratio to the first way round by round, the client's own time per row."""
    print(f"\n{question}\n  {'':28} rows/s    least     most    ratio   client µs/row")
    told = {}
    base = next(iter(rates.values()))
    for name, own in rates.items():
        speeds = sorted(rate.rows / rate.seconds for rate in own)
        ratios = [b.seconds / b.rows * r.rows / r.seconds for r, b in zip(own, base, strict=True)]
        cost = statistics.median(rate.client_seconds / rate.rows * 1e6 for rate in own)
        row = (statistics.median(speeds), speeds[0], speeds[-1], statistics.median(ratios), cost)
        print("  {:28} {:6,.0f}   {:6,.0f}   {:6,.0f}   {:6.2f}   {:8.1f}".format(name, *row))
        told[name] = dict(zip(("median", "least", "most", "ratio", "client_us_per_row"), row, strict=True))
    return told


def check(engine: Engine, completed: int, events: int) -> None:
    """See in the tables that the work was really done."""
    counts = (
        "SELECT (SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status = 'completed' AND attempts = 1),"
        " (SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status = 'queued'),"
        " (SELECT count(*) FROM dripiq_app.message_events)"
    )
    with engine.connect() as connection:
        found = tuple(connection.execute(text(counts)).one())
    if found != (completed, 0, events):
        raise SystemExit(
            f"Not all was done: (completed, still leased, events) is {found}, not {(completed, 0, events)}"
        )
    print(f"\nCounted in the tables: {completed:,} actions completed, none left leased, {events:,} events.")


def main() -> None:
    """Seed, measure, count, and write the results down."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=12, help="how often each way has its turn (at most 12)")
    rounds = min(12, options.parse_args().rounds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dripiq-bench-")))
        folder.chmod(0o711)  # under root the server is another user's, and has its data in here
        url = stack.enter_context(EmbeddedPostgres(folder / "home"))
        upgrade(url)
        engine = make_engine(url)
        stack.callback(engine.dispose)
        now = datetime.now(UTC)
        seeded = seed(engine, now)
        ways: list[Way] = []
        for make in (SqlAlchemyOnPsycopg, Psycopg, Asyncpg, SqlAlchemyOnAsyncpg):
            ways.append(way := make(url))
            stack.callback(way.close)
        claims = compare(ways, lambda: claim_and_complete(seeded, now), rounds)
        events = compare(ways, lambda: insert_events(seeded, now), rounds)
        turns = len(ways) * (rounds + 1)
        results = {
            "claim 500 + complete 500": report("Claim 500 + complete 500, rows a second", claims),
            "insert 1,000 events": report("Insert 1,000 events, rows a second", events),
        }
        check(engine, turns * CLAIMS * CLAIMED, turns * INSERTS * INSERTED)
        with engine.connect() as connection:
            server = connection.exec_driver_sql("SHOW server_version").scalar_one()
    versions = {name: version(name) for name in ("psycopg", "asyncpg", "sqlalchemy")}
    setting = {"python": platform.python_version(), "postgresql": server, **versions, "rounds": rounds}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"setting": setting, "results": results}, indent=2) + "\n")
    print(f"Written to {RESULTS.relative_to(Path.cwd())}: {', '.join(f'{k} {v}' for k, v in setting.items())}")


if __name__ == "__main__":
    main()
