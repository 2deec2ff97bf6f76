"""`dripiq plan simulate`: what would this plan do, before anybody gets a mail?"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dripiq.cli.contacts import read_contacts, refuse_bad_rows
from dripiq.cli.opening import read_file, read_time
from dripiq.cli.output import JsonOption, note, say, show_json, show_table
from dripiq.cli.plan_file import checked_plan
from dripiq.domain.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from dripiq.domain.contact_file import ContactRow
    from dripiq.simulate.behaviour import Behaviour
    from dripiq.simulate.rehearsal import Look, Script
    from dripiq.simulate.rehearsal_report import Report

RateOption = float | None
_SERVER = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum_naptime": "5s"}
"""For dripiq's own PostgreSQL of simulations: what a crash would lose is thrown away in any case."""


def _rate(what: str) -> Any:
    return typer.Option(min=0, max=1, show_default=False, help=f"Share of {what}, 0 to 1.")


def simulate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The plan, a JSON file; - reads stdin.")],
    contacts: Annotated[
        str | None, typer.Option(metavar="CSV", help="The people of a CSV file; without it, made-up ones.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="How many made-up people (1000).", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides what each recipient does.")] = 1,
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When all are enrolled, ISO 8601 (2026-01-05T09:00Z).", show_default=False),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3660, help="How long the clock runs at most.")] = 366,
    tick: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="The clock's step, as PT15M; one that fits the plan, if not given."),
    ] = None,
    behaviour: Annotated[
        str | None, typer.Option(metavar="FILE", help="How people behave, a JSON file; options below go before it.")
    ] = None,
    open_: Annotated[RateOption, typer.Option("--open", min=0, max=1, help="Share of delivered mails read.")] = None,
    click: Annotated[RateOption, _rate("delivered mails clicked")] = None,
    reply: Annotated[RateOption, _rate("delivered mails answered")] = None,
    bounce: Annotated[RateOption, _rate("recipients whose mailbox is gone")] = None,
    soft_bounce: Annotated[RateOption, _rate("mails that a mailbox refuses this once")] = None,
    machine_open: Annotated[RateOption, _rate("recipients whose mail a machine opens")] = None,
    unsubscribe: Annotated[RateOption, _rate("delivered mails unsubscribed from")] = None,
    complaint: Annotated[RateOption, _rate("delivered mails complained of")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Also draw the plan with its flow, as SVG.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let made recipients go through a plan, with the real engine and SQL on a virtual clock: a funnel per node, messages a day, outcomes.

    Works in a database of its own, which is dropped at the end: on DRIPIQ_DATABASE_URL's server, or on dripiq's own. Nothing is sent. The same seed gives the
    same bytes. Exit code 0: done, and the engine's invariants hold. 1: faults in the plan, or broken invariants. 2: not understood.
    """
    rates = {
        "open": open_, "click": click, "reply": reply, "bounce": bounce, "soft_bounce": soft_bounce, "machine_open": machine_open,
        "unsubscribe": unsubscribe, "complaint": complaint,
    }  # fmt: skip
    if picture is not None and picture.suffix.lower() != ".svg":
        raise InputError(
            f"The picture is an SVG, and {picture} is not named so: write {picture.with_suffix('.svg')}.",
            code="picture",
        )
    if contacts is not None and count is not None:
        raise InputError("Name either --contacts or --count: who is it for?", code="usage")
    script = _script(file, contacts, count, seed, start, days, tick, _behaviour(behaviour, rates), quiet=as_json)
    from dripiq.simulate.rehearsal import rehearse

    with _database() as database, _watching(script, quiet=as_json) as watch:
        report = rehearse(database, script, watch)
    if picture is not None:
        from dripiq.domain.plan.verify import check_plan
        from dripiq.simulate.flow_picture import draw_flow

        picture.write_text(draw_flow(check_plan(dict(script.plan)), report), encoding="utf-8")
    if as_json:
        show_json(report.as_json())
    else:
        show_report(report)
        if picture is not None:
            note(f"The picture is {picture}.")
    if not report.holds:
        raise typer.Exit(1)


def _script(
    file: str, contacts: str | None, count: int | None, seed: int, start: str | None, days: int, tick: str | None,
    behaviour: "Behaviour", *, quiet: bool,
) -> "Script":  # fmt: skip
    from dripiq.simulate.audience import made_people
    from dripiq.simulate.rehearsal import PEOPLE, START, Script

    plan = checked_plan(file, quiet=quiet)
    people = made_people(count or PEOPLE) if contacts is None else _people(contacts, quiet=quiet)
    return Script(
        plan,
        people,
        seed,
        behaviour,
        START if start is None else read_time(start, "--start").replace(microsecond=0),
        days,
        _duration(tick),
    )


def _people(path: str, *, quiet: bool) -> "Sequence[ContactRow]":
    found = read_contacts(path)
    refuse_bad_rows(found, "simulated: correct the file", quiet=quiet)
    return found.rows


def _behaviour(path: str | None, rates: dict[str, float | None]) -> "Behaviour":
    import orjson

    from dripiq.simulate.behaviour import read_behaviour

    document: Any = {}
    if path is not None:
        try:
            document = orjson.loads(read_file(path))
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path} is not JSON: {error}.", code="behaviour", facts={"file": path}) from None
        if not isinstance(document, dict):
            raise InputError(f"{path} must hold one JSON object.", code="behaviour", facts={"file": path})
    return read_behaviour({**document, **{name: rate for name, rate in rates.items() if rate is not None}})


def _duration(text: str | None) -> timedelta | None:
    from dripiq.domain.plan.durations import parse_duration

    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise InputError(f"--tick: {error}.", code="tick") from None


@contextmanager
def _database() -> "Iterator[Engine]":
    """A database that lives as long as this lasts, on the configured server or on one of dripiq's own that keeps nothing else."""
    from dripiq.config.environment import load_settings
    from dripiq.simulate.rehearsal_database import temporary_database

    settings = load_settings()
    if settings.migration_url is not None:
        with temporary_database(settings.migration_url) as database:
            yield database
        return
    from dripiq.db.embedded import EmbeddedPostgres

    with EmbeddedPostgres(settings.home / "simulate", settings=_SERVER) as url, temporary_database(url) as database:
        yield database


@contextmanager
def _watching(script: "Script", *, quiet: bool) -> "Iterator[Callable[[Look], object]]":
    """A progress bar over the virtual days, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from dripiq.domain.plan.facts import facts
    from dripiq.domain.plan.verify import check_plan

    whole = min(facts(check_plan(dict(script.plan))).longest, timedelta(days=script.days)).total_seconds()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("enrolling …", total=max(whole, 1), told="")

        def watch(look: "Look") -> None:
            told = f"{look.sent:,} sent, {look.events:,} events"
            past = (look.time - script.start).total_seconds()
            bar.update(task, description=f"{look.time:%Y-%m-%d %H:%M}", completed=past, told=told)

        yield watch


def show_report(report: "Report") -> None:
    """Print a report for people."""
    from dataclasses import asdict

    from dripiq.domain.wording import why_moved

    nodes = [
        {"node": n.node, "entered": n.entered, **asdict(n.counts), "here": _here(n.waiting, n.held)}
        for n in report.nodes
    ]
    columns = [
        "node",
        "entered",
        "sent",
        "delivered",
        "opened",
        "machine_opened",
        "clicked",
        "replied",
        "bounced",
        "blocked",
    ]
    show_table(nodes, [*columns, "unsubscribed", "complained", "here"], title="Nodes (messages)")
    say("")
    ways = [
        {
            "from": n.node,
            "by": why_moved(w.trigger, w.reason),
            "to": w.to,
            "visits": w.visits,
        }
        for n in report.nodes
        for w in n.ways
    ]
    show_table(ways, ("from", "by", "to", "visits"), title="Ways on (visits)")
    if variants := [{"node": n.node, "variant": v, **asdict(c)} for n in report.nodes for v, c in n.variants.items()]:
        say("")
        show_table(variants, ["node", "variant", *columns[2:8]], title="Variants (messages)")
    say("")
    show_table(
        [{"day": d, "messages": n} for d, n in report.per_day.items()], ("day", "messages"), title="Messages a day"
    )
    say("")
    outcomes = [
        {**asdict(o), "share": f"{o.contacts / report.contacts:.1%}", **(o.hours or {})} for o in report.outcomes
    ]
    show_table(
        outcomes,
        ("status", "reason", "contacts", "share", "p10", "p50", "p90", "p100"),
        title="Outcomes (contacts; hours until then)",
    )
    say("")
    for check in report.checks:
        say(f"{'holds ' if not check.breaches else 'BROKEN'}  {check.promise} ({check.examined})")
        for breach in check.breaches[:20]:
            say(f"        - {breach}")
    say("")
    if report.held:
        reasons = ", ".join(f"{count} for {reason}" for reason, count in report.held.items())
        say(f"Held, so that they got no more: {sum(report.held.values())} of {report.contacts} contacts ({reasons}).")
        for fault in report.lacking:
            say(f"{fault.path}: {fault.code}: {fault.message}")
        say("")
    days = (report.terms.until - report.terms.start) / timedelta(days=1)
    verdict = "The engine's invariants hold." if report.holds else "Invariants are broken."
    say(
        f"{report.contacts:,} contacts, {report.sent:,} messages, {days:.1f} virtual days, seed {report.terms.seed}. {verdict}"
    )


def _here(waiting: int, held: Any) -> str:
    """Who is at a node at the end, and why."""
    parts = [f"{waiting} under way"] if waiting else []
    return ", ".join([*parts, *(f"{count} held: {reason}" for reason, count in held.items())])
