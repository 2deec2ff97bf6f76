"""A worker killed or frozen at a statement: nothing twice, nothing lost, nothing stuck.

A sample of the matrix, which `python -m tests.faults.matrix` goes through from end to end.
"""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.faults.ground import prepared
from tests.faults.matrix import HEADING, Case, line, run_all, trace
from tests.faults.points import documented

CHAIN = (
    "dispatch.prepare:INSERT_PREPARED:after",
    "dispatch.hand_over:SEND:halfway",
    "dispatch.record:RECORD_ACCEPTED:after",
    "normalise:RAISE_STATUSES:after",
)
"""Workers that fall one after the other on the same load: what comes first leaves something to the next."""
SAMPLE = (
    Case(CHAIN, "kill", 1),
    Case(("dispatch.commit:COMMIT:after",), "freeze", 2),
    Case(("ingest:COMMIT:after",), "kill", 1),
    Case(("enroll:COMMIT:after",), "kill", 1),
)


@pytest.mark.timeout(300)
def test_wherever_a_process_falls_nothing_is_sent_twice_and_nothing_is_lost_or_stuck(
    postgres_server: Server, template_database: str, tmp_path: Path
) -> None:
    with prepared(postgres_server, template_database, tmp_path) as ground:
        outcomes = asyncio.run(run_all(ground, SAMPLE, len(SAMPLE)))
    table = "\n".join([HEADING, *map(line, outcomes)])
    assert all(outcome.holds for outcome in outcomes), table
    # A worker does many things side by side: where the machine is slow, what a later one was to fall at may have been done by then.
    assert all(outcome.reached for outcome in outcomes), table
    assert sum(outcome.reached for outcome in outcomes) > 0.6 * sum(len(case.points) for case in SAMPLE), table


def test_every_point_that_the_load_comes_to_is_documented(
    postgres_server: Server, template_database: str, tmp_path: Path
) -> None:
    with prepared(postgres_server, template_database, tmp_path) as ground:
        found = asyncio.run(trace(ground))
    missing = {point.rpartition(":")[0] for point in found if ":READ_PLANS:" not in point} - set(documented())
    assert not missing, "add them to docs/faults.md: python -m tests.faults.matrix --points prints its table"
