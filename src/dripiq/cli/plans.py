"""`dripiq plan`: is this plan right?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dripiq.cli import migrating, simulating
from dripiq.cli.opening import read_file
from dripiq.cli.output import JsonOption, say, show_json, show_table
from dripiq.cli.plan_file import show_faults
from dripiq.domain.errors import PlanError

if TYPE_CHECKING:
    from dripiq.domain.plan.facts import PlanFacts
    from dripiq.domain.plan.model import Plan
    from dripiq.domain.plan.paths import Path

LISTED: Final = 100
"""Paths that a listing shows at most."""

_HELP: Final = "Plans: check, simulate and draw one before anything runs; change one while people are in it."
app = typer.Typer(help=_HELP, no_args_is_help=True)

PlanArgument = Annotated[str, typer.Argument(metavar="FILE", help="The plan, a JSON file; - reads stdin.")]


@app.callback()
def _group() -> None:
    """Plans: check, simulate and draw one before anything runs; change one while people are in it."""


app.command("migrate")(migrating.migrate)
app.command("rollback")(migrating.rollback)
app.command("simulate")(simulating.simulate)


@app.command()
def check(
    file: PlanArgument,
    as_json: JsonOption = False,
    contacts: Annotated[
        str | None,
        typer.Option(
            "--contacts",
            metavar="CSV",
            help="Also hold its templates to a list of contacts: who lacks what they ask for?",
        ),
    ] = None,
    paths: Annotated[
        bool, typer.Option("--paths", help=f"List the paths through the plan, the {LISTED} shortest.")
    ] = False,
) -> None:
    """Check a plan: every fault with its JSON path, a code and what to do; of a clean one, the most that it can do.

    Exit code 0: clean. 1: faults. 2: unreadable.
    """
    from dripiq.domain.plan.document import MAX_BYTES
    from dripiq.domain.plan.durations import counted
    from dripiq.domain.plan.facts import facts, facts_as_data, path_as_data
    from dripiq.domain.plan.paths import Paths
    from dripiq.domain.plan.verify import check_plan

    raw = read_file(file, MAX_BYTES + 1)  # one more than a plan may have, and never all of an endless file
    try:
        plan = check_plan(raw)
        held_to = _check_variables(plan, contacts, quiet=as_json) if contacts is not None else None
    except PlanError as error:
        faults = error.facts["faults"]
        if as_json:
            show_json({"file": file, "clean": False, "readable": error.exit_code != 2, "faults": faults, "facts": None})
        else:
            show_faults(error, say)
        raise typer.Exit(error.exit_code) from None
    known = facts(plan)
    listed = list(Paths(plan).shortest(LISTED)) if paths else []
    if as_json:
        told = facts_as_data(known) | {"plan_hash": plan.plan_hash}
        told |= {"listed": [path_as_data(path) for path in listed]} if paths else {}
        told |= {"contacts": held_to} if held_to is not None else {}
        show_json({"file": file, "clean": True, "readable": True, "faults": [], "facts": told})
        return
    say(f"{file}: no faults" + ("" if held_to is None else f", held to {counted(held_to, 'contact')}"))
    _show_facts(known)
    if paths:
        _show_paths(listed, known)


def _check_variables(plan: "Plan", contacts: str, *, quiet: bool) -> int:
    """How many contacts of a CSV file the templates were held to.

    Raises:
        PlanError: somebody lacks what a template asks for.
        InputError: the file cannot be read; `bad_rows`, as an import would refuse it.
    """
    from dripiq.cli.contacts import read_contacts, refuse_bad_rows
    from dripiq.domain.plan.faults import plan_error
    from dripiq.domain.plan.variables import people_of, variable_faults

    contents = read_contacts(contacts)
    refuse_bad_rows(contents, "checked: mend them, or leave them out", quiet=quiet)
    faults = variable_faults(plan, people_of(contents), contents.columns.ignored)
    if faults:
        raise plan_error(faults)
    return len(contents.rows)


def _show_facts(known: "PlanFacts") -> None:
    from dripiq.domain.plan.durations import counted, format_duration, spell_duration
    from dripiq.domain.plan.facts import count_as_text, path_as_text

    longest = f"{spell_duration(known.longest)} ({format_duration(known.longest)})"
    most = f"a contact gets {counted(known.most_messages, 'message')} at most, within {longest} at most"
    say(f"{counted(known.nodes, 'node')}; {most}")
    if known.slowest is None:
        say(f"{count_as_text(known.paths)} paths")
        return
    say(
        f"{count_as_text(known.paths)} path{'' if known.paths == 1 else 's'}; the longest: {path_as_text(known.slowest)}"
    )


def _show_paths(listed: "Sequence[Path]", known: "PlanFacts") -> None:
    from dripiq.domain.plan.durations import format_duration
    from dripiq.domain.plan.facts import path_as_text

    rows = [
        {
            "messages": path.messages,
            "shortest": format_duration(path.shortest),
            "longest": format_duration(path.longest),
            "path": path_as_text(path),
        }
        for path in listed
    ]
    if rows:
        show_table(rows, ("messages", "shortest", "longest", "path"))
    if known.paths != len(rows):
        say("only the shortest are listed" if rows else "the paths are too tangled to list")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a plan (draft 2020-12), for editors and programs."""
    from dripiq.domain.plan.schema import plan_schema

    show_json(plan_schema())
