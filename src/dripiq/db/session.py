"""How does the program talk to PostgreSQL?

One synchronous psycopg 3 engine per process. Times come back in UTC. Work for one tenant runs as the role `dripiq_tenant`, which sees and writes the
rows of the tenant that `dripiq.tenant_id` names, and no others, whatever a statement says. Where that role cannot be had (`dripiq.db.security.status`
says so), the setting alone is made, and the statements alone keep tenants apart.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection as PsycopgConnection
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError

from dripiq.db.arrays import write_lists_quickly
from dripiq.domain.errors import ConfigurationError, DatabaseError, InputError
from dripiq.schema.security import TENANT_ROLE

CONNECT_TIMEOUT_SECONDS = 10

LOCK_TIMEOUT = "5s"
"""How long a statement waits for a lock: somebody's open transaction must hold up neither a worker's other tenants nor a request for ever."""

READ_SPEAKER = text("""
    SELECT current_setting('role') AS role, coalesce(current_setting('dripiq.tenant_id', true), '') AS tenant_id, EXISTS (
        SELECT FROM pg_roles
        WHERE rolname = 'dripiq_tenant' AND pg_has_role(
            session_user, oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END
        )
    ) AS can_take
""")
"""For whom the transaction works, and whether the user who logged in may take the tenant's role."""


def make_engine(url: str, *, pool_size: int = 5, prepared: bool = True) -> Engine:
    """Make the engine for a database; nothing is connected yet.

    A statement is prepared when it comes for the sixth time, and at a ROLLBACK psycopg forgets what it has prepared: work that is repeated ends with a COMMIT
    (`engine.begin()`), reads too.

    Args:
        url: `postgresql://user:password@host:port/database`, with or without `+psycopg`.
        pool_size: the most connections that this process holds; who finds none free waits.
        prepared: False behind a transaction pooler, where a prepared statement would outlive the server it was made on.

    Raises:
        ConfigurationError: `database_url` when the text is no URL of a PostgreSQL database.
    """
    engine = create_engine(
        _psycopg_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_use_lifo=True,  # the busiest connection knows the statements best
        connect_args={
            "application_name": "dripiq",
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "prepare_threshold": 5 if prepared else None,
        },
    )
    event.listen(engine, "connect", _settle)
    return engine


def connect(engine: Engine) -> Connection:
    """Take a connection.

    Raises:
        DatabaseError: `database_unreachable`, saying where nothing answered and why, without the password.
    """
    try:
        return engine.connect()
    except OperationalError as error:
        url = engine.url
        # The lines that begin with a tab are libpq's advice; of several addresses tried, the last one's reason is told.
        reasons = [line for line in str(error.orig).strip().splitlines() if not line.startswith("\t")] or ["no answer"]
        reason = reasons[-1].rstrip(".")
        if url.password:
            reason = reason.replace(str(url.password), "***")
        raise DatabaseError(
            f"The database {url.database!r} at {url.host or 'the local socket'}:{url.port or 5432} cannot be reached: {reason}. "
            "See that PostgreSQL runs there and that DRIPIQ_DATABASE_URL is right.",
            code="database_unreachable",
            facts={"host": url.host, "port": url.port, "database": url.database},
        ) from None


@contextmanager
def tenant_transaction(engine: Engine, tenant_id: str) -> Iterator[Connection]:
    """A transaction on behalf of one tenant: committed at the end, rolled back when an exception leaves it.

    Raises:
        DatabaseError: `database_unreachable` when no connection can be had.
        InputError: `no_tenant`.
    """
    with connect(engine) as connection, connection.begin():
        _speak_for(connection, tenant_id)
        yield connection


@contextmanager
def as_tenant(connection: Connection, tenant_id: str) -> Iterator[Connection]:
    """A part of the caller's own transaction on behalf of one tenant; before and after it, the caller's statements run as they did.

    The part is all or nothing: what it did is undone when an exception leaves it, and the caller's transaction can go on.

    Raises:
        InputError: `no_tenant`.
    """
    with connection.begin_nested():  # its rollback puts role and setting back, but its release does not
        before = _speak_for(connection, tenant_id)
        yield connection
        _set_local(connection, before.role, before.tenant_id)


def _speak_for(connection: Connection, tenant_id: str) -> Any:
    """Become the tenant's role until the transaction ends; who spoke before (`role`, `tenant_id`)."""
    if not (tenant_id and tenant_id.strip()):
        raise InputError("Work for a tenant needs a tenant: pass the id of one.", code="no_tenant")
    before = connection.execute(READ_SPEAKER).one()
    _set_local(connection, TENANT_ROLE if before.can_take else before.role, tenant_id)
    return before


def _set_local(connection: Connection, role: str, tenant_id: str) -> None:
    # As literals, not by set_config(): the nodes of a sharded cluster are told of a literal SET LOCAL only.
    name = "NONE" if role == "none" else '"' + role.replace('"', '""') + '"'
    literal = " E'" + tenant_id.replace("\\", "\\\\").replace("'", "''") + "'"
    for statement in (f"SET LOCAL dripiq.tenant_id = {literal}", f"SET LOCAL ROLE {name}"):
        connection.exec_driver_sql(statement.replace("%", "%%"))


def _psycopg_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.get_backend_name() not in {"postgresql", "postgres"}:
        # The text is not repeated: it may hold a password.
        raise ConfigurationError(
            "The database URL is not of the form postgresql://user:password@host:port/database. Correct DRIPIQ_DATABASE_URL.",
            code="database_url",
        ) from None
    return parsed.set(drivername="postgresql+psycopg")


def _settle(connection: PsycopgConnection[Any], _record: object) -> None:
    # Not by the start-up parameter `options`, which transaction poolers refuse; a committed SET they follow.
    write_lists_quickly(connection)
    connection.execute(f"SET TIME ZONE 'UTC'; SET lock_timeout = '{LOCK_TIMEOUT}'")
    connection.commit()
