"""From a plan to a promise: every fault of meaning, exactly, and the bounds of what a plan can do."""

# ruff: noqa: E501  (the tables of faults hold whole sentences; broken up, they could not be searched for)

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dripiq.domain.errors import PlanError
from dripiq.domain.plan.faults import FaultCode
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.plan.verify import PlanFacts, check_plan, facts, verify

ROOT = Path(__file__).parents[2]


def way(on: str, to: str, **more: object) -> dict[str, object]:
    return {"on": on, "to": to, **more}


def send(node_id: str, *ways: dict[str, object], **more: object) -> dict[str, object]:
    message = {"subject": "Hello", "body": "Hi {{ contact.name }}"}
    return {"id": node_id, "channel": "email", "action": "send", **message, "transitions": [*ways], **more}


def wait(node_id: str, *ways: dict[str, object]) -> dict[str, object]:
    return {"id": node_id, "channel": "email", "action": "wait", "transitions": [*ways]}


def plan_of(*nodes: dict[str, object], **more: object) -> dict[str, Any]:
    return {"version": "1.0", "startNodeId": nodes[0]["id"], "nodes": [*nodes], **more}


def found(plan: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(fault.path, fault.code.value, fault.message) for fault in verify(parse_plan(plan))]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (plan_of(send("intro", way("opened", "intr"))), ("$.nodes[0].transitions[0].to", "dangling_target", 'There is no node "intr" (did you mean "intro"?): name a node\'s id or "stop".')),
        (plan_of(send("a", way("opened", "STOP"))), ("$.nodes[0].transitions[0].to", "dangling_target", 'There is no node "STOP" (did you mean "stop"?): name a node\'s id or "stop".')),
        (plan_of(send("intro"), startNodeId="into"), ("$.startNodeId", "dangling_target", 'There is no node "into" (did you mean "intro"?): name a node\'s id.')),
        (plan_of(send("intro"), startNodeId="stop"), ("$.startNodeId", "dangling_target", 'There is no node "stop": name a node\'s id.')),
        (plan_of(send("a"), send("b")), ("$.nodes[1]", "unreachable_node", 'Nothing leads to the node "b": give it a transition that does, or remove it.')),
        (plan_of(send("a", subject=" ")), ("$.nodes[0].subject", "missing_content", 'The node "a" sends a message without "subject": write one.')),
        (plan_of({"id": "a", "channel": "email", "action": "send", "subject": "Hello"}), ("$.nodes[0].body", "missing_content", 'The node "a" sends a message without "body": write one.')),
        (plan_of({"id": "a", "channel": "sms", "action": "send"}), ("$.nodes[0].body", "missing_content", 'The node "a" sends a message without "body": write one.')),
        (plan_of(send("a", way("opened", "stop"), way("bounced", "stop"), way("opened", "stop"))), ("$.nodes[0].transitions[2].on", "ambiguous_transition", '"opened" is answered by transitions[0] already: keep one.')),
        (plan_of(send("a", way("no_open", "stop", after="PT72H"), way("opened", "stop", within="PT73H"))), ("$.nodes[0].transitions[1].within", "window_outlives_timer", '"opened" counts for P3DT1H, but "no_open" moves on after P3D: make "within" no longer than "after".')),
        (plan_of(send("a", way("no_click", "b")), wait("b", way("no_open", "a"))), ("$.nodes[0]", "endless_loop", 'The loop a → b → a has no bound: break it, or set "maxVisits".')),
        (plan_of(send("a", way("no_open", "a"))), ("$.nodes[0]", "endless_loop", 'The loop a → a has no bound: break it, or set "maxVisits".')),
        (plan_of(wait("a", way("clicked", "stop"), way("opened", "stop"))), ("$.nodes[0].transitions", "endless_wait", 'Nothing ends the wait "a": give it a timer, such as "no_click" with "after", or a "within".')),
        (plan_of(wait("a")), ("$.nodes[0].transitions", "endless_wait", 'Nothing ends the wait "a": give it a timer, such as "no_click" with "after", or a "within".')),
        (plan_of(send("a", way("no_open", "b")), {"id": "b", "channel": "sms", "action": "send", "body": "Hi"}), ("$.nodes[1].channel", "mixed_channels", 'The node "b" is on sms, and "a" on email: write a plan for each channel.')),
        (plan_of(send("a"), timezone="UTC", quietHours={"start": "09:00", "end": "09:00"}), ("$.quietHours", "never_open", "Quiet hours that end when they start cover the whole day, so nothing is ever sent: make them differ, or remove them.")),
        (plan_of(send("a"), timezone="Europe/Berln"), ("$.timezone", "unknown_timezone", 'There is no time zone "Europe/Berln" (did you mean "Europe/Berlin"?): write an IANA name, such as "Europe/Berlin".')),
        (plan_of(send("a"), timezone="localtime"), ("$.timezone", "unknown_timezone", 'There is no time zone "localtime": write an IANA name, such as "Europe/Berlin".')),
        (plan_of(send("a"), timezone="/etc/passwd"), ("$.timezone", "unknown_timezone", 'There is no time zone "/etc/passwd": write an IANA name, such as "Europe/Berlin".')),
        (plan_of(send("a", body="Hi\n{{ contact.name")), ("$.nodes[0].body", "template_syntax", "Line 2: '{{' has no '}}' within 500 characters.")),
        (plan_of(send("a", subject="{contcat.name}")), ("$.nodes[0].subject", "template_root", "Nothing is called 'contcat' (did you mean 'contact'?): use contact, lead, sender, tenant or unsubscribe_url.")),
    ],
)  # fmt: skip
def test_each_slip_of_meaning_has_its_path_code_and_sentence(
    plan: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert found(plan) == [expected]


def test_a_loop_is_allowed_where_max_visits_bounds_it() -> None:
    assert found(plan_of(send("a", way("no_open", "a")), maxVisits=2)) == []


def test_an_event_without_within_may_stay_open_beside_its_timer() -> None:
    assert found(plan_of(send("a", way("opened", "stop"), way("no_open", "stop")))) == []


def test_a_text_message_needs_no_subject() -> None:
    assert found(plan_of({"id": "a", "channel": "sms", "action": "send", "body": "Hi"})) == []


def test_faults_of_form_and_of_meaning_come_in_one_report_where_the_plan_can_be_read() -> None:
    plan = plan_of(send("a", way("opened", "b")), color="red")
    with pytest.raises(PlanError) as caught:
        check_plan(plan)
    assert [fault["code"] for fault in caught.value.facts["faults"]] == ["unknown_key", "dangling_target"]  # type: ignore[attr-defined]


def test_a_plan_without_faults_is_handed_back_parsed() -> None:
    plan = plan_of(send("a"))
    assert check_plan(plan) == parse_plan(plan)


QUIET = {"timezone": "UTC", "quietHours": {"start": "21:00", "end": "07:30"}}


@pytest.mark.parametrize(
    ("plan", "messages", "longest"),
    [
        (plan_of(send("a")), 1, timedelta(0)),
        (plan_of(send("a", schedule={"delay": "PT1H"}), **QUIET), 1, timedelta(hours=11.5)),
        (plan_of(send("a", way("bounced", "stop"))), 1, timedelta(days=30)),
        (plan_of(send("a", way("opened", "stop", within="P2D"))), 1, timedelta(days=2)),
        (plan_of(send("a", way("opened", "stop"), way("no_open", "b")), send("b")), 2, timedelta(days=3)),
        (plan_of(send("a", way("no_open", "b"), way("clicked", "stop")), send("b")), 2, timedelta(days=30)),
        (plan_of(send("a", way("opened", "w", within="PT1H"), way("no_open", "b")), wait("w", way("no_click", "b")), send("b")), 2, timedelta(days=3)),
        (plan_of(send("a", way("no_open", "a", after="P1D"), way("opened", "b")), send("b"), maxVisits=3), 4, timedelta(days=3)),
    ],
)  # fmt: skip
def test_the_bounds_of_a_plan_are_known_before_it_runs(plan: dict[str, Any], messages: int, longest: timedelta) -> None:
    assert facts(check_plan(plan)) == PlanFacts(messages, longest, len(plan["nodes"]))


def test_a_thousand_nodes_are_proved_within_a_second() -> None:
    nodes = [
        send(f"n{i}", way("no_open", f"n{i + 1}"), way("opened", "stop"), body=f"Hi {{{{ contact.name }}}} {i}")
        for i in range(1000)
    ]
    plan = plan_of(*nodes, send("n1000"))
    begun = time.process_time()
    assert facts(check_plan(plan)).most_messages == 1001
    assert time.process_time() - begun < 1


def test_every_code_is_explained_in_the_reference() -> None:
    reference = (ROOT / "docs" / "plan-language.md").read_text(encoding="utf-8")
    assert [code for code in FaultCode if f"`{code}`" not in reference] == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "plans").glob("*.json")), ids=lambda path: path.name)
def test_every_plan_that_is_shipped_can_be_activated(path: Path) -> None:
    plan = check_plan(path.read_bytes())
    assert facts(plan).most_messages >= 1
