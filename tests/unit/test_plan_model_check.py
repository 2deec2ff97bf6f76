"""What the verifier proves of a plan, the machine is held to: every walk through plans that nobody thought of."""

from dataclasses import replace
from datetime import time
from itertools import islice

import pytest
from hypothesis import assume, given, settings

from dripiq.domain.errors import PlanError
from dripiq.domain.events import Trigger
from dripiq.domain.moves import Verdict
from dripiq.domain.plan.facts import facts
from dripiq.domain.plan.faults import FaultCode
from dripiq.domain.plan.model import STOP, Plan, QuietHours
from dripiq.domain.plan.paths import ENDED, Paths
from dripiq.domain.plan.stays import standings
from dripiq.domain.plan.verify import verify
from dripiq.domain.visits import OPEN_END
from tests.unit.test_machine import happened, on, plan, send, started, wait
from tests.unit.walks import drafts, plans, walks

T = Trigger
MOST_PATHS = 40


@settings(max_examples=200)
@given(plans(3))
def test_no_walk_through_a_plan_without_faults_gets_stuck_or_goes_beyond_its_facts(of: Plan) -> None:
    known = facts(of)
    assume(known.paths is not None and known.paths <= MOST_PATHS)
    paths = {(path.steps, path.end): path for path in Paths(of).shortest(MOST_PATHS)}
    assert len(paths) == known.paths
    gone = set()
    for walk in walks(of):
        assert walk.state.status.is_final == (walk.state.actions == ())
        assert len(walk.steps) <= len(of.nodes) * (of.max_visits or 1)
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
def test_what_the_verifier_says_can_never_happen_never_does(of: Plan) -> None:
    known = standings(of)
    assume((Paths(of).extent() or (10**9,))[0] <= MOST_PATHS)
    ways = {(node, str(exit_.way.on)) for (node, _), exits in known.items() for exit_ in exits if exit_.way}
    visited: set[str | None] = set()
    taken: set[tuple[str, str]] = set()
    for walk in walks(of):
        visited.add(walk.state.node_id)
        taken.update((step.node, step.on) for step in walk.steps if step.on is not None)
    assert visited <= {node for node, _ in known}
    assert taken <= ways


# ---- what the faults keep away


def codes(of: Plan) -> set[FaultCode]:
    return {fault.code for fault in verify(of)}


def steps_of(of: Plan) -> set[tuple[str, str | None]]:
    return {(step.node, step.on) for walk in walks(of) for step in walk.steps}


def test_a_target_that_is_not_there_is_met_by_the_machine() -> None:
    nowhere = plan(send("a", on(T.NO_OPEN, "nowhere", after=1)))
    nobody = replace(plan(send("a")), start_node_id="nobody")
    assert codes(nowhere) == codes(nobody) == {FaultCode.DANGLING_TARGET}
    for faulty in (nowhere, nobody):
        with pytest.raises(KeyError):
            list(walks(faulty))


def test_a_loop_without_bound_is_gone_round_for_ever() -> None:
    endless = plan(send("a", on(T.NO_OPEN, "b", after=1)), wait("b", on(T.NO_CLICK, "a", after=1)))
    assert codes(endless) == {FaultCode.ENDLESS_LOOP}
    longest = max((len(walk.steps) for walk in islice(walks(endless), 500)), default=0)
    assert longest > 40, "twenty rounds, and nothing stops it"


def test_a_node_that_nothing_leads_to_is_never_entered() -> None:
    ways = (on(T.OPENED, STOP), on(T.NO_OPEN, STOP, after=1), on(T.NO_CLICK, "b", after=2))
    faulty = plan(send("a", *ways), send("b"))
    assert codes(faulty) == {FaultCode.NEVER_TAKEN, FaultCode.UNREACHABLE_NODE}
    assert {walk.state.node_id for walk in walks(faulty)} == {"a"}
    assert ("a", T.NO_CLICK) not in steps_of(faulty)


def test_an_event_of_a_message_is_of_none_where_none_was_sent() -> None:
    faulty = plan(wait("w", on(T.OPENED, "b"), on(T.NO_OPEN, "b", after=1)), send("b"))
    assert codes(faulty) == {FaultCode.NEVER_TAKEN}
    assert ("w", T.OPENED) not in steps_of(faulty)


def test_no_way_leads_on_from_a_request_for_silence() -> None:
    faulty = plan(send("a", on(T.UNSUBSCRIBED, "b"), on(T.NO_OPEN, "b", after=1)), send("b"))
    assert codes(faulty) == {FaultCode.NEVER_TAKEN}
    assert ("a", T.UNSUBSCRIBED) not in steps_of(faulty)


def test_a_second_answer_to_the_same_event_is_never_taken() -> None:
    faulty = plan(send("a", on(T.OPENED, STOP), on(T.OPENED, "b"), on(T.NO_OPEN, STOP, after=1)), send("b"))
    assert FaultCode.AMBIGUOUS_TRANSITION in codes(faulty)
    assert {walk.state.node_id for walk in walks(faulty)} == {"a"}


def test_a_window_that_outlives_its_timer_promises_what_is_not_kept() -> None:
    faulty = plan(send("a", on(T.OPENED, "b", within=3), on(T.NO_OPEN, "c", after=1)), send("b"), send("c"))
    assert codes(faulty) == {FaultCode.WINDOW_OUTLIVES_TIMER}
    journey = started(faulty).sent(0)
    assert journey.take(happened(T.OPENED, 2)).verdicts == (Verdict.AFTER_TIMER,)


def test_a_wait_that_nothing_ends_is_ended_only_by_the_last_resort() -> None:
    faulty = plan(send("a", on(T.DELIVERED, "w")), wait("w", on(T.CLICKED, STOP)))
    assert codes(faulty) == {FaultCode.ENDLESS_WAIT}
    assert OPEN_END in {walk.elapsed for walk in walks(faulty) if walk.end == ENDED and walk.steps[-1].node == "w"}


def test_an_answer_to_nothing_would_be_sent() -> None:
    refused = plan(send("a", on(T.FAILED, "b"), on(T.NO_OPEN, "b", after=1)), replace(send("b"), in_thread=True))
    assert codes(refused) == {FaultCode.NOTHING_TO_ANSWER}
    assert any(walk.answered_nothing for walk in walks(refused))


def test_a_plan_that_is_never_open_has_no_moment_for_a_send() -> None:
    faulty = plan(send("a"), quiet_hours=QuietHours(time(9), time(9)))
    assert codes(faulty) == {FaultCode.NEVER_OPEN}
    with pytest.raises(PlanError):
        list(walks(faulty))
