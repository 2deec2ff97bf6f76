"""A coarse tick changes how soon things are heard, and not what follows from what: no window is jumped over, and nothing is heard before what came first."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from dripiq.domain.moves import NOBODY
from dripiq.domain.plan.parse import parse_plan
from dripiq.simulate.audience import made_people
from dripiq.simulate.behaviour import Behaviour
from dripiq.simulate.rehearsal import Script, rehearse
from dripiq.simulate.rehearsal_report import Report
from dripiq.simulate.virtual_clock import VirtualClock
from tests.engine.conftest import email_plan

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
NARROW = email_plan(
    {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT23H20M"}]},
    {"id": "bump"},
    sendWindow={"days": EVERY_DAY, "start": "10:20", "end": "10:50"},
)
TALK = email_plan(
    {
        "id": "intro",
        "transitions": [
            {"on": "opened", "to": "patience", "within": "P2D"},
            {"on": "no_open", "to": "stop", "after": "P2D"},
        ],
    },
    {
        "id": "patience",
        "action": "wait",
        "transitions": [{"on": "replied", "to": "stop"}, {"on": "no_reply", "to": "stop", "after": "P2D"}],
    },
)


def ways(report: Report) -> dict[tuple[str, str], int]:
    return {(node.node, way.trigger): way.visits for node in report.nodes for way in node.ways}


def play(engine: Engine, plan: dict[str, Any], behaviour: Behaviour, *, seed: int, tick: timedelta) -> Report:
    return rehearse(engine, Script(plan, made_people(40), seed, behaviour, START, tick=tick))


def test_a_timer_due_before_a_narrow_window_does_not_make_the_clock_jump_over_it() -> None:
    clock = VirtualClock(START, HOUR, START + HOUR)
    stop = clock.stop_for(datetime(2026, 1, 5, 10, 5, tzinfo=UTC), parse_plan(NARROW), [NOBODY])
    assert stop == datetime(2026, 1, 5, 10, 49, 59, tzinfo=UTC)


def test_a_send_that_is_due_in_a_narrow_window_leaves_in_it(engine: Engine) -> None:
    unread = Behaviour(bounce=0, soft_bounce=0, open=0, machine_open=0, click=0, reply=0, unsubscribe=0, complaint=0)
    report = play(engine, NARROW, unread, seed=1, tick=HOUR)
    assert report.per_day == {"2026-01-05": 40, "2026-01-06": 40}


def test_a_reply_is_not_heard_before_the_opening_that_came_before_it(engine: Engine) -> None:
    talkative = Behaviour(
        bounce=0, soft_bounce=0, open=1, machine_open=0, click=0, reply=1, unsubscribe=0, complaint=0,
        reply_after=timedelta(minutes=10),
    )  # fmt: skip
    assert ways(play(engine, TALK, talkative, seed=2, tick=HOUR))["intro", "opened"] == 40
