"""`dripiq bench`: a database of months of outreach, and what its indexes are for."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from dripiq.cli.opening import open_database
from dripiq.cli.output import JsonOption, note, progress, say, show_json

app = typer.Typer(
    help="Benches: fill an empty database by the million, and measure what its indexes are for.", no_args_is_help=True
)


@app.command()
def seed(
    events: Annotated[int, typer.Option(help="Events of the messages.")] = 2_000_000,
    messages: Annotated[int, typer.Option(help="Messages sent; as many transitions.")] = 1_000_000,
    actions: Annotated[int, typer.Option(help="Scheduled actions, most of them finished.")] = 1_000_000,
    campaigns: Annotated[int, typer.Option(help="Campaigns, each of a contact of its own.")] = 200_000,
    tenants: Annotated[int, typer.Option(help="Tenants; the first has half of everything.")] = 200,
    number: Annotated[int, typer.Option("--seed", help="The same number at the same time makes the same rows.")] = 1,
    at: Annotated[
        datetime | None, typer.Option(help="When the history ends (UTC); the database's time if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fill an empty, migrated database with months of outreach, in minutes."""
    from datetime import UTC

    from dripiq.engine.clock import DatabaseClock
    from dripiq.simulate.bulk_rows import Scale
    from dripiq.simulate.bulk_seed import seed_bulk

    scale = Scale(events, messages, actions, campaigns, tenants)
    with open_database() as (_, database):
        with database.engine.connect() as connection:
            now = at.replace(tzinfo=UTC) if at is not None else DatabaseClock().now(connection)
        about = events + 2 * messages + actions + 4 * campaigns
        with progress("rows", about, quiet=as_json) as advance:
            counts = seed_bulk(database.engine, scale, seed=number, now=now, told=lambda _, rows: advance(rows))
    if as_json:
        show_json({"rows": counts, "now": now, "seed": number})
        return
    for table, count in counts.items():
        say(f"{count:>12,} {table}")


@app.command()
def indexes(
    output: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path("docs/indexes.md"),
    against: Annotated[
        str | None, typer.Option(help="The URL of a database filled with a tenth of the rows, to compare with.")
    ] = None,
) -> None:
    """Measure the database that `dripiq bench seed` filled: each index's size and use, and its statement with and without it.

    Indexes are dropped in transactions that are rolled back; nobody else should use the database meanwhile.
    """
    from dripiq.db.session import make_engine
    from dripiq.simulate.index_costs import measure_indexes, measure_queries
    from dripiq.simulate.index_report import render

    with open_database() as (_, database):
        tenth = measure_queries(make_engine(against)) if against is not None else None
        whole = measure_indexes(database.engine, note)
    output.write_text(render(whole, tenth), encoding="utf-8")
    say(f"Written: {output}")
