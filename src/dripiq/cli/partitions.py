"""`dripiq db partitions`: the months of events."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dripiq.cli.opening import open_database
from dripiq.cli.output import JsonOption, say, show_json, show_table
from dripiq.domain.errors import InputError

if TYPE_CHECKING:
    from dripiq.db.partitions import Partition

app = typer.Typer(help="The months of events: list them, make them ahead, drop old ones.", invoke_without_command=True)

MOST_MONTHS = 120
MOST_KEPT = 1200


@app.callback()
def partitions(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the months of events that have a partition, and what the default partition holds; nothing is changed."""
    from dripiq.db.partitions import list_months, read_default
    from dripiq.db.session import connect

    if context.invoked_subcommand is not None:
        return
    with open_database() as (_, database), connect(database.engine) as connection:
        months, default = list_months(connection), read_default(connection)
    rows = [_row(partition) for partition in months]
    if as_json:
        held = {"rows": default.rows, "bytes": default.bytes, "rows_by_month": default.rows_by_month}
        show_json({"partitions": rows, "default": held})
        return
    show_table(rows, ("month", "rows", "bytes", "name"), title="Months (rows are estimates)")
    by_month = ", ".join(f"{month} {count:,}" for month, count in default.rows_by_month.items())
    say(
        f"In the default partition: {default.rows:,} {'row' if default.rows == 1 else 'rows'}{f' ({by_month})' if by_month else ''}"
    )


@app.command()
def make(
    months: Annotated[
        int,
        typer.Option("--months", metavar="N", min=0, max=MOST_MONTHS, help="How many months after the current one."),
    ] = 3,
    pause: Annotated[
        float,
        typer.Option(
            "--pause", metavar="SECONDS", min=0.1, max=3600, help="How long moving rows may hold up whoever writes."
        ),
    ] = 3,
    as_json: JsonOption = False,
) -> None:
    """Make the current month and those after it; rows that the default partition holds of them move in."""
    from dripiq.db.migrate import told_clearly
    from dripiq.db.partitions import ensure_partitions
    from dripiq.db.session import connect
    from dripiq.engine.clock import DatabaseClock

    with open_database() as (_, database), connect(database.engine) as connection, told_clearly():
        now = DatabaseClock().now(connection)
        connection.rollback()
        made = ensure_partitions(connection, months_ahead=months, now=now, longest_pause=pause)
    if as_json:
        show_json({"made": made})
    else:
        say(f"Made: {', '.join(made) or 'nothing, all are there'}")


@app.command()
def drop(
    before: Annotated[
        str | None, typer.Option("--before", metavar="YYYY-MM", help="Drop the months before this one (UTC).")
    ] = None,
    keep_months: Annotated[
        int | None,
        typer.Option(
            "--keep-months",
            metavar="N",
            min=0,
            max=MOST_KEPT,
            help="Keep the current month and N full months before it.",
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without it, what would go is only shown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Drop old months of events, rows and all. Shows what would go, unless told to do it."""
    from dripiq.db.migrate import told_clearly
    from dripiq.db.retention import drop_expired, find_expired, first_kept
    from dripiq.db.session import connect
    from dripiq.engine.clock import DatabaseClock

    if (before is None) == (keep_months is None):
        raise InputError("Say which months go: --before YYYY-MM or --keep-months N, one of them.", code="which_months")
    month = None if before is None else _month(before)
    with open_database() as (_, database), connect(database.engine) as connection, told_clearly():
        now = DatabaseClock().now(connection)
        connection.rollback()
        limit = month or first_kept(now, keep_months or 0)
        found = (drop_expired if apply else find_expired)(connection, limit, now)
    rows = [_row(partition) for partition in found]
    if as_json:
        show_json({"before": f"{limit:%Y-%m}", "applied": apply, "partitions": rows})
        return
    show_table(rows, ("month", "rows", "bytes", "name"), title="Dropped" if apply else "Would be dropped")
    if rows and not apply:
        say("Nothing was changed; --apply drops them.")


def _month(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise InputError(f"{text!r} is no month: write it as 2026-03.", code="invalid_month") from None


def _row(partition: "Partition") -> dict[str, Any]:
    month = f"{partition.month:%Y-%m}"
    return {"name": partition.name, "month": month, "rows": partition.rows, "bytes": partition.bytes}
