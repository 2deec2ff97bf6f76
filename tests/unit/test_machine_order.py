"""When things happened counts, not when somebody got round to them: lagging workers, late events, campaigns enrolled again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dripiq.domain.events import CONTACT_WIDE, Trigger
from dripiq.domain.machine import advance, step
from dripiq.domain.moves import SEND, Accepted, Happened, Resume, Start, State, Stop, TimerDue, Verdict
from dripiq.domain.plan.model import STOP, Plan
from dripiq.domain.states import CampaignStatus, Confidence
from tests.unit.test_machine import T0, Journey, happened, hours, on, plan, send, started, wait
from tests.unit.walks import plans

T = Trigger
S = CampaignStatus
END = T0 + hours(24)


class Worker:
    """Hands a campaign what happened, knowing what was recorded so far."""

    def __init__(self, of: Plan) -> None:
        self.plan = of
        self.recorded: dict[str, Happened] = {}
        self.state = step(of, State(S.DRAFT), Start(T0), T0).after
        for action in self.state.actions:
            if action.ref.name == SEND:
                self.take([Accepted(action.run_at, "m1", action.ref.node_id, action.ref.visit)], action.run_at)

    def take(self, batch: Sequence[Accepted | Happened | TimerDue], now: datetime) -> None:
        self.recorded.update((event.ref, event) for event in batch if isinstance(event, Happened))
        decision = advance(self.plan, self.state, batch, self.recorded.values(), now)
        for move in decision.moves:
            if move.event_ref in self.recorded:
                self.recorded[move.event_ref] = replace(self.recorded[move.event_ref], taken_as=move.trigger)
        self.state = decision.after

    def fire_until(self, end: datetime, now: datetime | None = None, *, backwards: bool = False) -> None:
        """Work the timers that are due by `end`, in their order or against it; at their own time, or all of them `now`."""
        while due := [
            (a.run_at, a.ref.name, a.ref) for a in self.state.actions if a.ref.name != SEND and a.run_at <= end
        ]:
            run_at, _, ref = max(due) if backwards else min(due)
            self.take([TimerDue(run_at, *ref)], now or run_at)

    @property
    def stands(self) -> object:
        return self.state.status, self.state.node_id, self.state.visits, self.state.entered_at


own_events = st.builds(
    Happened,
    st.integers(0, 12).map(lambda half_hours: T0 + hours(half_hours / 2)),
    st.sampled_from([trigger for trigger in Trigger if not trigger.is_timer and trigger not in CONTACT_WIDE]),
    st.just("m1"),
    st.uuids().map(str),
    st.sampled_from(Confidence),
)


@given(plans(), st.lists(own_events, max_size=5))
def test_a_worker_that_lags_brings_a_campaign_to_where_a_prompt_one_does(of: Plan, events: list[Happened]) -> None:
    of = replace(of, quiet_hours=None)
    prompt, lagging, confused = Worker(of), Worker(of), Worker(of)
    assume(prompt.state.message is not None)
    for event in sorted(events, key=lambda event: (event.at, f"{event.trigger} {event.ref}")):
        prompt.fire_until(event.at - hours(0.1))
        prompt.take([event], event.at)
    prompt.fire_until(END)
    lagging.take(events, END)
    lagging.fire_until(END, END)
    assert lagging.stands == prompt.stands
    confused.take(events, END)
    confused.fire_until(END, END, backwards=True)
    assert confused.stands == prompt.stands, "whichever of several leases is worked first"


# ---- what belongs to the contact, and a timer that nobody has worked yet

CARRIES_ON = frozenset({T.UNSUBSCRIBED, T.SPAMREPORT})


def test_a_reply_is_heard_before_a_reminder_that_was_due_but_has_not_left() -> None:
    of = plan(send("s", on(T.REPLIED, "thanks"), on(T.NO_REPLY, "remind", after=72)), send("thanks"), send("remind"))
    journey = started(of).sent(0)
    journey.take(happened(T.REPLIED, 73))
    assert journey.stands == ("active", "thanks")


def test_a_reply_that_no_node_answers_stops_though_a_timer_was_due_before_it() -> None:
    journey = started(plan(send("s", on(T.NO_OPEN, "remind", after=72)), send("remind"))).sent(0)
    journey.take(happened(T.REPLIED, 73))
    assert journey.stands == ("stopped", "s")


def test_a_reply_that_came_too_late_for_its_timer_leaves_it_to_fire() -> None:
    of = plan(send("s", on(T.NO_REPLY, "remind", after=72)), send("remind"), stop_on=CARRIES_ON)
    in_time, late = started(of).sent(0), started(of).sent(0)
    in_time.take(happened(T.REPLIED, 72))
    assert in_time.stands == ("completed", "s")
    assert not late.take(happened(T.REPLIED, 72.01)).changed
    late.due(T.NO_REPLY)
    assert late.stands == ("active", "remind")


@pytest.mark.parametrize("trigger", [T.OPENED, T.CLICKED, T.REPLIED])
def test_no_event_makes_void_a_timer_that_was_due_before_it(trigger: Trigger) -> None:
    timer = {T.OPENED: T.NO_OPEN, T.CLICKED: T.NO_CLICK, T.REPLIED: T.NO_REPLY}[trigger]
    of = plan(send("s", on(timer, "t", after=10), on(T.BOUNCED, STOP)), send("t"), stop_on=CARRIES_ON)
    journey = started(of).sent(0)
    journey.take(happened(trigger, 11))
    assert journey.open == {timer: 10.0}


# ---- enrolling again


def test_a_campaign_that_starts_anew_goes_on_with_its_numbers_and_with_nothing_else() -> None:
    of = plan(send("s", on(T.NO_OPEN, "s", after=1)), max_visits=2)
    first = Journey(of)
    first.take(Start(T0))
    first.take(Stop(T0, "operator"))
    anew = State(S.DRAFT, visit=first.state.visit, seq=first.state.seq)
    decision = step(of, anew, Start(T0 + hours(5)), T0 + hours(5))
    assert (decision.after.visit, decision.after.seq) == (first.state.visit + 1, first.state.seq + 1)
    assert decision.after.visits == {"s": 1}
    assert decision.after.message is None
    assert [action.ref.visit for action in decision.schedule] == [decision.after.visit]


@pytest.mark.parametrize("trigger", [trigger for trigger in Trigger if not trigger.is_timer])
def test_an_event_of_an_earlier_enrolments_message_counts_only_for_the_contact(trigger: Trigger) -> None:
    of = plan(wait("w", on(trigger, STOP), on(T.NO_REPLY, "s", after=9)), send("s"))
    journey = started(of)
    journey.take(happened(trigger, 1, "of the enrolment before"))
    assert (journey.state.status is S.COMPLETED) is (trigger in CONTACT_WIDE)


@pytest.mark.parametrize("status", [S.COMPLETED, S.STOPPED, S.ERROR])
def test_nothing_that_is_late_wakes_a_campaign_that_is_over(status: CampaignStatus) -> None:
    of = plan(send("s", on(T.OPENED, "s"), on(T.FAILED, "s")), max_visits=3)
    over = replace(started(of).sent(0).state, status=status, actions=())
    for event in (happened(T.REPLIED, 1), happened(T.OPENED, 1), TimerDue(T0, "s", 1, T.NO_OPEN), Resume(T0)):
        answer = step(of, over, event, T0 + hours(1))
        assert (answer.after, answer.verdicts) == (over, (Verdict.FINAL,))


# ---- weak evidence


@pytest.mark.parametrize("least", list(Confidence))
@pytest.mark.parametrize("given_", list(Confidence))
def test_evidence_counts_from_the_weakest_that_the_way_accepts(least: Confidence, given_: Confidence) -> None:
    strength = [Confidence.MACHINE, Confidence.UNKNOWN, Confidence.HUMAN].index
    of = plan(send("s", on(T.CLICKED, STOP, min_confidence=least), on(T.NO_CLICK, "t", after=9)), send("t"))
    journey = started(of).sent(0)
    journey.take(happened(T.CLICKED, 1, confidence=given_))
    assert (journey.state.status is S.COMPLETED) is (strength(given_) >= strength(least))
    if strength(given_) < strength(least):
        journey.due(T.NO_CLICK)
        assert journey.stands == ("active", "t"), "weak evidence makes no timer void"


def test_a_click_too_weak_to_count_still_takes_the_way_of_the_open_that_it_implies() -> None:
    of = plan(send("s", on(T.CLICKED, STOP, min_confidence=Confidence.HUMAN), on(T.OPENED, "t")), send("t"))
    journey = started(of).sent(0)
    journey.take(happened(T.CLICKED, 1, confidence=Confidence.MACHINE))
    assert journey.stands == ("active", "t")
