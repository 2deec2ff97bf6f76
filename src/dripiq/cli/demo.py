"""`dripiq demo`: the whole of dripiq at work on this machine, in about a minute, and a verdict."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dripiq.cli.output import JsonOption, note, say, show_json, show_table, when
from dripiq.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from dripiq.simulate.demo import Kept, Look
    from dripiq.simulate.report import Report

NOTE_EVERY = 5.0
"""Seconds between lines of progress where stderr is no terminal."""

EXPLAINED = "PostgreSQL, API and workers are processes of this machine; mail goes to a local SMTP server, and nothing leaves it."


def demo(
    seed: Annotated[int, typer.Option(help="Decides what recipients do and how badly the provider behaves.")] = 1,
    duration: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds that the campaigns may run at most.")
    ] = 75.0,
    workers: Annotated[int, typer.Option(min=1, max=8, help="How many workers run side by side.")] = 2,
    home: Annotated[
        Path, typer.Option(help="Where the demo keeps its PostgreSQL and logs; apart from your own data.")
    ] = Path(".dripiq/demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running to look at, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run campaigns for 216 made-up contacts of three tenants through every part of dripiq, and check what really happened.

    A PostgreSQL of its own, a CSV import, the API, workers, real SMTP to a local server, signed webhooks of a simulated provider that doubles and reorders
    them. Ends with a funnel, the outcomes, and the engine's invariants held against what the SMTP server received: exit 0 only if they hold. Contacts in
    their quiet hours are held, and said to be. DRIPIQ_DATABASE_URL is not used.
    """
    try:
        from dripiq.simulate.demo import Course, run
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The demo needs the package {error.name}: install dripiq with its extras, pip install 'dripiq[demo,embedded]'.",
            code="demo_not_installed",
        ) from None

    with _Stage(keep=keep, as_json=as_json) as stage:
        report = run(Course(seed, duration, home.absolute(), workers, keep), stage)
    if not report.holds:
        raise typer.Exit(1)


class _Stage:
    """Shows a run: what is begun and how far it is on stderr, the report on stdout."""

    def __init__(self, *, keep: bool, as_json: bool) -> None:
        self._keep = keep
        self._as_json = as_json
        self._live: Live | None = None
        self._noted = -NOTE_EVERY

    def __enter__(self) -> "_Stage":
        note(EXPLAINED)
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def began(self, what: str) -> None:
        """A step has begun."""
        note(f"Starting {what} …")

    def looked(self, look: "Look") -> None:
        """It is so far."""
        if not sys.stderr.isatty():
            if look.seconds - self._noted >= NOTE_EVERY:
                self._noted = look.seconds
                note(_line(look))
            return
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False)
            self._live.start()
        self._live.update(_board(look), refresh=True)

    async def judged(self, report: "Report", kept: "Kept") -> None:
        """Print the report; with `--keep`, wait until somebody has seen enough."""
        self._close()
        if self._as_json:
            show_json({**report.as_json(), **({"kept": _where(kept)} if self._keep else {})})
        else:
            show_report(report)
        if self._keep:
            ended = _told_to_end()
            for line in _where(kept).values():
                note(str(line))
            note("The workers go on. Ctrl-C ends it all.")
            await ended.wait()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def show_report(report: "Report") -> None:
    """Print a report for people."""
    from dataclasses import asdict

    funnel = [asdict(node) for node in report.funnel if node.sent]
    columns = ("tenant", "node", "sent", "delivered", "opened", "clicked", "bounced", "unsubscribed", "spamreport")
    say("")
    show_table(funnel, columns, title="Funnel (messages)")
    say("")
    outcomes = [{**asdict(outcome), "until": when(outcome.until)} for outcome in report.outcomes]
    show_table(outcomes, ("tenant", "contacts", "status", "reason", "until"), title="Outcomes (contacts)")
    say("")
    held = sum(outcome.contacts for outcome in report.outcomes if outcome.until is not None)
    if held:
        say(f"{held} of {report.contacts} contacts are held by quiet hours: their tenants' plans do not send now.")
    hooks = report.webhooks
    say(
        f"{report.mails['received']} mails to {report.mails['recipients']} recipients by SMTP, {report.mails['in_doubt']} in doubt. "
        f"{hooks.get('batches', 0)} signed webhooks with {hooks['events_answered']} events: {hooks.get('events_doubled', 0)} doubled, "
        f"{hooks.get('events_late', 0)} late and out of order, {hooks.get('events_without_id', 0)} without an id, "
        f"{hooks.get('batches_reposted', 0)} batches posted twice. A forger heard {hooks['forger_heard'] or 'nothing (too few events)'}."
    )
    say("")
    for check in report.checks:
        say(f"{'holds ' if not check.breaches else 'BROKEN'}  {check.promise} ({check.examined})")
        for breach in check.breaches[:20]:
            say(f"        - {breach}")
        if len(check.breaches) > 20:
            say(f"        … and {len(check.breaches) - 20} more")
    say("")
    verdict = "All invariants hold." if report.holds else "Invariants are broken."
    say(f"{verdict} Seed {report.seed}, {report.seconds:.0f} seconds.")


def _line(look: "Look") -> str:
    final = sum(row.final for row in look.standing.values())
    waiting = sum(row.waiting for row in look.standing.values())
    contacts = sum(row.contacts for row in look.standing.values())
    return f"{look.seconds:4.0f} s: {look.mails} mails, {look.events} events posted; of {contacts} contacts {final} done, {waiting} waiting"


def _board(look: "Look") -> "Table":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(
        box=None, pad_edge=False, title=f"{look.seconds:.0f} s, {look.mails} mails, {look.events} events posted"
    )
    for column in ("tenant", "sent", "delivered", "opened", "clicked", "bounced", "done", "waiting"):
        table.add_column(column, justify="left" if column == "tenant" else "right")
    table.add_column("")
    for name, row in look.standing.items():
        counts = (row.sent, row.delivered, row.opened, row.clicked, row.bounced, row.final, row.waiting)
        bar = ProgressBar(total=max(1, row.contacts), completed=row.final + row.waiting, width=24)
        table.add_row(name, *map(str, counts), bar)
    return table


def _where(kept: "Kept") -> dict[str, Any]:
    """How to look at what was left running: sentences by part."""
    from sqlalchemy import make_url

    url = make_url(kept.database_url)
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return {
        "database": f"The database is {address} (tables in the schema dripiq_app).",
        "api": f"The API is {kept.api_url} (its description: {kept.api_url}/openapi.json).",
        "command": f"Look with: DRIPIQ_DATABASE_URL='{address}' dripiq campaign list --tenant '{next(iter(kept.tenants))}'",
    }


def _told_to_end() -> asyncio.Event:
    """From now on a signal ends nothing by itself, but sets this event."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told
