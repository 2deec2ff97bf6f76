"""The real PostgreSQL that tests run on: one server for a run, databases cloned from a migrated template.

- Without DRIPIQ_TEST_DATABASE_URL the run has an embedded server of its own, shared by all xdist workers and gone afterwards. With it, that server
  is used (its user must be allowed to create databases and roles); only databases named after the run are made there, and dropped.
- Its data are in memory where there is room (/dev/shm), else in the temporary folder.
- `connection` is the fast one: a transaction that is rolled back. Take `database` or `engine` where commits matter: a clone and its drop are 40 ms.
  (Clones use PostgreSQL's default strategy: FILE_COPY measured a few ms faster here, and forces checkpoints on everybody else.)
"""

import fcntl
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import hypothesis
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, Connection, Engine, create_engine, make_url

from dripiq.db.embedded import EmbeddedPostgres

RUN_FOLDER = "DRIPIQ_TEST_RUN_FOLDER"
EXTERNAL_SERVER = "DRIPIQ_TEST_DATABASE_URL"
RUN_LOCK = pytest.StashKey[IO[str]]()

# Cloning a database makes 400 files: 25 ms in memory, and up to 700 ms on a disk that others write to.
MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 2 << 30

# What is lost in a crash is only tests' data.
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "400",
    "track_commit_timestamp": "on",
}

# A test machine is shared, so that how long an example takes says nothing.
hypothesis.settings.register_profile("dripiq", deadline=None)
hypothesis.settings.load_profile("dripiq")


def pytest_configure(config: pytest.Config) -> None:
    """The process that the run began with makes its folder; xdist's workers inherit the name in their environment."""
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # of a run in the background, which what tests interrupt must not inherit
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return
    parent = (
        MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_MEMORY else Path(tempfile.gettempdir())
    )
    for left in parent.glob("dripiq-test-*/run.lock"):
        with suppress(OSError), left.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent)  # of a run that was killed: nobody holds its lock
    folder = Path(tempfile.mkdtemp(prefix="dripiq-test-", dir=parent))
    folder.chmod(0o711)  # under root the server is another user's, and has its data in here
    config.stash[RUN_LOCK] = (folder / "lock").open("w")
    fcntl.flock(config.stash[RUN_LOCK], fcntl.LOCK_EX)
    (folder / "lock").rename(folder / "run.lock")  # locked before another run can see it
    os.environ[RUN_FOLDER] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN_LOCK in config.stash:
        folder = Path(os.environ.pop(RUN_FOLDER))
        if EXTERNAL_SERVER in os.environ and (folder / "template.made").exists():
            with Server(make_url(os.environ[EXTERNAL_SERVER]), folder) as server:
                server.drop(server.template)
        shutil.rmtree(folder, ignore_errors=True)
        config.stash[RUN_LOCK].close()


class Server:
    """A PostgreSQL server, and the databases that this run makes on it."""

    def __init__(self, url: URL, run_folder: Path) -> None:
        self.url = url.set(drivername="postgresql+psycopg")
        self.run_folder = run_folder
        self.prefix = "test_" + run_folder.name.removeprefix("dripiq-test-").lower()
        self.template = f"{self.prefix}_template"
        self._admin = psycopg.connect(
            self.url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
        )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.close()

    def address(self, name: str) -> str:
        return self.url.set(database=name).render_as_string(hide_password=False)

    def create(self, name: str, template: str = "template0") -> None:
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )

    def drop(self, name: str) -> None:
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def seal(self, name: str) -> None:
        """Lets nobody connect any more: a database with a connection (even autovacuum's) cannot be cloned."""
        self._admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a database that lives as long as the block."""
        name = f"{self.prefix}_{secrets.token_hex(6)}"
        self.create(name, template)
        try:
            yield self.address(name)
        finally:
            self.drop(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    folder = Path(os.environ[RUN_FOLDER])
    if EXTERNAL_SERVER in os.environ:
        with Server(make_url(os.environ[EXTERNAL_SERVER]), folder) as server:
            yield server
    else:
        with (
            EmbeddedPostgres(folder / "home", settings=FAST_SETTINGS) as url,
            Server(make_url(url), folder) as server,
        ):
            yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Server) -> str:
    """The SQLAlchemy URL of the server that this run uses; its database is nobody's, make your own."""
    return postgres_server.url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def template_database(postgres_server: Server) -> str:
    """The name of a database that is migrated to head and that nobody may connect to, for clones; made once for all workers of a run."""
    made = postgres_server.run_folder / "template.made"
    with (postgres_server.run_folder / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            from dripiq.db.migrate import upgrade

            postgres_server.drop(postgres_server.template)
            postgres_server.create(postgres_server.template)
            upgrade(postgres_server.address(postgres_server.template))
            postgres_server.seal(postgres_server.template)
            made.touch()
    return postgres_server.template


@pytest.fixture
def database(postgres_server: Server, template_database: str) -> Iterator[str]:
    """The SQLAlchemy URL of a migrated database of the test's own."""
    with postgres_server.database(template_database) as url:
        yield url


@pytest.fixture
def empty_database(postgres_server: Server) -> Iterator[str]:
    """The SQLAlchemy URL of a database of the test's own with nothing in it."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on a migrated database of the test's own."""
    made = create_engine(database)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def _shared_engine(postgres_server: Server, template_database: str) -> Iterator[Engine]:
    """An engine on one migrated database for each worker, in which nothing is ever committed."""
    with postgres_server.database(template_database) as url:
        made = create_engine(url)
        yield made
        made.dispose()


@pytest.fixture
def connection(_shared_engine: Engine) -> Iterator[Connection]:
    """A connection to a migrated database, in a transaction that is rolled back after the test.

    Code under test may use `begin_nested()`; an ORM session joins with `join_transaction_mode="create_savepoint"`. What commits takes `engine`.
    """
    with _shared_engine.connect() as opened:
        transaction = opened.begin()
        try:
            yield opened
        finally:
            if transaction.is_active:
                transaction.rollback()
