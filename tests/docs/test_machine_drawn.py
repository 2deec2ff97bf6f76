"""The page on the state machine is drawn from the machine's table, and shows every change of status that the machine makes."""

from pathlib import Path

from hypothesis import assume, given

from dripiq.domain.drawing import changes, render
from dripiq.domain.moves import Decision
from dripiq.domain.plan.model import NodeAction, Plan
from tests.unit.test_machine import travels

DRAWN = Path(__file__).parents[2] / "docs" / "state-machine.md"
CHANGES = changes()


def test_the_machine_is_drawn_as_it_is_declared() -> None:
    assert DRAWN.read_text() == render(), "run: python -m dripiq.domain.drawing > docs/state-machine.md"


@given(travels())
def test_whatever_happens_to_a_campaign_no_change_of_status_is_missing_from_the_diagram(
    travel: tuple[Plan, list[Decision]],
) -> None:
    plan, decisions = travel
    first = plan.node(plan.start_node_id)
    assume(first.action is NodeAction.SEND or first.transitions)  # the verifier passes no other
    made = {(m.from_status, m.to_status) for d in decisions for m in d.moves if m.from_status is not m.to_status}
    assert made <= CHANGES.keys()
