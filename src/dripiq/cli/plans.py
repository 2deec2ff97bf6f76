"""`dripiq plan`: is this plan right?"""

from collections.abc import Callable
from typing import Annotated, cast

import typer

from dripiq.cli.opening import read_file
from dripiq.cli.output import JsonOption, say, show_json
from dripiq.domain.errors import PlanError

app = typer.Typer(help="Plans: check one before anything runs.", no_args_is_help=True)

PlanArgument = Annotated[str, typer.Argument(metavar="FILE", help="The plan, a JSON file; - reads stdin.")]


@app.callback()
def _group() -> None:
    """Plans: check one before anything runs."""


@app.command()
def check(file: PlanArgument, as_json: JsonOption = False) -> None:
    """Check a plan: every fault with its JSON path, a code and what to do; of a clean one, the most that it can do.

    Exit code 0: clean. 1: faults. 2: unreadable.
    """
    from dataclasses import asdict

    from dripiq.domain.plan.durations import format_duration
    from dripiq.domain.plan.verify import check_plan, facts

    raw = read_file(file)
    try:
        plan = check_plan(raw)
    except PlanError as error:
        faults = error.facts["faults"]
        if as_json:
            show_json({"file": file, "clean": False, "readable": error.exit_code != 2, "faults": faults, "facts": None})
        else:
            show_faults(error, say)
        raise typer.Exit(error.exit_code) from None
    bounds = facts(plan)
    if as_json:
        known = asdict(bounds) | {"longest": format_duration(bounds.longest), "plan_hash": plan.plan_hash}
        show_json({"file": file, "clean": True, "readable": True, "faults": [], "facts": known})
        return
    say(f"{file}: no faults")
    say(
        f"{bounds.nodes} nodes; a contact gets {bounds.most_messages} messages at most, within {format_duration(bounds.longest)} at most"
    )


def show_faults(error: PlanError, write: Callable[[str], None]) -> None:
    """Write every fault of a plan, a line each: path, code, sentence."""
    faults = cast("list[dict[str, str]]", error.facts.get("faults", []))
    for fault in faults:
        write(f"{fault['path']}: {fault['code']}: {fault['message']}")
    write("1 fault" if len(faults) == 1 else f"{len(faults)} faults")
