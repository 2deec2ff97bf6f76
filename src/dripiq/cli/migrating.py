"""How do `dripiq plan migrate` and `rollback` change the plan of campaigns that are under way?

Batch by batch, each in a transaction of its own, so that the engine is never held up for long. What was done stays done: interrupted and run again, it goes on
where it ended.
"""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dripiq.cli.opening import open_database, read_file
from dripiq.cli.output import JsonOption, TenantOption, note, progress, say, show_json, show_table
from dripiq.cli.plan_file import checked_plan
from dripiq.cli.steering import operator
from dripiq.domain.errors import ConflictError, InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from dripiq.domain.plan_diff import PlanDiff
    from dripiq.engine.replan import Job

AGAIN: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try for campaigns whose send a worker holds."""

SHOWN: Final = 20
"""Lines of a list that people read; --json has more."""

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]


def migrate(
    tenant: TenantOption,
    to: Annotated[str, typer.Option("--to", metavar="FILE", help="The new plan, a JSON file; - reads stdin.")],
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="HASH|FILE",
            help="The plan whose campaigns move: its hash, or its first letters, or its file. [default: the one that all open campaigns follow]",
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="Where the campaigns of a node go, a node of the new plan or stop; again for each. [default: the node of the same id and action]",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a tenant's open campaigns go on under another plan, from where they stand.

    Says how many go from where to where, which timers shift and how, who would be sent a text again, and who cannot move and why. Exit code 5: some could
    not move; the others have. Run it again, and it goes on with those.
    """
    from dripiq.engine.replan import forward

    document = checked_plan(to, quiet=as_json)
    pairs = _mapping(mapping or [])
    origin = hash_of(since) if since is not None else None
    _change(tenant, lambda connection, owner: forward(connection, owner, document, origin, pairs), dry_run, as_json)


def rollback(
    tenant: TenantOption,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            metavar="HASH|FILE",
            help="The plan whose campaigns go back. [default: the one that all open campaigns follow]",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a tenant's open campaigns go back to the version of their plan before the last migration, each to its own; otherwise as migrate."""
    from dripiq.engine.replan import back

    origin = hash_of(plan) if plan is not None else None
    _change(tenant, lambda connection, owner: back(connection, owner, origin), dry_run, as_json)


def _change(tenant: str, make: "Callable[[Connection, str], Job]", dry_run: bool, as_json: bool) -> None:
    from dripiq.engine.register import find_tenant

    with open_database() as (_, database):
        with database.engine.begin() as connection:
            owner = find_tenant(connection, tenant)
            job = make(connection, owner.id)
        diff = job.diff(applied=not dry_run)
        _work(database.engine, job, diff, quiet=as_json)
    if as_json:
        show_json({"tenant": {"id": owner.id, "name": owner.name}, **diff.as_json()})
    else:
        _show(owner.name, diff)
    if diff.stuck:
        raise typer.Exit(ConflictError.exit_code)


def _work(engine: "Engine", job: "Job", diff: "PlanDiff", *, quiet: bool) -> None:
    """Page by page; then, where it is for real, those again that workers had in hand."""
    from dripiq.engine.replan import page

    in_hand, after = [], ""
    with progress("Moving" if diff.applied else "Looking", job.campaigns, quiet=quiet) as advance:
        while True:
            with engine.begin() as connection, _as_tenant(connection, job.tenant_id):
                ids = page(connection, job, after)
                if not ids:
                    break
                in_hand += _batch(connection, job, ids, diff)
            after = ids[-1]
            advance(len(ids))
    for pause in AGAIN if diff.applied else ():
        if not in_hand:
            break
        time.sleep(pause)
        with engine.begin() as connection, _as_tenant(connection, job.tenant_id):
            in_hand = _batch(connection, job, [stuck.campaign_id for stuck in in_hand], diff)
    for stuck in in_hand:
        diff.add_stuck(stuck)


def _batch(connection: "Connection", job: "Job", ids: list[str], diff: "PlanDiff") -> list[Any]:
    from dripiq.engine.clock import DatabaseClock
    from dripiq.engine.replan import work

    now = DatabaseClock().now(connection)
    return work(connection, job, ids, diff, now=now, actor=operator())


def _as_tenant(connection: "Connection", tenant_id: str) -> AbstractContextManager[Any]:
    from dripiq.db.session import as_tenant

    return as_tenant(connection, tenant_id)


# ---- what was typed


def hash_of(named: str) -> str:
    """The hash of a plan, given as such, in part, or as its file."""
    from dripiq.domain.plan.parse import parse_plan

    if named != "-" and not Path(named).exists():
        if re.fullmatch(r"[0-9a-f]{1,64}", named):
            return named
        raise InputError(
            f"{named!r} is neither a file nor the hash of a plan (hexadecimal digits).",
            code="unreadable_file",
            facts={"file": named},
        )
    return parse_plan(read_file(named)).plan_hash


def _mapping(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise typer.BadParameter(f"{pair!r} is not of the form OLD=NEW.", param_hint="--map")
        if found.setdefault(old, new) != new:
            raise InputError(
                f"--map sends {old!r} to two nodes: say it once.", code="mapped_twice", facts={"node": old}
            )
    return found


# ---- what people read


def _show(tenant: str, diff: "PlanDiff") -> None:
    document = diff.as_json()
    to = (diff.to or "")[:12] or "the version before"
    verb = "moved" if diff.applied else "would move"
    say(f"{tenant}: campaigns that {verb} from {diff.since[:12]} to {to}: {diff.moved}")
    if document["flows"]:
        show_table(document["flows"], ("from", "to", "status", "campaigns"), title="\nFrom where to where")
    if document["shifts"]:
        show_table([_shift(row) for row in document["shifts"]], _SHIFT_COLUMNS, title="\nTimers and sends that shift")
    if diff.repeats:
        _show_list(
            document["repeated"],
            ("email", "node", "sent_at", "campaign"),
            f"\nWho {'will be' if diff.applied else 'would be'} sent a text again: {diff.repeats.total()}",
            diff.repeats.total(),
        )
    if diff.stuck:
        reasons = ", ".join(f"{reason} {count}" for reason, count in document["stuck_by_reason"].items())
        title = f"\n{'Could not' if diff.applied else 'Cannot'} move: {reasons}"
        _show_list(document["stuck_campaigns"], ("campaign", "node", "reason"), title, diff.stuck.total())
        for reason in document["stuck_by_reason"]:
            note(f"{reason}: {_REMEDIES[reason]}")
    if not diff.applied:
        note("Nothing was changed (--dry-run).")


_REMEDIES: Final = {
    "no_target": "the new plan has no node of the same id and action: say where they go with --map OLD=NEW, a node of the new plan or stop.",
    "in_hand_over": "a worker holds their send: run this again a moment later.",
    "in_doubt": "nobody knows whether their message left: `dripiq in-doubt list` shows them, and they can move once that is settled.",
    "no_version_before": "they follow the plan that they were enrolled with.",
}
_SHIFT_COLUMNS: Final = ("from", "to", "action", "was", "becomes", "campaigns", "shift", "added", "dropped", "at_once")


def _shift(row: Mapping[str, Any]) -> dict[str, Any]:
    spread = row["least"] if row["least"] == row["most"] else f"{row['least']} … {row['most']}"
    return {**row, "campaigns": row["moved"], "shift": spread}


def _show_list(rows: list[Mapping[str, Any]], columns: tuple[str, ...], title: str, total: int) -> None:
    show_table(rows[:SHOWN], columns, title=title)
    if total > SHOWN:
        note(f"… and {total - SHOWN} more: --json lists them.")
