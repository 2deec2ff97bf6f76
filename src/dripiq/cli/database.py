"""`dripiq db`: the database's migrations, and sample data."""

from typing import TYPE_CHECKING, Annotated

import typer

from dripiq.cli import partitions
from dripiq.cli.opening import open_database, open_transaction
from dripiq.cli.output import JsonOption, note, say, show_json
from dripiq.domain.errors import InputError

if TYPE_CHECKING:
    from dripiq.wiring import Database

app = typer.Typer(help="The database: migrate it, look where it stands, fill it with samples.", no_args_is_help=True)
app.add_typer(partitions.app, name="partitions")


@app.command()
def upgrade(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="A revision, such as 0025, or head.")] = "head",
    as_json: JsonOption = False,
) -> None:
    """Bring the database to the revision that this version needs; there already, nothing changes."""
    from dripiq.db import migrate

    with open_database(check=False, begin=True) as (_, database):
        migrate.upgrade(database.direct_url, revision)
        _show(database, as_json)


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="A revision, such as 0024, or base.")],
    discard: Annotated[
        bool, typer.Option("--discard", help="Drop the tables' rows with them; without it, rows stop the downgrade.")
    ] = False,
    archive: Annotated[
        bool,
        typer.Option(
            "--archive", help="To 0024 only: move the tables and their rows aside; the next upgrade brings them back."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take the database back to a revision, all of the way or not at all."""
    from dripiq.db import migrate

    if archive and (discard or revision != migrate.HOST_BASELINE):
        raise InputError(
            f"What goes to the archive are all campaign tables with their rows: `dripiq db downgrade {migrate.HOST_BASELINE} --archive`.",
            code="archive_what",
        )
    with open_database(check=False) as (_, database):
        if archive:
            moved = migrate.archive(database.direct_url)
            note(f"Archived: {_counted(moved) or 'empty tables'}")
        else:
            migrate.downgrade(database.direct_url, revision, discard=discard)
        _show(database, as_json)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show where the database stands; nothing is changed."""

    with open_database(check=False) as (_, database):
        _show(database, as_json)


@app.command()
def sql(
    revisions: Annotated[
        str | None,
        typer.Argument(metavar="REVISIONS", help="One, such as 0026, or a range FROM:TO, such as 0025:0027; else all."),
    ] = None,
    downgrade: Annotated[
        bool, typer.Option("--downgrade", help="The SQL of going back; a range runs down, as 0027:0025.")
    ] = False,
) -> None:
    """Print the SQL of migrations, to be read or run by hand; no database is asked."""
    from dripiq.db.offline import migration_sql

    say(migration_sql(revisions, down=downgrade).rstrip("\n"))


@app.command()
def index(
    name: Annotated[str, typer.Argument(metavar="NAME", help="plan-gin: of plans, for queries that look into them.")],
    drop: Annotated[bool, typer.Option("--drop", help="Drop it again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build an index that is costly to write and that most never need, while others read and write; again after an interruption, it is repaired."""
    from dripiq.migrations.indexes import change_on_demand

    with open_database(check=False) as (_, database):
        changed = change_on_demand(database.direct_url, name, wanted=not drop)
    if as_json:
        show_json({"index": name, "changed": changed})
    elif changed:
        say(f"{'Dropped' if drop else 'Built'}: {name}")
    else:
        say(f"Nothing to do: {name} {'is not there' if drop else 'is there'}.")


@app.command()
def seed(as_json: JsonOption = False) -> None:
    """Fill the database with samples: tenants, users, verified senders, leads, contacts, and paused campaigns on example plans.

    What is there stays as it is, so a second run changes nothing. Nothing is sent until somebody resumes a campaign.
    """
    from dataclasses import asdict

    from dripiq.engine.seed import seed as seed_samples

    with open_transaction() as (connection, now):
        seeded = seed_samples(connection, now=now)
    if as_json:
        show_json(asdict(seeded))
        return
    made = {name.removesuffix("_made"): count for name, count in asdict(seeded).items() if name != "tenants" and count}
    say("Made: " + (", ".join(f"{count} {name}" for name, count in made.items()) or "nothing, all is there"))
    for name in seeded.tenants:
        say(f"Tenant {name}: `dripiq campaign list --tenant {name!r}`")


def _show(database: "Database", as_json: bool) -> None:
    from dripiq.db import security
    from dripiq.db.standing import status

    found = status(database.direct_url)
    protection = None
    if found.is_current:
        with database.engine.connect() as connection:
            protection = security.status(connection)
    if as_json:
        show_json(
            {
                "current": found.current,
                "head": found.head,
                "is_current": found.is_current,
                "known": found.known,
                "pending": list(found.pending),
                "server_version": found.server_version,
                "tables": list(found.tables),
                "archived": {"revision": found.archived.revision, "orphans": found.archived.orphans},
                "protection": {"gaps": list(protection.gaps), "statements": list(protection.statements)}
                if protection
                else None,
            }
        )
        return
    if not found.known:
        standing = (
            f"revision {found.current}, which this version of dripiq (head {found.head}) does not know: upgrade dripiq"
        )
    elif found.is_current:
        standing = f"revision {found.current}, as this version of dripiq needs it"
    else:
        standing = f"{f'revision {found.current}' if found.current else 'empty'}; to run: {', '.join(found.pending)}"
    say(f"Database: {standing}")
    say(f"Server: PostgreSQL {found.server_version}")
    say(f"Tables: {', '.join(found.tables) or 'none'}")
    if found.archived.revision is not None:
        say(f"Archive: the tables of revision {found.archived.revision}; `dripiq db upgrade` brings them back")
    if found.archived.orphans:
        say(f"Archive: rows whose lead, contact, user or tenant is gone: {_counted(found.archived.orphans)}")
    if protection is not None and not protection.gaps:
        say("Tenants: kept apart by keys and by row-level security")
    for gap in protection.gaps if protection is not None else ():
        say(f"Tenants: {gap}")
    for statement in protection.statements if protection is not None else ():
        say(f"    {statement.rstrip(';')};")


def _counted(rows: dict[str, int]) -> str:
    return ", ".join(f"{table} {count:,}" for table, count in rows.items() if count)
