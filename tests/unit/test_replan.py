"""What becomes of a campaign whose plan is changed while it runs: case by case, and in general."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dripiq.domain.events import Trigger
from dripiq.domain.machine import advance, step
from dripiq.domain.moves import (
    CLOSE,
    IN_DOUBT,
    PAUSED,
    SEND,
    Accepted,
    ActionRef,
    Decision,
    Happened,
    Input,
    OpenAction,
    Pause,
    Replan,
    Resume,
    Start,
    State,
    TimerDue,
    Verdict,
)
from dripiq.domain.plan.model import STOP, CalendarSpan, Content, NodeAction, Plan, QuietHours, Transition
from dripiq.domain.replan import MIGRATED, PLAN_CHANGED, sends_ahead, targets, ways_back
from dripiq.domain.states import CampaignStatus
from tests.unit.test_machine import DRAFT, T0, Journey, few_hours, happened, hours, on, plan, plans, send, started, wait

T = Trigger
S = CampaignStatus

INTRO = plan(
    send("intro", on(T.OPENED, "wait_click", within=72), on(T.NO_OPEN, "bump", after=72)),
    wait("wait_click", on(T.CLICKED, STOP, within=24), on(T.NO_CLICK, "bump", after=24)),
    send("bump"),
)


def migrate(
    journey: Journey, to: Plan, node_id: str | None = None, *, at: float = 0, recorded: Sequence[Happened] = ()
) -> Decision:
    """Move a campaign to another plan; from then on, it follows that."""
    target = node_id if node_id is not None else journey.state.node_id or ""
    events = [*journey.recorded.values(), *recorded]
    decision = advance(to, journey.state, [Replan(T0 + hours(at), target, journey.plan)], events, T0 + hours(at))
    journey.plan, journey.state = to, decision.after
    return decision


def only_action(journey: Journey) -> OpenAction:
    [action] = journey.state.actions
    return action


# ---- a send that is still to come


def test_a_pending_send_of_the_same_node_stays_the_same_action() -> None:
    journey = started(plan(send("intro", delay=5)))
    before = only_action(journey)

    decision = migrate(journey, plan(replace(send("intro", delay=5), contents=(Content("New", "New"),))), at=2)

    assert only_action(journey) == before
    assert (decision.schedule, decision.change, decision.cancel) == ((), (), ())
    assert [(move.trigger, move.from_node_id, move.to_node_id) for move in decision.moves] == [
        (MIGRATED, "intro", "intro")
    ]


@pytest.mark.parametrize(("delay", "at", "run_at"), [(8, 2, 8), (3, 2, 3), (1, 2, 2)])
def test_a_new_delay_counts_from_the_entry_and_one_that_is_over_sends_now(
    delay: float, at: float, run_at: float
) -> None:
    journey = started(plan(send("intro", delay=5)))

    decision = migrate(journey, plan(send("intro", delay=delay)), at=at)

    assert journey.open == {SEND: run_at}
    assert [action.ref for action in decision.change] == [ActionRef("intro", 1, SEND)]


def test_new_quiet_hours_put_a_pending_send_off() -> None:
    journey = started(plan(send("intro", delay=2)))
    migrate(journey, plan(send("intro", delay=2), quiet_hours=QuietHours(time(13), time(17))), at=1)
    assert journey.open == {SEND: 5}


def test_days_of_the_calendar_are_another_delay_than_as_many_hours() -> None:
    old = plan(replace(send("intro"), delay=timedelta(days=1)))
    new = plan(replace(send("intro"), delay=CalendarSpan(days=1)))
    journey = started(old)
    journey.state = replace(journey.state, actions=(replace(only_action(journey), run_at=T0 + hours(30)),))

    migrate(journey, old, at=1)
    assert journey.open == {SEND: 30}
    migrate(journey, new, at=1)
    assert journey.open == {SEND: 24}


def test_a_pending_send_that_is_renamed_becomes_another_action_at_the_same_time() -> None:
    journey = started(plan(send("intro", delay=5)))

    decision = migrate(journey, plan(send("hello", delay=5)), "hello", at=2)

    assert (decision.cancel, [a.ref for a in decision.schedule]) == (
        (ActionRef("intro", 1, SEND),),
        [ActionRef("hello", 2, SEND)],
    )
    assert journey.open == {SEND: 5}
    assert journey.state.visits == {"hello": 1}


def test_what_a_pause_holds_stays_held_whatever_it_becomes() -> None:
    for target, to in (("intro", plan(send("intro", delay=1))), ("hello", plan(send("hello")))):
        journey = started(plan(send("intro")))
        journey.take(Pause(T0))
        migrate(journey, to, target)
        assert journey.state.status is S.PAUSED
        assert only_action(journey).held == PAUSED


def test_a_send_held_for_what_the_old_plan_said_passes_the_gates_again() -> None:
    journey = started(plan(send("intro")))
    held = replace(only_action(journey), held="template_missing")
    for contents, after in (((Content("Subject", "Body"),), "template_missing"), ((Content("New", "New"),), None)):
        journey.state = replace(journey.state, actions=(held,))
        migrate(journey, plan(replace(send("intro"), contents=contents)), at=3)
        assert only_action(journey).held == after


def test_nothing_moves_while_a_send_is_in_doubt() -> None:
    journey = started(plan(send("intro")))
    journey.state = replace(journey.state, actions=(replace(only_action(journey), held=IN_DOUBT),))

    decision = migrate(journey, plan(send("hello")), "hello")

    assert (decision.changed, decision.verdicts) == (False, (Verdict.HELD,))


# ---- a message that was sent


def test_a_sent_message_counts_as_sent_and_new_spans_start_when_it_was_accepted() -> None:
    journey = started(INTRO).sent(at=1)
    new = plan(send("intro", on(T.NO_OPEN, "bump", after=24)), send("bump"))

    decision = migrate(journey, new, at=10)

    assert journey.open == {"no_open": 25}
    assert only_action(journey).ref == ActionRef("intro", 1, "no_open")
    assert (len(decision.change), decision.schedule) == (1, ())


def test_a_timer_whose_new_span_is_over_is_due_at_its_own_time() -> None:
    journey = started(INTRO).sent(at=1)
    migrate(journey, plan(send("intro", on(T.NO_OPEN, "bump", after=4)), send("bump")), at=10)
    assert journey.open == {"no_open": 5}

    journey.due("no_open")
    assert journey.stands == ("active", "bump")


def test_a_renamed_node_counts_as_sent_too() -> None:
    journey = started(INTRO).sent(at=1)
    decision = migrate(journey, plan(send("hello", on(T.NO_OPEN, STOP, after=9))), "hello", at=2)

    assert [(a.ref, a.run_at) for a in decision.schedule] == [(ActionRef("hello", 2, "no_open"), T0 + hours(10))]
    assert journey.state.message == started(INTRO).sent(at=1).state.message
    assert journey.state.entered_at == T0


def test_a_sent_node_with_no_way_on_any_more_completes_the_campaign() -> None:
    journey = started(INTRO).sent(at=1)
    migrate(journey, plan(send("intro")), at=2)
    assert journey.stands == ("completed", "intro")


def test_a_timer_that_an_event_made_void_stays_void() -> None:
    old = plan(send("intro", on(T.NO_OPEN, "bump", after=72), on(T.NO_REPLY, "bump", after=99)), send("bump"))
    new = plan(send("intro", on(T.NO_OPEN, "bump", after=80), on(T.NO_REPLY, "bump", after=99)), send("bump"))
    journey = started(old).sent()
    journey.take(happened(T.OPENED, 5))
    journey.recorded.clear()  # its month was dropped

    migrate(journey, new, at=6)

    assert journey.open == {"no_reply": 99}


def test_a_timer_that_the_new_plan_adds_has_a_number_that_was_never_used() -> None:
    one, two = (
        plan(send("intro", *(on(name, "bump", after=72) for name in names)), send("bump"))
        for names in ((T.NO_OPEN,), (T.NO_OPEN, T.NO_REPLY))
    )
    journey = started(two).sent()
    refs: set[ActionRef] = set()
    for to in (one, two, one, two):
        decision = migrate(journey, to, at=1)
        assert refs.isdisjoint(action.ref for action in decision.schedule)
        refs |= {action.ref for action in decision.before.actions}
    assert journey.open == {"no_open": 72, "no_reply": 72}


def test_events_that_the_old_plan_passed_over_are_handed_in_again() -> None:
    journey = started(plan(send("intro", on(T.NO_REPLY, STOP, after=72)))).sent()
    journey.take(happened(T.OPENED, 5))

    migrate(journey, plan(send("intro", on(T.OPENED, "thanks"), on(T.NO_REPLY, STOP, after=72)), send("thanks")), at=8)

    assert journey.stands == ("active", "thanks")
    assert journey.open == {SEND: 8}


# ---- waits, and nodes that change their kind


def test_a_wait_goes_on_from_its_entry() -> None:
    journey = started(INTRO).sent()
    journey.take(happened(T.OPENED, 10))
    new = plan(
        send("intro", on(T.OPENED, "patience")),
        wait("patience", on(T.CLICKED, STOP, within=5), on(T.NO_CLICK, "bump", after=48)),
        send("bump"),
    )
    migrate(journey, new, "patience", at=20)
    assert journey.open == {"no_click": 58}
    assert journey.state.entered_at == T0 + hours(10)

    journey.take(happened(T.CLICKED, 16))
    assert journey.stands == ("active", "patience")  # the window ended five hours after the entry


def test_a_wait_that_becomes_a_send_sends() -> None:
    journey = started(INTRO).sent()
    journey.take(happened(T.OPENED, 10))
    migrate(journey, INTRO, "bump", at=20)
    assert (journey.stands, journey.open) == (("active", "bump"), {SEND: 20})


def test_a_wait_put_back_onto_the_message_that_came_before_it_does_not_send_it_again() -> None:
    journey = started(INTRO).sent()
    journey.take(happened(T.OPENED, 10))
    migrate(journey, INTRO, "intro", at=20)
    assert (journey.stands, journey.open) == (("active", "intro"), {"no_open": 72})


def test_a_send_that_becomes_a_wait_waits_from_now_on() -> None:
    journey = started(plan(send("intro", delay=50)))
    decision = migrate(journey, plan(wait("intro", on(T.NO_REPLY, STOP, after=5))), at=20)
    assert journey.open == {"no_reply": 25}
    assert decision.cancel == (ActionRef("intro", 1, SEND),)


def test_a_node_that_the_new_plan_has_no_place_for_can_stop_the_campaign() -> None:
    journey = started(INTRO)
    decision = migrate(journey, plan(send("other")), STOP, at=1)
    assert journey.stands == ("stopped", "intro")
    assert (decision.moves[-1].trigger, decision.moves[-1].reason) == (MIGRATED, PLAN_CHANGED)
    assert decision.cancel == (ActionRef("intro", 1, SEND),)


def test_a_draft_only_takes_note() -> None:
    journey = Journey(INTRO)
    decision = migrate(journey, plan(send("other")), "")
    assert decision.after == replace(DRAFT, seq=1)


# ---- what a worker may still bring


def test_a_timer_that_was_put_off_while_a_worker_held_it_does_not_fire_early() -> None:
    journey = started(INTRO).sent()
    held = TimerDue(T0 + hours(72), "intro", 1, "no_open")
    migrate(journey, plan(send("intro", on(T.NO_OPEN, "bump", after=99)), send("bump")), at=72)

    journey.take(held)

    assert (journey.stands, journey.open) == (("active", "intro"), {"no_open": 99})


def test_a_timer_that_the_plan_does_not_know_strands_nobody() -> None:
    for ways, left in (((on(T.OPENED, STOP, within=99),), {CLOSE: 99}), ((on(T.OPENED, STOP, within=9),), {})):
        journey = started(INTRO).sent()
        journey.plan = plan(send("intro", *ways))
        journey.due("no_open")
        assert journey.open == left
        assert journey.state.status.is_final == (not left)


# ---- which node stands for which


def test_nodes_find_their_namesakes_of_the_same_kind_and_a_mapping_goes_first() -> None:
    old = plan(send("a"), send("b"), wait("c"), send("d"))
    new = plan(send("a"), wait("b"), wait("c"), send("e"))
    assert targets(old, new, {"d": "e", "c": STOP}) == {"a": "a", "d": "e", "c": STOP}


def test_the_way_back_is_the_way_there_reversed_where_it_is_clear() -> None:
    old = plan(send("a"), send("b"), wait("c"), send("d"))
    new = plan(send("a"), send("b2"), wait("c"))
    assert ways_back(old, new, {"b": "b2", "d": STOP}) == {"a": "a", "b2": "b", "c": "c"}
    assert ways_back(old, new, {"b": "b2", "d": "b2"}) == {"a": "a", "c": "c"}


def test_the_messages_ahead_are_those_that_can_still_come() -> None:
    def ahead(state: State) -> set[str]:
        return {node.id for node in sends_ahead(INTRO, state)}

    journey = started(INTRO)
    assert ahead(DRAFT) == ahead(journey.state) == {"intro", "bump"}
    assert ahead(journey.sent().state) == {"bump"}
    assert ahead(replace(journey.state, status=S.STOPPED)) == set()


# ---- in general


@st.composite
def under_way(draw: st.DrawFn) -> tuple[Journey, datetime]:
    """A campaign that may be anywhere but at its end, as things really happen; and what time it is."""
    journey, now = Journey(draw(plans())), T0
    journey.take(Start(T0))
    assume(not journey.state.status.is_final)
    for number in range(draw(st.integers(0, 8))):
        now += draw(few_hours)
        state = journey.state
        possible: list[Input] = [Pause(now), Resume(now)]
        for action in state.actions:
            node_id, visit, name = action.ref
            if name == SEND and action.held is None:
                possible.append(Accepted(now, f"m{visit}", node_id, visit))
            elif name != SEND and action.run_at <= now:
                possible.append(TimerDue(action.run_at, node_id, visit, name))
        if state.message is not None and state.entered_at is not None and state.entered_at <= now:
            kind = draw(st.sampled_from([trigger for trigger in T if not trigger.is_timer]))
            possible.append(Happened(now, kind, state.message.id, f"e{number}"))
        chosen = draw(st.sampled_from(possible))
        if not advance(journey.plan, state, [chosen], journey.recorded.values(), now).after.status.is_final:
            journey.take(chosen)
    return journey, now


@st.composite
def reworked(draw: st.DrawFn, of: Plan) -> Plan:
    """A plan of the same nodes, each of the same kind, with other ways on from them."""
    other = draw(plans())
    ways = st.sampled_from([node.transitions for node in other.nodes.values()])
    nodes = {
        node.id: replace(node, transitions=tuple(_onto(of, way) for way in draw(ways))) for node in of.nodes.values()
    }
    return replace(of, nodes=nodes, plan_hash="reworked")


def _onto(of: Plan, way: Transition) -> Transition:
    return way if way.to == STOP or way.to in of.nodes else replace(way, to=STOP)


def renamed(of: Plan) -> tuple[Plan, dict[str, str]]:
    names = {name: f"{name}2" for name in of.nodes}
    nodes = {
        names[node.id]: replace(
            node,
            id=names[node.id],
            transitions=tuple(replace(way, to=names.get(way.to, STOP)) for way in node.transitions),
        )
        for node in of.nodes.values()
    }
    return replace(of, nodes=nodes, start_node_id=names[of.start_node_id], plan_hash="renamed"), names


def handed(journey: Journey, to: Plan, node_id: str, now: datetime, since: Plan, state: State) -> Decision:
    return advance(to, state, [Replan(now, node_id, since)], journey.recorded.values(), now)


def position(state: State) -> tuple[object, ...]:
    return state.status, state.message, {(a.ref.name, a.run_at, a.held) for a in state.actions}


@given(under_way())
def test_a_change_to_the_same_plan_changes_nothing_but_the_record(travel: tuple[Journey, datetime]) -> None:
    journey, now = travel
    decision = handed(journey, journey.plan, journey.state.node_id or "", now, journey.plan, journey.state)
    assert decision.after == replace(journey.state, seq=journey.state.seq + 1)
    assert [move.trigger for move in decision.moves] == [MIGRATED]


@given(st.data())
def test_there_and_back_again_is_as_it_was_where_nothing_happened_between(data: st.DataObject) -> None:
    journey, now = data.draw(under_way())
    old, state = journey.plan, journey.state
    new, names = renamed(data.draw(reworked(old))) if data.draw(st.booleans()) else (data.draw(reworked(old)), {})
    node_id = state.node_id or ""
    there = handed(journey, new, names.get(node_id, node_id), now, old, state)
    if len(there.moves) > 1 or there.after.status.is_final:  # something happened
        return

    back = handed(journey, old, node_id, now + hours(1), new, there.after)

    assert position(back.after) == position(state)
    assert (back.after.node_id, back.after.visits, back.after.entered_at) == (node_id, state.visits, state.entered_at)


@given(st.data())
def test_whatever_the_new_plan_is_nobody_is_stuck_and_no_key_comes_twice(data: st.DataObject) -> None:
    journey, now = data.draw(under_way())
    of, state = journey.plan, journey.state
    used = {action.ref for action in state.actions} | {ActionRef(n, state.visit, SEND) for n in of.nodes}
    for _ in range(data.draw(st.integers(1, 4))):
        to = data.draw(plans())
        target = data.draw(st.sampled_from([*to.nodes, STOP]))
        now += data.draw(few_hours)
        decision = handed(journey, to, target, now, of, state)
        assert used.isdisjoint(action.ref for action in decision.schedule)
        of, state = to, decision.after
        assert state.status.is_final == (state.actions == ())
        if state.status.is_final:
            return
        used |= {action.ref for action in state.actions}


@given(st.data())
def test_no_position_sends_twice(data: st.DataObject) -> None:
    journey, now = data.draw(under_way())
    state, of = journey.state, journey.plan
    if state.message is None:
        return
    to = data.draw(plans())
    here = state.message.node_id
    to = replace(
        to, nodes={**to.nodes, here: send(here, *data.draw(st.sampled_from(list(to.nodes.values()))).transitions)}
    )
    others = [n.id for n in to.nodes.values() if n.action is NodeAction.SEND]
    stands_on_send = of.node(state.node_id or "").action is NodeAction.SEND
    target = data.draw(st.sampled_from(others)) if stands_on_send else here

    decision = step(to, state, Replan(now, target, of), now)

    assert all(action.ref.name != SEND for action in decision.after.actions)
    assert decision.after.message == state.message
