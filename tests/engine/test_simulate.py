"""A plan rehearsed with made people: the real engine and SQL, on a clock that jumps."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dripiq.cli.simulating import show_report
from dripiq.domain.errors import ConflictError, InputError, PlanError
from dripiq.engine.enroll import enroll
from dripiq.simulate.audience import made_people
from dripiq.simulate.behaviour import Behaviour
from dripiq.simulate.rehearsal import Look, Script, rehearse
from dripiq.simulate.rehearsal_report import NodeFlow, Report
from tests.engine.conftest import email_plan, settle_tenant

SURE = Behaviour(bounce=0, soft_bounce=0, open=1, machine_open=0, click=0, reply=0, unsubscribe=0, complaint=0)
NOBODY_READS = replace(SURE, open=0)

TWO_TOUCHES = email_plan(
    {
        "id": "intro",
        "transitions": [
            {"on": "clicked", "to": "thanks", "within": "P2D"},
            {"on": "no_click", "to": "bump", "after": "P3D"},
        ],
    },
    {"id": "bump", "transitions": [{"on": "opened", "to": "look"}]},
    {
        "id": "look",
        "action": "wait",
        "transitions": [{"on": "clicked", "to": "thanks"}, {"on": "no_click", "to": "stop", "after": "P1D"}],
    },
    {"id": "thanks"},
    version="1.1",
    quietHours={"start": "20:00", "end": "07:30"},
)


def script(plan: dict[str, Any] = TWO_TOUCHES, people: int = 40, **more: Any) -> Script:
    return Script(plan, made_people(people), **more)


def node(report: Report, name: str) -> NodeFlow:
    return next(flow for flow in report.nodes if flow.node == name)


def ways(report: Report, name: str) -> dict[str, tuple[str, int]]:
    return {way.trigger: (way.to, way.visits) for way in node(report, name).ways}


def test_everybody_comes_to_an_end_and_every_invariant_holds(engine: Engine) -> None:
    report = rehearse(engine, script(behaviour=Behaviour(bounce=0.1, complaint=0.05, unsubscribe=0.05, reply=0.2)))
    assert report.contacts == sum(outcome.contacts for outcome in report.outcomes) == 40
    assert {outcome.status for outcome in report.outcomes} <= {"completed", "stopped"}
    assert report.holds, [check for check in report.checks if check.breaches]
    assert sum(report.per_day.values()) == report.sent > 40


def test_what_comes_into_a_node_has_left_another(engine: Engine) -> None:
    report = rehearse(engine, script(behaviour=Behaviour(click=0.3, open=0.6)))
    came = dict.fromkeys(("intro", "bump", "look", "thanks"), 0) | {"intro": 40}
    for flow in report.nodes:
        for way in flow.ways:
            if not way.final:
                came[way.to] += way.visits
        assert sum(way.visits for way in flow.ways) == flow.entered
    assert {flow.node: flow.entered for flow in report.nodes} == came


def test_people_do_as_they_are_said_to(engine: Engine) -> None:
    report = rehearse(engine, script(behaviour=SURE))
    intro = node(report, "intro").counts
    assert (intro.sent, intro.delivered, intro.opened, intro.clicked, intro.machine_opened) == (40, 40, 40, 0, 0)
    assert ways(report, "intro") == {"no_click": ("bump", 40)}
    assert ways(report, "bump") == {"opened": ("look", 40)}


def test_a_mailbox_that_is_gone_bounces_and_is_never_written_to_again(engine: Engine) -> None:
    report = rehearse(engine, script(behaviour=replace(SURE, bounce=1)))
    assert report.sent == 40
    assert [(o.status, o.reason, o.contacts) for o in report.outcomes] == [("stopped", "bounced", 40)]


def test_a_reply_goes_through_the_engine_as_any_event(engine: Engine) -> None:
    report = rehearse(engine, script(behaviour=replace(SURE, reply=1)))
    assert node(report, "intro").counts.replied == 40
    assert [(o.status, o.reason) for o in report.outcomes] == [("stopped", "replied")]


def test_a_colleagues_reply_ends_the_campaigns_of_the_company_where_the_plan_says_so(engine: Engine) -> None:
    plan = {**TWO_TOUCHES, "stopCompanyOnReply": True}
    report = rehearse(engine, script(plan, behaviour=replace(SURE, reply=0.3)))
    reasons = {outcome.reason: outcome.contacts for outcome in report.outcomes}
    assert reasons["replied"] > 0
    assert reasons["company_replied"] > 0


def test_machine_opens_are_told_from_peoples(engine: Engine) -> None:
    plan = email_plan(
        {"id": "intro", "transitions": [{"on": "opened", "to": "stop", "minConfidence": "unknown"}]}, version="1.1"
    )
    report = rehearse(engine, script(plan, behaviour=replace(NOBODY_READS, machine_open=1)))
    intro = node(report, "intro")
    assert (intro.counts.opened, intro.counts.machine_opened) == (0, 40)
    assert ways(report, "intro") == {"close": ("completed", 40)}


def test_each_variant_has_its_own_results(engine: Engine) -> None:
    plan = email_plan({"id": "intro", "variants": [{"body": "One", "weight": 3}, {}]}, version="1.1")
    intro = node(rehearse(engine, script(plan, people=200)), "intro")
    assert set(intro.variants) == {"A", "B"}
    assert intro.variants["A"].sent + intro.variants["B"].sent == intro.counts.sent == 200
    assert 120 < intro.variants["A"].sent < 180


def test_text_messages_are_simulated_too(engine: Engine) -> None:
    plan = {
        "version": "1.0",
        "startNodeId": "text",
        "nodes": [
            {
                "id": "text", "channel": "sms", "action": "send", "body": "Hello",
                "transitions": [{"on": "replied", "to": "stop"}, {"on": "no_reply", "to": "stop", "after": "P1D"}],
            }
        ],
    }  # fmt: skip
    report = rehearse(engine, script(plan, behaviour=Behaviour(bounce=0, soft_bounce=0, reply=0.5)))
    counts = node(report, "text").counts
    assert (counts.delivered, counts.opened) == (40, 0)
    assert 0 < counts.replied < 40


def test_what_is_held_says_so_and_which_field_is_missing_for_how_many(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    people = made_people(40)
    people = [replace(row, name="" if row.line <= 11 else row.name) for row in people]
    plan = email_plan(
        {"id": "intro", "body": "Hello {{ contact.name }}"}, {"id": "more", "body": "{{ lead.headcount }}"}
    )
    plan["nodes"][0]["transitions"] = [{"on": "no_open", "to": "more"}]
    report = rehearse(engine, Script(plan, people, behaviour=NOBODY_READS))
    assert (node(report, "intro").held, node(report, "more").held) == (
        {"template_missing": 10},
        {"template_missing": 30},
    )
    assert ("active", "held: template_missing") in [(o.status, o.reason) for o in report.outcomes]
    assert [(fault["path"], fault["code"]) for fault in report.as_json()["lacking"]] == [
        ("$.nodes[0].subject", "missing_variable"),
        ("$.nodes[0].body", "missing_variable"),
        ("$.nodes[1].subject", "missing_variable"),
        ("$.nodes[1].body", "unknown_variable"),
    ]
    show_report(report)
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "Held, so that they got no more: 40 of 40 contacts (40 for template_missing). $.nodes[0].subject: missing_variable: "
        in told
    )
    assert f"contact.name is missing for 10 of 40; first: {people[0].email}." in told
    assert "$.nodes[1].body: unknown_variable: No lead has lead.headcount" in told


def test_the_clock_runs_no_longer_than_asked(engine: Engine) -> None:
    report = rehearse(engine, script(behaviour=SURE, days=2))
    assert report.terms.until <= report.terms.start + timedelta(days=2)
    assert [(o.status, o.reason, o.contacts) for o in report.outcomes] == [("active", "under way", 40)]


def test_a_send_misses_no_window_for_the_ticks_sake(engine: Engine) -> None:
    # Sends are due through the hour before the window's end, and the next tick lies beyond it.
    plan = email_plan(
        {"id": "intro"}, version="1.1", jitter="PT50M", sendWindow={"start": "09:00", "end": "10:00"}, timezone="UTC"
    )
    report = rehearse(engine, script(plan, tick=timedelta(hours=2)))
    assert dict(report.per_day) == {"2026-01-05": 40}


@pytest.mark.parametrize("tick", [timedelta(minutes=1), timedelta(hours=6)])
def test_events_count_for_when_they_happened_whatever_the_tick(engine: Engine, tick: timedelta) -> None:
    plan = email_plan({"id": "intro", "transitions": [{"on": "opened", "to": "stop", "within": "PT3H"}]})
    report = rehearse(engine, script(plan, people=60, behaviour=SURE, tick=tick))
    assert ways(report, "intro") == {"opened": ("completed", 25), "close": ("completed", 35)}


def test_it_touches_no_other_tenant(engine: Engine) -> None:
    other, _, contacts = settle_tenant(engine, 3)
    with engine.begin() as connection:
        enroll(connection, other, email_plan({"id": "intro"}), contacts, now=datetime(2025, 1, 1, tzinfo=UTC))
    rehearse(engine, script(people=5))
    statement = "SELECT status, count(*) FROM dripiq_app.scheduled_actions WHERE tenant_id = :tenant GROUP BY 1"
    with engine.connect() as connection:
        assert connection.execute(text(statement), {"tenant": other}).all() == [("pending", 3)]


def test_the_same_script_gives_the_same_bytes_in_another_process(database: str, tmp_path: Path) -> None:
    told = [_in_a_process(database, tmp_path, hash_seed) for hash_seed in ("1", "4242")]
    assert told[0] == told[1]
    assert json.loads(told[0])["messages"] > 20


PROGRAM = """
import sys
import orjson
from dripiq.domain.plan.verify import check_plan
from dripiq.simulate.audience import made_people
from dripiq.simulate.flow_picture import draw_flow
from dripiq.simulate.rehearsal import Script, rehearse
from dripiq.simulate.rehearsal_database import temporary_database

plan = orjson.loads(sys.argv[2])
with temporary_database(sys.argv[1]) as database:
    report = rehearse(database, Script(plan, made_people(20), seed=7))
sys.stdout.write(orjson.dumps({**report.as_json(), "picture": draw_flow(check_plan(plan), report)}).decode())
"""


def _in_a_process(database: str, folder: Path, hash_seed: str) -> str:
    plan = json.dumps({**TWO_TOUCHES, "timezone": "contact", "jitter": "PT2H"})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database, plan],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_timers_of_one_instant_have_one_order_for_everybody(engine: Engine) -> None:
    timers = [{"on": "no_open", "to": "b", "after": "P1D"}, {"on": "no_click", "to": "c", "after": "P1D"}]
    plan = email_plan({"id": "a", "transitions": timers}, {"id": "b"}, {"id": "c"})
    assert ways(rehearse(engine, script(plan, behaviour=NOBODY_READS)), "a") == {"no_open": ("b", 40)}


def test_who_watches_sees_the_clock_move_on(engine: Engine) -> None:
    looks: list[Look] = []
    report = rehearse(engine, script(people=5), looks.append)
    assert [look.time for look in looks] == sorted({look.time for look in looks})
    assert (looks[0].time, looks[-1].time) == (report.terms.start, report.terms.until)
    assert looks[-1].sent == report.sent


def test_the_same_people_rehearse_once_in_a_database(engine: Engine) -> None:
    rehearse(engine, script(people=3))
    with pytest.raises(ConflictError) as caught:
        rehearse(engine, script(people=3))
    assert caught.value.error_code == "rehearsed_before"


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": []},
        {"days": 0},
        {"start": datetime(2026, 1, 5)},  # noqa: DTZ001
        {"start": datetime(2026, 1, 5, microsecond=1, tzinfo=UTC)},
        {"tick": timedelta(0)},
    ],
)
def test_a_script_that_cannot_be_followed_is_refused(engine: Engine, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        rehearse(engine, replace(script(people=1), **wrong))
    assert caught.value.error_code == "script"


def test_a_plan_with_faults_is_not_rehearsed(engine: Engine) -> None:
    with pytest.raises(PlanError):
        rehearse(engine, script({**TWO_TOUCHES, "startNodeId": "nowhere"}))
