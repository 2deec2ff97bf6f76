"""What a campaign does when something happens to it: rule by rule on small plans, and in general on made-up ones."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import permutations, product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.events import Trigger
from dripiq.domain.evidence import heeded_by
from dripiq.domain.machine import TABLE, advance, looks_back, step
from dripiq.domain.moves import (
    CLOSE,
    IN_DOUBT,
    PAUSED,
    SEND,
    Accepted,
    ActionRef,
    Cause,
    Decision,
    Happened,
    Input,
    Message,
    OpenAction,
    Pause,
    Refused,
    Resume,
    Start,
    State,
    Stop,
    TimerDue,
    Verdict,
)
from dripiq.domain.plan.model import STOP, Content, Node, NodeAction, Plan, QuietHours, Transition
from dripiq.domain.states import CampaignStatus, Channel, Confidence

T = Trigger
S = CampaignStatus
T0 = datetime(2026, 3, 4, 12, tzinfo=UTC)
DRAFT = State(S.DRAFT)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def on(
    trigger: Trigger, to: str, *, within: float | None = None, after: float | None = None, **more: Any
) -> Transition:
    return Transition(
        trigger,
        to,
        within=None if within is None else hours(within),
        after=None if after is None else hours(after),
        **more,
    )


def send(name: str, *ways: Transition, delay: float = 0) -> Node:
    return Node(
        name, Channel.EMAIL, NodeAction.SEND, (Content("Subject", "Body"),), delay=hours(delay), transitions=ways
    )


def wait(name: str, *ways: Transition) -> Node:
    return Node(name, Channel.EMAIL, NodeAction.WAIT, transitions=ways)


def plan(*nodes: Node, **more: Any) -> Plan:
    return Plan("1.0", "UTC", nodes[0].id, {node.id: node for node in nodes}, "hash", **more)


INTRO = plan(
    send("intro", on(T.OPENED, "wait_click", within=72), on(T.NO_OPEN, "bump", after=72), on(T.BOUNCED, STOP)),
    wait("wait_click", on(T.CLICKED, STOP, within=24), on(T.NO_CLICK, "bump", after=24)),
    send("bump"),
)
"""The example of the plan language's reference."""


class Journey:
    """A campaign that is handed one batch after the other, as the engine hands them: with the events recorded so far."""

    def __init__(self, of: Plan) -> None:
        self.plan = of
        self.state = DRAFT
        self.recorded: dict[str, Happened] = {}
        self.moves: list[str] = []

    def take(self, *batch: Input) -> Decision:
        for event in batch:
            if isinstance(event, Happened):
                self.recorded.setdefault(event.ref, event)
        now = max(event.at for event in batch)
        decision = advance(self.plan, self.state, batch, self.recorded.values(), now)
        for move in decision.moves:
            if move.event_ref in self.recorded:
                self.recorded[move.event_ref] = replace(self.recorded[move.event_ref], taken_as=move.trigger)
        self.moves += [f"{move.trigger}>{move.to_node_id}:{move.to_status}" for move in decision.moves]
        self.state = decision.after
        return decision

    def sent(self, at: float = 0, message: str = "m1") -> "Journey":
        """The provider takes the message of the present visit."""
        self.take(Accepted(T0 + hours(at), message, self.state.node_id or "", self.state.visit))
        return self

    def due(self, name: str) -> Decision:
        """The timer of that name comes due."""
        [action] = [action for action in self.state.actions if action.ref.name == name]
        return self.take(TimerDue(action.run_at, action.ref.node_id, action.ref.visit, name))

    @property
    def stands(self) -> tuple[str, str | None]:
        return self.state.status.value, self.state.node_id

    @property
    def open(self) -> dict[str, float]:
        """What is still to happen, in hours from the beginning."""
        return {action.ref.name: (action.run_at - T0) / hours(1) for action in self.state.actions}


def started(of: Plan) -> Journey:
    journey = Journey(of)
    journey.take(Start(T0))
    return journey


def happened(trigger: Trigger, at: float, message: str = "m1", ref: str | None = None, **more: Any) -> Happened:
    return Happened(T0 + hours(at), trigger, message, ref or f"{trigger}@{at}", **more)


# ---- plans, states and inputs that nobody thought of

TIMERS = [trigger for trigger in Trigger if trigger.is_timer]
few_hours = st.integers(0, 6).map(hours)
moments = few_hours.map(lambda after: T0 + after)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
    targets = st.sampled_from([*names, STOP])
    nodes = []
    for name in names:
        ways = [
            Transition(
                trigger,
                draw(targets),
                within=None if trigger.is_timer else draw(st.none() | few_hours),
                after=draw(few_hours) if trigger.is_timer else None,
                min_confidence=draw(st.sampled_from(Confidence)),
            )
            for trigger in draw(st.lists(st.sampled_from(Trigger), unique=True, max_size=4))
        ]
        make = send if draw(st.booleans()) else wait
        nodes.append(make(name, *ways))
    always = {T.UNSUBSCRIBED, T.SPAMREPORT}
    return plan(
        *nodes,
        max_visits=draw(st.none() | st.integers(1, 3)),
        quiet_hours=draw(st.none() | st.just(QuietHours(time(13), time(15)))),
        stop_on=frozenset(draw(st.sets(st.sampled_from([T.REPLIED, T.BOUNCED]))) | always),
    )


node_names = st.sampled_from(["a", "b", "c", "d"])
visits = st.integers(0, 3)
message_names = st.sampled_from(["m0", "m1", "m2"])
references = st.sampled_from(["e1", "e2", "e3"])
action_names = st.sampled_from([SEND, CLOSE, *TIMERS])
happenings = st.builds(
    Happened,
    moments,
    st.sampled_from([trigger for trigger in Trigger if not trigger.is_timer]),
    message_names,
    references,
    st.sampled_from(Confidence),
)
inputs: st.SearchStrategy[Input] = st.one_of(
    st.builds(Start, moments),
    st.builds(Pause, moments),
    st.builds(Resume, moments),
    st.builds(Stop, moments, st.just("operator")),
    st.builds(Accepted, moments, message_names, node_names, visits),
    st.builds(Refused, moments, node_names, visits, st.just("550")),
    st.builds(TimerDue, moments, node_names, visits, action_names),
    happenings,
)


@st.composite
def states(draw: st.DrawFn, of: Plan) -> State:
    """Any state that has the right types, whether a campaign can get there or not."""
    node = draw(st.sampled_from(list(of.nodes)))
    visit = draw(visits)
    ref = st.builds(ActionRef, st.just(node), st.just(visit), action_names)
    held = st.sampled_from([None, PAUSED, IN_DOUBT, "suppressed"])
    return State(
        status=draw(st.sampled_from(CampaignStatus)),
        node_id=draw(st.sampled_from([node, None])),
        visit=visit,
        visits=draw(st.dictionaries(st.sampled_from(list(of.nodes)), st.integers(1, 3))),
        entered_at=draw(st.none() | moments),
        seq=draw(st.integers(0, 3)),
        message=draw(st.none() | st.builds(Message, message_names, moments)),
        actions=tuple(draw(st.lists(st.builds(OpenAction, ref, moments, held), unique_by=lambda a: a.ref, max_size=3))),
        cause=draw(st.none() | st.builds(Cause, references, st.sampled_from(Trigger))),
    )


@st.composite
def travels(draw: st.DrawFn) -> tuple[Plan, list[Decision]]:
    """A campaign from its start on: what may really happen next, happens; and each decision on the way."""
    of = draw(plans())
    state, decisions, now = DRAFT, [], T0
    recorded: list[Happened] = []
    for number in range(draw(st.integers(1, 12))):
        now += draw(few_hours)
        possible: list[Input] = [Pause(now), Resume(now)] if number else [Start(now)]
        for action in state.actions:
            node_id, visit, name = action.ref
            if name == SEND and action.held is None:
                possible += [Accepted(now, f"m{visit}", node_id, visit), Refused(now, node_id, visit, "550")]
            elif name != SEND:
                possible.append(TimerDue(action.run_at, node_id, visit, name))
        if state.message is not None:
            at = now - draw(few_hours)
            event = replace(draw(happenings), at=at, message_id=state.message.id, ref=f"e{number}")
            possible.append(event)
        chosen = draw(st.sampled_from(possible))
        recorded += [chosen] if isinstance(chosen, Happened) else []
        decisions.append(advance(of, state, [chosen], recorded, now))
        state = decisions[-1].after
    return of, decisions


# ---- in general


def test_the_table_answers_every_input_in_every_status() -> None:
    assert set(TABLE) == set(product(CampaignStatus, get_args(Input)))


@given(st.data())
def test_whatever_comes_in_whatever_state_there_is_an_answer(data: st.DataObject) -> None:
    of = data.draw(plans())
    state = data.draw(states(of))
    event = data.draw(inputs)
    answer = step(of, state, event, data.draw(moments))
    assert len(answer.verdicts) == 1
    assert answer.before == state


@given(st.data())
def test_a_final_state_absorbs_everything(data: st.DataObject) -> None:
    of = data.draw(plans())
    state = replace(data.draw(states(of)), status=data.draw(st.sampled_from([S.COMPLETED, S.STOPPED, S.ERROR])))
    events = data.draw(st.lists(inputs, max_size=5))
    answer = advance(of, state, events, data.draw(st.lists(happenings)), T0)
    assert not answer.changed
    assert answer.moves == ()
    assert set(answer.verdicts) <= {Verdict.FINAL}


@given(st.data())
def test_any_batch_comes_to_an_end_and_takes_no_event_twice_as_the_same_thing(data: st.DataObject) -> None:
    of = data.draw(plans())
    answer = advance(
        of,
        data.draw(states(of)),
        data.draw(st.lists(inputs, max_size=8)),
        data.draw(st.lists(happenings, max_size=8)),
        data.draw(moments),
    )
    taken = [(move.event_ref, move.trigger) for move in answer.moves if move.event_ref is not None]
    assert len(taken) == len(set(taken))


@given(st.data())
def test_the_order_in_which_a_batch_is_listed_means_nothing(data: st.DataObject) -> None:
    of = data.draw(plans())
    state = data.draw(states(of))
    batch = data.draw(st.lists(inputs, max_size=6))
    other = data.draw(st.permutations(batch))
    distinct = {event.ref: event for event in batch if isinstance(event, Happened)}.values()
    batch = [event for event in batch if not isinstance(event, Happened) or event in distinct]
    other = [event for event in other if not isinstance(event, Happened) or event in distinct]
    assert advance(of, state, batch, (), T0).after == advance(of, state, other, (), T0).after


@given(st.data())
def test_what_is_recorded_changes_only_a_decision_that_looks_back(data: st.DataObject) -> None:
    of = data.draw(plans())
    state = data.draw(states(of))
    batch = data.draw(st.lists(inputs, max_size=6))
    recorded = [replace(e, ref=f"recorded {e.ref}") for e in data.draw(st.lists(happenings, max_size=6))]
    first = advance(of, state, batch, (), T0)
    if not looks_back(of, first):
        again = advance(of, state, batch, recorded, T0)
        assert (again.after, again.moves, again.done) == (first.after, first.moves, first.done)


@given(st.data())
def test_an_event_that_the_plan_does_not_heed_changes_nothing(data: st.DataObject) -> None:
    of = data.draw(plans())
    event = data.draw(happenings)
    if event.trigger not in heeded_by(of):
        assert not advance(of, data.draw(states(of)), [event], (), T0).changed


@given(st.data())
def test_the_same_thing_twice_changes_nothing_the_second_time(data: st.DataObject) -> None:
    of, decisions = data.draw(travels())
    state = decisions[-1].after
    event = data.draw(inputs)
    recorded = [event] if isinstance(event, Happened) else []
    once = advance(of, state, [event], recorded, T0)
    twice = advance(of, once.after, [event], recorded, T0)
    assert twice.after == once.after
    assert twice.moves == ()


@given(st.data())
def test_an_event_that_comes_doubled_in_a_batch_counts_once(data: st.DataObject) -> None:
    of, decisions = data.draw(travels())
    events = data.draw(st.lists(happenings, max_size=4, unique_by=lambda event: event.ref))
    state = decisions[-1].after
    single = advance(of, state, events, (), T0)
    assert advance(of, state, [*events, *events], events, T0).after == single.after


@given(travels())
def test_nobody_is_stuck(travel: tuple[Plan, list[Decision]]) -> None:
    _, decisions = travel
    for decision in decisions:
        assert decision.after.status.is_final == (decision.after.actions == ())


@given(travels())
def test_transitions_form_one_chain(travel: tuple[Plan, list[Decision]]) -> None:
    _, decisions = travel
    moves = [move for decision in decisions for move in decision.moves]
    assert [move.seq for move in moves] == list(range(1, len(moves) + 1))
    last = decisions[-1].after
    links = [(None, S.DRAFT), *((move.to_node_id, move.to_status) for move in moves)]
    assert [(move.from_node_id, move.from_status) for move in moves] == links[:-1]
    assert (last.node_id, last.status) == links[-1]
    assert last.seq == len(moves)


@given(travels())
def test_what_is_open_belongs_to_the_present_visit_and_every_action_is_accounted_for(
    travel: tuple[Plan, list[Decision]],
) -> None:
    _, decisions = travel
    for decision in decisions:
        before, after = ({a.ref for a in state.actions} for state in (decision.before, decision.after))
        assert {(ref.node_id, ref.visit) for ref in after} <= {(decision.after.node_id, decision.after.visit)}
        scheduled = {action.ref for action in decision.schedule}
        gone = [*decision.complete, *decision.cancel]
        assert len(gone) == len(set(gone))
        assert (before | scheduled) - set(gone) == after
        assert {action.ref for action in decision.change} <= before & after


@given(travels())
def test_no_node_is_entered_more_often_than_the_plan_allows(travel: tuple[Plan, list[Decision]]) -> None:
    of, decisions = travel
    if of.max_visits is not None:
        assert max(decisions[-1].after.visits.values(), default=0) <= of.max_visits


@given(travels())
def test_sends_are_held_while_paused_and_only_then_for_that(travel: tuple[Plan, list[Decision]]) -> None:
    _, decisions = travel
    for state in (decision.after for decision in decisions):
        sends = [action for action in state.actions if action.ref.name == SEND]
        assert {action.held for action in sends} <= ({PAUSED} if state.status is S.PAUSED else {None})
        assert all(action.held is None for action in state.actions if action.ref.name != SEND)


# ---- a visit begins


def test_a_start_enters_the_first_node_and_schedules_its_send() -> None:
    of = plan(send("intro", delay=2), quiet_hours=QuietHours(time(13), time(15)))
    journey = started(of)
    assert journey.stands == ("active", "intro")
    assert journey.open == {SEND: 3.0}, "two hours later it is quiet until three"


def test_a_send_waits_from_the_time_of_processing_but_a_visit_begins_with_its_cause() -> None:
    of = plan(wait("w", on(T.NO_OPEN, "s", after=1)), send("s", on(T.OPENED, STOP), delay=1))
    journey = started(of)
    [timer] = journey.state.actions
    decision = advance(of, journey.state, [TimerDue(timer.run_at, *timer.ref)], (), T0 + hours(10))
    assert decision.after.entered_at == T0 + hours(1)
    assert decision.after.actions[0].run_at == T0 + hours(11)


def test_windows_and_timers_of_a_send_start_when_the_provider_takes_it() -> None:
    journey = started(INTRO).sent(5)
    assert journey.open == {T.NO_OPEN: 77.0}
    journey.take(happened(T.OPENED, 76))
    assert journey.stands == ("active", "wait_click")


def test_those_of_a_wait_start_on_entry() -> None:
    journey = started(INTRO).sent(5)
    journey.take(happened(T.OPENED, 10))
    assert journey.open == {T.NO_CLICK: 34.0}


def test_a_send_with_no_way_on_completes_once_sent() -> None:
    journey = started(plan(send("only"))).sent(1)
    assert journey.stands == ("completed", "only")


def test_a_wait_with_no_way_on_completes_at_once() -> None:
    assert started(plan(wait("only"))).stands == ("completed", "only")


def test_the_same_message_is_accepted_once() -> None:
    journey = started(INTRO).sent(5)
    again = journey.take(Accepted(T0 + hours(9), "m9", "intro", 1))
    assert again.verdicts == (Verdict.TAKEN_BEFORE,)
    assert journey.open == {T.NO_OPEN: 77.0}


def test_a_refused_send_takes_its_way_or_ends_in_error() -> None:
    of = plan(send("a", on(T.FAILED, "b")), send("b"))
    journey = started(of)
    journey.take(Refused(T0 + hours(1), "a", 1, "550"))
    assert journey.stands == ("active", "b")
    decision = journey.take(Refused(T0 + hours(1), "b", 2, "550"))
    assert (journey.stands, decision.moves[0].reason) == (("error", "b"), "550")


# ---- windows


def test_a_webhook_that_comes_a_day_late_counts_for_when_it_happened() -> None:
    of = plan(wait("w", on(T.OPENED, STOP, within=4)), send("unused"))
    journey = started(plan(send("s", on(T.DELIVERED, "w")), *of.nodes.values())).sent(0)
    journey.take(happened(T.DELIVERED, 1))
    decision = advance(journey.plan, journey.state, [happened(T.OPENED, 5)], (), T0 + hours(40))
    assert decision.after.status is S.COMPLETED


def test_an_event_outside_its_window_moves_nothing_and_does_not_strand_the_contact() -> None:
    of = plan(
        send("s", on(T.OPENED, "thanks", within=24), on(T.NO_OPEN, "bump", after=72)), send("bump"), send("thanks")
    )
    journey = started(of).sent(0)
    decision = journey.take(happened(T.OPENED, 24.01))
    assert decision.verdicts == (Verdict.OUT_OF_WINDOW,)
    assert not decision.changed
    journey.due(T.NO_OPEN)
    assert journey.stands == ("active", "bump")


@pytest.mark.parametrize(("at", "ends"), [(24, True), (24.0001, False)])
def test_the_end_of_a_window_belongs_to_it(at: float, ends: bool) -> None:
    of = plan(send("s", on(T.CLICKED, STOP, within=24), on(T.NO_REPLY, "s", after=72)), max_visits=2)
    journey = started(of).sent(0)
    journey.take(happened(T.CLICKED, at))
    assert (journey.state.status is S.COMPLETED) is ends


def test_a_visit_that_only_events_can_end_closes_when_the_last_window_has() -> None:
    of = plan(send("s", on(T.OPENED, "t", within=2), on(T.CLICKED, "t", within=5)), send("t"))
    journey = started(of).sent(1)
    assert journey.open == {CLOSE: 6.0}
    journey.due(CLOSE)
    assert journey.stands == ("completed", "s")


# ---- timers


def test_a_timer_is_void_once_the_event_it_waits_for_was_taken() -> None:
    journey = started(INTRO).sent(0)
    decision = journey.take(happened(T.OPENED, 1))
    assert [ref.name for ref in decision.cancel] == [T.NO_OPEN]
    assert journey.take(TimerDue(T0 + hours(72), "intro", 1, T.NO_OPEN)).verdicts == (Verdict.OTHER_VISIT,)


def test_an_event_that_the_node_does_not_answer_voids_the_timer_that_waits_for_it() -> None:
    of = plan(send("s", on(T.NO_OPEN, "bump", after=72), on(T.BOUNCED, STOP)), send("bump"))
    journey = started(of).sent(0)
    assert journey.take(happened(T.OPENED, 1)).verdicts == (Verdict.VOIDED_TIMER,)
    assert journey.open == {CLOSE: 720.0}, "the bounce can still come"


def test_a_visit_whose_only_timer_is_void_is_complete() -> None:
    of = plan(send("s", on(T.NO_OPEN, "bump", after=72)), send("bump"))
    journey = started(of).sent(0)
    journey.take(happened(T.OPENED, 1))
    assert journey.stands == ("completed", "s")


@pytest.mark.parametrize("confidence", [Confidence.MACHINE, Confidence.UNKNOWN])
def test_too_weak_evidence_neither_moves_nor_voids(confidence: Confidence) -> None:
    of = plan(
        send("s", on(T.OPENED, STOP, min_confidence=Confidence.HUMAN), on(T.NO_OPEN, "bump", after=72)), send("bump")
    )
    journey = started(of).sent(0)
    decision = journey.take(happened(T.OPENED, 1, confidence=confidence))
    assert decision.verdicts == (Verdict.WEAK_EVIDENCE,)
    assert journey.open == {T.NO_OPEN: 72.0}
    journey.take(happened(T.OPENED, 2, confidence=Confidence.HUMAN))
    assert journey.stands == ("completed", "s")


def test_a_click_voids_no_click_though_the_open_that_it_implies_comes_too_late() -> None:
    of = plan(send("s", on(T.OPENED, "t", within=1), on(T.NO_CLICK, "bump", after=24)), send("bump"), send("t"))
    journey = started(of).sent(0)
    journey.take(happened(T.CLICKED, 2))
    assert T.NO_CLICK not in journey.open


def test_a_click_out_of_its_window_still_shows_that_the_mail_was_opened() -> None:
    of = plan(send("s", on(T.CLICKED, "t", within=1), on(T.NO_OPEN, "bump", after=24)), send("bump"), send("t"))
    journey = started(of).sent(0)
    journey.take(happened(T.CLICKED, 2))
    assert T.NO_OPEN not in journey.open


def test_an_event_at_the_very_time_of_its_timer_comes_first() -> None:
    event, timer = happened(T.OPENED, 72), TimerDue(T0 + hours(72), "intro", 1, T.NO_OPEN)
    orders: list[tuple[Input, Input]] = [(event, timer), (timer, event)]
    for batch in orders:
        journey = started(INTRO).sent(0)
        journey.take(*batch)
        assert journey.stands == ("active", "wait_click")


def test_a_timer_that_was_due_before_an_event_goes_first_though_it_is_worked_later() -> None:
    of = plan(send("s", on(T.OPENED, "t"), on(T.NO_OPEN, "u", after=72)), send("t"), send("u"))
    journey = started(of).sent(0)
    assert journey.take(happened(T.OPENED, 72.5)).verdicts == (Verdict.AFTER_TIMER,)
    journey.due(T.NO_OPEN)
    assert journey.stands == ("active", "u")


def test_an_event_that_waited_for_a_timer_counts_when_the_timer_turns_out_void() -> None:
    of = plan(send("s", on(T.CLICKED, "t"), on(T.NO_OPEN, "u", after=72)), send("t"), send("u"))
    journey = started(of).sent(0)
    assert journey.take(happened(T.CLICKED, 80)).verdicts == (Verdict.AFTER_TIMER,)
    journey.take(happened(T.OPENED, 60))
    assert journey.stands == ("active", "t")


def test_an_event_that_comes_in_after_its_timer_has_moved_the_campaign_is_only_recorded() -> None:
    journey = started(INTRO).sent(0)
    journey.due(T.NO_OPEN)
    assert journey.take(happened(T.OPENED, 71)).verdicts == (Verdict.OTHER_MESSAGE,)
    assert journey.stands == ("active", "bump")


# ---- whose event it is


def test_a_click_takes_the_step_that_the_open_would_have_taken_and_then_its_own() -> None:
    journey = started(INTRO).sent(0)
    journey.take(happened(T.CLICKED, 3))
    assert journey.moves == ["started>intro:active", "opened>wait_click:active", "clicked>wait_click:completed"]
    assert journey.take(happened(T.OPENED, 2)).verdicts == (Verdict.FINAL,)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_an_open_and_a_click_lead_to_the_same_end_in_whatever_order_they_come(
    order: Sequence[int], at_once: bool
) -> None:
    events = [happened(T.DELIVERED, 0.1), happened(T.OPENED, 1), happened(T.CLICKED, 2), happened(T.CLICKED, 2)]
    journey = started(INTRO).sent(0)
    if at_once:
        journey.take(*(events[index] for index in order))
    else:
        for index in order:
            journey.take(events[index])
    assert journey.stands == ("completed", "wait_click")


def test_a_click_that_took_the_open_step_voids_no_click_at_the_node_it_came_to() -> None:
    of = plan(send("s", on(T.OPENED, "w")), wait("w", on(T.NO_CLICK, "bump", after=24)), send("bump"))
    for first, second in permutations([happened(T.OPENED, 1), happened(T.CLICKED, 2)]):
        journey = started(of).sent(0)
        journey.take(first)
        journey.take(second)
        assert journey.stands == ("completed", "w"), first.trigger


def test_events_that_came_before_the_acceptance_was_known_are_handed_in_again() -> None:
    journey = started(INTRO)
    assert journey.take(happened(T.OPENED, 1)).verdicts == (Verdict.OTHER_MESSAGE,)
    journey.sent(0.5)
    assert journey.stands == ("active", "wait_click")


def test_what_was_recorded_before_a_node_was_entered_does_not_count_for_it() -> None:
    of = plan(
        send("s", on(T.OPENED, "w")), wait("w", on(T.DELIVERED, STOP), on(T.NO_CLICK, "bump", after=24)), send("bump")
    )
    journey = started(of).sent(0)
    journey.take(happened(T.DELIVERED, 1))
    journey.take(happened(T.OPENED, 5))
    assert journey.stands == ("active", "w")


def test_an_event_of_an_earlier_message_moves_nothing() -> None:
    journey = started(INTRO).sent(0)
    journey.due(T.NO_OPEN)
    for trigger in (T.OPENED, T.CLICKED, T.DELIVERED, T.BLOCKED, T.FAILED):
        assert not journey.take(happened(trigger, 73)).changed


@pytest.mark.parametrize("trigger", [T.UNSUBSCRIBED, T.SPAMREPORT, T.BOUNCED, T.REPLIED])
@pytest.mark.parametrize("message", ["m1", "another", ""])
def test_what_belongs_to_the_contact_stops_whichever_message_it_is_of(trigger: Trigger, message: str) -> None:
    of = plan(send("s", on(T.NO_OPEN, "t", after=72)), send("t"))
    before_sent, after_sent, moved_on, paused = started(of), started(of).sent(0), started(of).sent(0), started(of)
    moved_on.due(T.NO_OPEN)
    paused.take(Pause(T0))
    for journey in (before_sent, after_sent, moved_on, paused, Journey(of)):
        journey.take(happened(trigger, 100, message))
        assert journey.state.status is S.STOPPED
        assert journey.open == {}


def test_a_plan_may_carry_on_after_a_reply_or_a_bounce() -> None:
    of = plan(send("s", on(T.REPLIED, "thanks"), on(T.NO_OPEN, STOP, after=9)), send("thanks"), stop_on=frozenset())
    journey = started(of).sent(0)
    assert not journey.take(happened(T.BOUNCED, 1)).changed
    journey.take(happened(T.REPLIED, 2))
    assert journey.stands == ("active", "thanks")


@pytest.mark.parametrize("trigger", [T.UNSUBSCRIBED, T.SPAMREPORT])
def test_no_plan_carries_on_after_a_request_for_silence(trigger: Trigger) -> None:
    of = plan(send("s", on(trigger, "more")), send("more"), stop_on=frozenset())
    journey = started(of).sent(0)
    journey.take(happened(trigger, 1))
    assert journey.stands == ("stopped", "s")


def test_a_plans_own_stop_completes() -> None:
    journey = started(INTRO).sent(0)
    journey.take(happened(T.BOUNCED, 1))
    assert journey.stands == ("completed", "intro")


# ---- loops


PING_PONG = (wait("ping", on(T.OPENED, "pong")), wait("pong", on(T.OPENED, "ping")))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_events_of_one_instant_between_two_waits_that_point_at_each_other_come_to_an_end(count: int) -> None:
    journey = started(plan(send("s", on(T.DELIVERED, "ping")), *PING_PONG)).sent(0)
    journey.take(happened(T.DELIVERED, 1))
    journey.take(*(happened(T.OPENED, 1, ref=f"e{n}") for n in range(count)))
    assert journey.stands == ("active", ["ping", "pong"][count % 2])


def test_events_of_one_instant_that_come_in_one_by_one_count_once_each() -> None:
    journey = started(plan(send("s", on(T.DELIVERED, "ping")), *PING_PONG)).sent(0)
    journey.take(happened(T.DELIVERED, 1))
    for number in range(5):
        journey.take(happened(T.OPENED, 1, ref=f"e{number}"))
        assert journey.stands == ("active", ["pong", "ping"][number % 2])


def test_a_recorded_event_that_was_taken_is_not_taken_again_when_it_is_delivered_again() -> None:
    journey = started(plan(send("s", on(T.DELIVERED, "ping")), *PING_PONG)).sent(0)
    first, second = happened(T.OPENED, 1, ref="e1"), happened(T.OPENED, 1, ref="e2")
    for event in (happened(T.DELIVERED, 1), first, second):
        journey.take(event)
    assert not journey.take(first).changed


def test_the_last_visit_that_a_plan_allows_ends_the_campaign() -> None:
    of = plan(send("s", on(T.NO_OPEN, "s", after=1)), max_visits=3)
    journey = started(of)
    for visit in (1, 2, 3):
        assert (journey.state.visit, journey.state.visits) == (visit, {"s": visit})
        journey.sent(visit, f"m{visit}")
        decision = journey.due(T.NO_OPEN)
    assert journey.stands == ("completed", "s")
    assert decision.moves[0].reason == "max_visits"


def test_a_new_visit_has_actions_of_its_own() -> None:
    journey = started(plan(send("s", on(T.NO_OPEN, "s", after=1)), max_visits=2)).sent(0)
    decision = journey.due(T.NO_OPEN)
    assert decision.complete == (ActionRef("s", 1, T.NO_OPEN),)
    assert [action.ref for action in decision.schedule] == [ActionRef("s", 2, SEND)]


# ---- operators


def test_a_pause_holds_sends_and_leaves_timers_running() -> None:
    journey = started(INTRO)
    journey.take(Pause(T0))
    assert [action.held for action in journey.state.actions] == [PAUSED]
    journey.take(Resume(T0))
    journey.sent(0)
    decision = journey.take(Pause(T0 + hours(1)))
    assert decision.change == ()
    assert [action.held for action in journey.state.actions] == [None]
    journey.due(T.NO_OPEN)
    assert journey.stands == ("paused", "bump")
    assert [action.held for action in journey.state.actions] == [PAUSED]


def test_events_are_taken_while_paused() -> None:
    journey = started(INTRO).sent(0)
    journey.take(Pause(T0 + hours(1)))
    journey.take(happened(T.OPENED, 2))
    assert journey.stands == ("paused", "wait_click")
    journey.take(happened(T.CLICKED, 3))
    assert journey.stands == ("completed", "wait_click")


def test_a_send_that_was_in_hand_when_the_pause_came_is_still_accepted() -> None:
    journey = started(INTRO)
    journey.take(Pause(T0))
    journey.sent(0)
    assert journey.stands == ("paused", "intro")
    assert journey.open == {T.NO_OPEN: 72.0}


def test_a_resume_lets_held_sends_pass_again_at_the_next_allowed_moment() -> None:
    of = replace(INTRO, quiet_hours=QuietHours(time(13), time(15)))
    journey = started(of)
    journey.take(Pause(T0))
    decision = journey.take(Resume(T0 + hours(1)))
    assert [action.held for action in decision.change] == [None]
    assert journey.open == {SEND: 3.0}


def test_a_resume_does_not_send_what_is_in_doubt() -> None:
    journey = started(INTRO)
    [action] = journey.state.actions
    journey.state = replace(journey.state, actions=(replace(action, held=IN_DOUBT),))
    for event in (Pause(T0), Resume(T0), Resume(T0)):
        journey.take(event)
        assert [action.held for action in journey.state.actions] == [IN_DOUBT]


def test_a_release_of_an_active_campaign_frees_what_was_held_for_its_own_reason() -> None:
    journey = started(INTRO)
    [action] = journey.state.actions
    journey.state = replace(journey.state, actions=(replace(action, held="template"),))
    assert journey.take(Resume(T0)).verdicts == (Verdict.RELEASED,)
    assert [action.held for action in journey.state.actions] == [None]
    assert journey.take(Resume(T0)).verdicts == (Verdict.NOT_APPLICABLE,)


def test_a_stop_cancels_all_that_is_open_and_says_why() -> None:
    for prepare in (Journey, started):
        make: Callable[[Plan], Journey] = prepare
        journey = make(INTRO)
        decision = journey.take(Stop(T0, "operator", "ann"))
        assert (journey.state.status, journey.open) == (S.STOPPED, {})
        assert (decision.moves[0].reason, decision.moves[0].actor) == ("operator", "ann")


def test_a_timer_cannot_be_mistaken_for_the_send() -> None:
    journey = started(INTRO)
    assert journey.take(TimerDue(T0, "intro", 1, SEND)).verdicts == (Verdict.OTHER_VISIT,)
    assert journey.open == {SEND: 0.0}


def test_on_a_wait_that_comes_from_a_send_which_never_left_the_message_is_the_last_one_that_did() -> None:
    of = plan(
        send("intro", on(T.NO_OPEN, "bump", after=72)),
        send("bump", on(T.REPLIED, "later"), on(T.NO_REPLY, STOP, after=24), delay=48),
        wait("later", on(T.CLICKED, STOP), on(T.NO_CLICK, STOP, after=24)),
    )
    journey = started(of).sent()
    journey.due("no_open")
    journey.take(happened(T.REPLIED, 80))
    assert journey.stands == ("active", "later")
    journey.take(happened(T.CLICKED, 81))
    assert journey.stands == ("completed", "later")
