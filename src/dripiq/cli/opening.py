"""What does a command work on: which file, which database, which time?"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from dripiq.cli.output import note
from dripiq.domain.errors import DatabaseError, InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dripiq.config.settings import Settings
    from dripiq.wiring import Database


@contextmanager
def open_database(*, check: bool = True, begin: bool = False) -> "Iterator[tuple[Settings, Database]]":
    """The settings, and the configured database or dripiq's own.

    Args:
        check: see first that the database fits this code.
        begin: make dripiq's own where there is none, which is said; whoever is in the wrong folder is not to find an empty one.

    Raises:
        ConfigurationError, DatabaseError: as told by `load_settings`, `running_database` and `Database.check`; `no_database`.
    """
    from dripiq.config.environment import load_settings
    from dripiq.db.embedded import has_data
    from dripiq.wiring import running_database

    settings = load_settings()
    if settings.database_url is None and not has_data(settings.home):
        if not begin:
            raise _no_database(settings)
        note(f"A new, empty database is made in {settings.home.absolute()}. {_OTHER_HOME}")
    with running_database(settings) as database:
        if check:
            database.check()
        yield settings, database


_OTHER_HOME = "One that is elsewhere is found from its own folder, or by DRIPIQ_HOME (or DRIPIQ_DATABASE_URL)."


def _no_database(settings: "Settings") -> DatabaseError:
    home = settings.home.absolute()
    return DatabaseError(
        f"There is no database in {home}: `dripiq up` (or `dripiq db upgrade`) makes one there. {_OTHER_HOME}",
        code="no_database",
        facts={"home": str(home)},
    )


def database_in_use() -> str:
    """Which database commands work on, for people: the home of dripiq's own, or the address of another without its password."""
    from sqlalchemy import make_url

    from dripiq.config.environment import load_settings

    settings = load_settings()
    if settings.database_url is None:
        return str(settings.home.absolute())
    return make_url(settings.database_url.get_secret_value()).render_as_string(hide_password=True)


@contextmanager
def open_transaction() -> "Iterator[tuple[Connection, datetime]]":
    """A transaction on the database, committed at the end, and the engine's time."""
    from dripiq.db.session import connect
    from dripiq.engine.clock import DatabaseClock

    with open_database() as (_, database), connect(database.engine) as connection, connection.begin():
        yield connection, DatabaseClock().now(connection)


@contextmanager
def open_sending(tenant: str) -> "Iterator[tuple[Connection, str]]":
    """A transaction of its own for what takes a tenant's sending lock as its first statement, and the tenant's id.

    Raises:
        NotFoundError, InputError: as `find_tenant`.
    """
    from dripiq.db.session import connect
    from dripiq.engine.register import find_tenant

    with open_database() as (_, database):
        with connect(database.engine) as connection, connection.begin():
            owner = find_tenant(connection, tenant)
        with connect(database.engine) as connection, connection.begin():
            yield connection, owner.id


YEARS = range(1970, 2200)
"""Times beyond these are slips of the hand, and some reckon out of what a date can be."""


def read_time(given: str, option: str) -> datetime:
    """A time as typed (ISO 8601; UTC where it has no offset), in UTC.

    Raises:
        typer.BadParameter: it is none, or lies where nobody's campaigns do.
    """
    try:
        found = datetime.fromisoformat(given.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{given!r} is no time: write it as 2026-03-05T08:30 (in UTC) or 2026-03-05T08:30+01:00.", param_hint=option
        ) from None
    if not YEARS.start <= found.year < YEARS.stop:
        raise typer.BadParameter(f"{given!r} is not in the years {YEARS.start} to {YEARS.stop - 1}.", param_hint=option)
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)


def read_file(path: str, at_most: int = -1) -> bytes:
    """A file's bytes, all of them or the first `at_most`; `-` is stdin.

    Raises:
        InputError: `unreadable_file`, saying why.
    """
    try:
        if path == "-":
            return sys.stdin.buffer.read(at_most)
        with open(path, "rb") as file:  # noqa: PTH123 - a path as typed, also one that pathlib would change
            return file.read(at_most)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}.", code="unreadable_file", facts={"file": path}
        ) from None
    except ValueError as error:  # a NUL in the path
        raise InputError(f"{path!r} is no path: {error}.", code="unreadable_file", facts={"file": path}) from None
