"""What the verifier proves of a plan, the machine is held to: every walk through plans that nobody thought of."""

from hypothesis import assume, given, settings

from dripiq.domain.plan.facts import facts
from dripiq.domain.plan.model import Plan
from dripiq.domain.plan.paths import Paths
from dripiq.domain.plan.stays import standings
from tests.unit.walks import drafts, plans, walks

MOST_PATHS = 40


@settings(max_examples=200)
@given(plans(3))
def test_no_walk_through_a_plan_without_faults_gets_stuck_or_goes_beyond_its_facts(plan: Plan) -> None:
    known = facts(plan)
    assume(known.paths is not None and known.paths <= MOST_PATHS)
    paths = {(path.steps, path.end): path for path in Paths(plan).shortest(MOST_PATHS)}
    assert len(paths) == known.paths
    gone = set()
    for walk in walks(plan):
        assert walk.state.status.is_final == (walk.state.actions == ())
        assert walk.sent <= known.most_messages
        assert walk.elapsed <= known.longest
        assert not walk.answered_nothing
        if walk.end is not None:
            path = paths[walk.steps, walk.end]
            gone.add((walk.steps, walk.end))
            assert walk.sent <= path.messages
            assert path.shortest <= walk.elapsed <= path.longest
    assert gone == paths.keys()


@settings(max_examples=200)
@given(drafts(3))
def test_what_the_verifier_says_can_never_happen_never_does(plan: Plan) -> None:
    known = standings(plan)
    assume((Paths(plan).extent() or (10**9,))[0] <= MOST_PATHS)
    ways = {(node, str(exit_.way.on)) for (node, _), exits in known.items() for exit_ in exits if exit_.way}
    visited: set[str | None] = set()
    taken: set[tuple[str, str]] = set()
    for walk in walks(plan):
        visited.add(walk.state.node_id)
        taken.update((step.node, step.on) for step in walk.steps if step.on is not None)
    assert visited <= {node for node, _ in known}
    assert taken <= ways
