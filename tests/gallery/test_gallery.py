"""Every plan of the gallery is without a fault, and does in a simulation what its outcome on file says.

An outcome changes only with a plan, or with what the engine does: look at the difference, and where it is meant, write the files anew with
`DRIPIQ_WRITE_OUTCOMES=1 make test ARGS=tests/gallery`.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from dripiq.domain.plan.durations import format_duration
from dripiq.domain.plan.facts import facts
from dripiq.domain.plan.verify import check_plan
from dripiq.simulate.audience import made_people
from dripiq.simulate.flow_picture import draw_flow
from dripiq.simulate.rehearsal import Script, rehearse

PLANS = sorted((Path(__file__).parents[2] / "examples" / "plans").glob("*.json"))
OUTCOMES = Path(__file__).parent / "outcomes"
PEOPLE = 60
SEED = 7


def outcome(plan: dict[str, Any], engine: Engine) -> dict[str, Any]:
    """What the verifier proves of a plan, and what becomes of sixty people."""
    bounds = facts(check_plan(plan))
    found = rehearse(engine, Script(plan, people=list(made_people(PEOPLE)), seed=SEED))
    assert found.holds, found.checks
    known = {"most_messages": bounds.most_messages, "longest": format_duration(bounds.longest)}
    return {"facts": known, "simulation": found.as_json()}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_of_the_gallery_does_what_its_outcome_says(path: Path, engine: Engine) -> None:
    told = json.dumps(outcome(json.loads(path.read_text()), engine), indent=1, default=str) + "\n"
    kept = OUTCOMES / path.name
    if os.environ.get("DRIPIQ_WRITE_OUTCOMES"):
        kept.write_text(told)
    assert kept.read_text() == told


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_no_one_in_a_simulation_gets_more_or_later_than_the_verifier_says(path: Path) -> None:
    kept = json.loads((OUTCOMES / path.name).read_text())
    simulated = kept["simulation"]
    assert simulated["messages"] <= kept["facts"]["most_messages"] * PEOPLE
    assert {o["status"] for o in simulated["outcomes"]} <= {"completed", "stopped"}, "nobody is left under way"


def test_the_readmes_picture_is_what_the_command_draws(engine: Engine) -> None:
    plan = json.loads((PLANS[0].parent / "cold-outreach.json").read_text())
    report = rehearse(engine, Script(plan, people=list(made_people(200))))
    drawn = draw_flow(check_plan(plan), report)
    command = "dripiq plan simulate examples/plans/cold-outreach.json --count 200 --picture docs/cold-outreach.svg"
    assert drawn == (PLANS[0].parents[2] / "docs" / "cold-outreach.svg").read_text(), f"run: {command}"


def test_every_outcome_has_its_plan() -> None:
    assert {path.name for path in OUTCOMES.glob("*.json")} == {path.name for path in PLANS}
    assert len(PLANS) >= 10
