"""How is a plan read from the file that somebody names, and what is wrong with it told?"""

from collections.abc import Callable
from typing import Any, cast

from dripiq.cli.opening import read_file
from dripiq.cli.output import note
from dripiq.domain.errors import PlanError


def checked_plan(path: str, *, quiet: bool) -> dict[str, Any]:
    """The plan in a file, without a fault.

    Raises:
        PlanError: with every fault, which are shown too unless `quiet`.
    """
    import json

    from dripiq.domain.plan.verify import check_plan

    raw = read_file(path)
    try:
        check_plan(raw)
    except PlanError as error:
        if not quiet:
            show_faults(error, note)
        raise
    document: dict[str, Any] = json.loads(raw.decode("utf-8-sig"))
    return document


def show_faults(error: PlanError, write: Callable[[str], None]) -> None:
    """Write every fault of a plan, a line each: path, code, sentence."""
    faults = cast("list[dict[str, str]]", error.facts.get("faults", []))
    for fault in faults:
        write(f"{fault['path']}: {fault['code']}: {fault['message']}")
    write("1 fault" if len(faults) == 1 else f"{len(faults)} faults")
