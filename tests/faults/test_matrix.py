"""A worker killed or frozen at any statement: nothing twice, nothing lost, nothing stuck.

Each statement once, the deed and the number of workers changing from one to the next; `python -m tests.faults.matrix` goes through all of them.
"""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.faults.ground import prepared
from tests.faults.matrix import HEADING, Case, line, run_all, trace

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
TOGETHER = 5
CHAIN = 6
"""Workers that fall one after the other on the same load."""
STAGES = ("resolve", "upkeep", "dispatch", "normalise", "fire")
"""The order of a chain: first what there is only at the beginning, last what there always is."""


BY_CHANCE = ("READ_PLANS", "dispatch.commit:PUT_BACK")
"""A plan is read by the stage that needs it first, and is kept; a send goes back at the last moment where something came between."""


def documented() -> list[str]:
    """Every point of the document, by stage and statement."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return sorted(f"{stage}:{statement}" for stage, said in rows for statement in re.findall(r"`([A-Z_]+)`", said))


def cases() -> list[Case]:
    """Each point once by a kill, some of them by a freeze, and some with four workers that all fall."""
    sure = [point for point in POINTS if not point.endswith(BY_CHANCE)]
    first = [point for stage in STAGES for point in sure if point.startswith(stage)]
    ordered = [*first, *(point for point in sure if not point.startswith((*STAGES, "ingest:", "enroll:")))]
    chains = -(-len(ordered) // CHAIN)
    found = [Case(after(ordered[start::chains]), "kill", 1) for start in range(chains)]
    enrolling = [point for point in POINTS if point.startswith("enroll:") and point != "enroll:COMMIT"]
    found += [Case(after(points), "kill", 1) for points in (enrolling, ["enroll:COMMIT"])]
    found += [Case(after([point]), "kill", 1) for point in POINTS if point.startswith("ingest:")]
    found += [Case(after([point]), "freeze", 4 if at % 3 == 0 else 1) for at, point in enumerate(ordered[::13])]
    return found


def after(points: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{point}:after" for point in points)


POINTS = documented()
CASES = cases()
HALVES = 2
"""The cases are gone through in as many tests, so that they can run side by side."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("half", range(HALVES))
def test_wherever_a_process_falls_nothing_is_sent_twice_and_nothing_is_lost_or_stuck(
    half: int, postgres_server: Server, template_database: str, tmp_path: Path
) -> None:
    mine = CASES[half::HALVES]
    with prepared(postgres_server, template_database, tmp_path) as ground:
        outcomes = asyncio.run(run_all(ground, mine, TOGETHER))
    broken = [line(outcome) for outcome in outcomes if not outcome.holds]
    assert not broken, "\n".join([HEADING, *broken])
    points, reached = sum(len(case.points) for case in mine), sum(outcome.reached for outcome in outcomes)
    assert reached > 0.85 * points, "\n".join(line(outcome) for outcome in outcomes)


def test_every_point_that_the_load_comes_to_is_documented(
    postgres_server: Server, template_database: str, tmp_path: Path
) -> None:
    with prepared(postgres_server, template_database, tmp_path) as ground:
        found = asyncio.run(trace(ground))
    missing = {point.rpartition(":")[0] for point in found if ":READ_PLANS:" not in point} - set(POINTS)
    assert not missing, "add them to docs/faults.md: python -m tests.faults.matrix --points prints its table"
