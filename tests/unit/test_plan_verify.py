"""From a plan to a promise: every fault of meaning, exactly."""

# ruff: noqa: E501  (the tables of faults hold whole sentences; broken up, they could not be searched for)

from pathlib import Path
from typing import Any

import pytest

from dripiq.domain.errors import PlanError
from dripiq.domain.plan.facts import facts
from dripiq.domain.plan.faults import FaultCode
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.plan.verify import check_plan, verify

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


ZONE = {"timezone": "UTC"}


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
        (plan_of(wait("a", way("replied", "stop"), way("bounced", "stop"))), ("$.nodes[0].transitions", "endless_wait", 'Nothing ends the wait "a": give it a timer, such as "no_click" with "after", or a "within".')),
        (plan_of(wait("a")), ("$.nodes[0].transitions", "endless_wait", 'Nothing ends the wait "a": give it a timer, such as "no_click" with "after", or a "within".')),
        (plan_of(send("a", way("no_open", "b")), {"id": "b", "channel": "sms", "action": "send", "body": "Hi"}), ("$.nodes[1].channel", "mixed_channels", 'The node "b" is on sms, and "a" on email: write a plan for each channel.')),
        (plan_of(send("a"), timezone="UTC", quietHours={"start": "09:00", "end": "09:00"}), ("$.quietHours", "never_open", "Quiet hours that end when they start cover the whole day, so nothing is ever sent: make them differ, or remove them.")),
        (plan_of(send("a"), timezone="Europe/Berln"), ("$.timezone", "unknown_timezone", 'There is no time zone "Europe/Berln" (did you mean "Europe/Berlin"?): write an IANA name, such as "Europe/Berlin".')),
        (plan_of(send("a"), timezone="localtime"), ("$.timezone", "unknown_timezone", 'There is no time zone "localtime": write an IANA name, such as "Europe/Berlin".')),
        (plan_of(send("a"), timezone="/etc/passwd"), ("$.timezone", "unknown_timezone", 'There is no time zone "/etc/passwd": write an IANA name, such as "Europe/Berlin".')),
        (plan_of(send("a"), **ZONE, sendWindow={"start": "09:00", "end": "17:00"}, quietHours={"start": "08:00", "end": "18:00"}), ("$.sendWindow", "never_open", "The quiet hours cover every moment of the send window, so nothing is ever sent: leave some of it open.")),
        (plan_of(send("a"), version="1.1", timezone="contact", defaults={"timezone": "Berlin"}), ("$.defaults.timezone", "unknown_timezone", 'There is no time zone "Berlin": write an IANA name, such as "Europe/Berlin".')),
        (plan_of(send("a", subject="{{ contact.name }}", html=" ")), ("$.nodes[0].html", "missing_content", 'The node "a" sends a message without "html": write one.')),
        (plan_of(send("a", html="<p>{{ contact.name | upcas }}</p>")), ("$.nodes[0].html", "template_syntax", "There is no filter 'upcas' (did you mean 'upcase'?).")),
        (plan_of(send("a", variants=[{}, {"body": " "}])), ("$.nodes[0].variants[1].body", "missing_content", 'The variant "B" of the node "a" sends a message without "body": write one.')),
        (plan_of(send("a", variants=[{"subject": "{{ lad.name }}"}, {}])), ("$.nodes[0].variants[0].subject", "template_root", "Nothing is called 'lad' (did you mean 'lead'?): use contact, lead, sender, tenant or unsubscribe_url.")),
        (plan_of(send("a", body="{{ lad.name }}", variants=[{"subject": "One"}, {}])), ("$.nodes[0].body", "template_root", "Nothing is called 'lad' (did you mean 'lead'?): use contact, lead, sender, tenant or unsubscribe_url.")),
        (plan_of(send("a", replyTo="previous")), ("$.nodes[0].replyTo", "nothing_to_answer", 'The node "a" answers the message before it, and it can be reached before any was sent: remove "replyTo", or send a message on every way to it.')),
        (plan_of(send("a", way("failed", "b"), way("no_open", "b")), send("b", replyTo="previous")), ("$.nodes[1].replyTo", "nothing_to_answer", 'The node "b" answers the message before it, and it can be reached before any was sent: remove "replyTo", or send a message on every way to it.')),
        (plan_of(send("a", way("unsubscribed", "b"), way("no_open", "b")), send("b")), ("$.nodes[0].transitions[0].to", "never_taken", 'Nothing more is sent after "unsubscribed", so this leads nowhere: write "stop", or remove the transition.')),
        (plan_of(wait("a", way("opened", "stop"), way("no_open", "b")), send("b")), ("$.nodes[0].transitions[0].on", "never_taken", '"opened" can be of no message here, for none is sent before the wait "a": send one first, or remove the transition.')),
        (plan_of(send("a", way("clicked", "stop"), way("no_reply", "stop", after="P3D"), way("no_click", "b", after="P1D")), send("b")), ("$.nodes[0].transitions[1].after", "never_taken", '"no_reply" never comes to move anybody on, for "no_click" always does so after P1D: make it the earlier one, or remove it.')),
        (plan_of(send("a", way("opened", "stop", within="PT72H"), way("no_open", "stop", after="P3D")), timezone="Europe/Berlin", defaults={"days": "calendar"}), ("$.nodes[0].transitions[0].within", "window_outlives_timer", '"opened" counts for P3D, but "no_open" moves on after P3D (and days of the calendar can be shorter or longer): make "within" no longer than "after".')),
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


@pytest.mark.parametrize(
    "plan",
    [
        plan_of({"id": "a", "channel": "email", "action": "send", "subject": "Hello", "html": "<p>Hi</p>"}),
        plan_of(send("a", way("no_reply", "b")), {"id": "b", "channel": "email", "action": "send", "body": "And?", "replyTo": "previous"}),
        plan_of(send("a", way("replied", "b")), send("b", replyTo="previous")),
        plan_of(send("a", way("no_open", "b")), send("b", way("failed", "c")), send("c", replyTo="previous")),
        plan_of(send("a", variants=[{"subject": "One"}, {"name": "Two", "html": "<p>Hi</p>", "weight": 3}])),
        plan_of(wait("a", way("no_open", "b"), way("replied", "stop")), send("b")),
        plan_of(send("a", way("unsubscribed", "stop"), way("spamreport", "stop"), way("no_open", "stop"))),
        plan_of(send("a", way("opened", "stop", within="P3D"), way("no_open", "stop", after="P3D")), timezone="Europe/Berlin", defaults={"days": "calendar"}),
        plan_of(send("a", way("opened", "stop", within="PT72H"), way("no_open", "stop", after="P3D")), timezone="UTC", defaults={"days": "calendar"}),
        plan_of(send("a"), send("b"), startNodeId="a", nodes=[send("a", way("no_open", "a"))], maxVisits=1),
    ],
)  # fmt: skip
def test_what_makes_sense_though_it_looks_odd_passes(plan: dict[str, Any]) -> None:
    assert found(plan) == []


def test_a_node_to_which_only_ways_lead_that_can_never_be_taken_is_unreachable() -> None:
    ways = (way("opened", "w"), way("no_open", "w", after="P1D"), way("no_click", "b", after="P2D"))
    plan = plan_of(send("a", *ways), wait("w", way("no_click", "stop")), send("b"))
    assert found(plan) == [
        (
            "$.nodes[0].transitions[2].after",
            "never_taken",
            '"no_click" never comes to move anybody on, for "no_open" always does so after P1D: make it the earlier one, or remove it.',
        ),
        (
            "$.nodes[2]",
            "unreachable_node",
            'Nothing that can happen leads to the node "b": give it a transition that does, or remove it.',
        ),
    ]


def test_a_longer_timer_is_taken_where_an_event_makes_only_the_shorter_one_void() -> None:
    both = (way("no_open", "b", after="P1D"), way("no_click", "c", after="P2D"))
    assert found(plan_of(send("a", *both), send("b"), send("c"))) == [], "an open makes only no_open void"
    swapped = (way("no_click", "b", after="P1D"), way("no_open", "c", after="P2D"))
    codes = [code for _, code, _ in found(plan_of(send("a", *swapped), send("b"), send("c")))]
    assert codes == ["never_taken", "unreachable_node"], "a click makes both void"


def test_a_loop_that_nobody_can_go_round_is_none() -> None:
    plan = plan_of(send("a", way("no_open", "b")), send("b", way("spamreport", "a"), way("no_open", "stop")))
    assert [code for _, code, _ in found(plan)] == ["never_taken"]


def test_a_plan_without_its_start_is_looked_at_all_the_same() -> None:
    plan = plan_of(send("a", way("no_open", "a")), send("b", body=" "), startNodeId="c")
    assert [code for _, code, _ in found(plan)] == ["dangling_target", "endless_loop", "missing_content"]


def test_a_report_of_meaning_ends_somewhere() -> None:
    nodes = [send(f"n{index}", body=" ") for index in range(1200)]
    with pytest.raises(PlanError) as caught:
        check_plan(plan_of(*nodes))
    faults: Any = caught.value.facts["faults"]
    assert (len(faults), faults[-1]["code"]) == (501, "too_many")


def test_every_code_is_explained_in_the_reference() -> None:
    reference = (ROOT / "docs" / "plan-language.md").read_text(encoding="utf-8")
    assert [code for code in FaultCode if f"`{code}`" not in reference] == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "plans").glob("*.json")), ids=lambda path: path.name)
def test_every_plan_that_is_shipped_can_be_activated(path: Path) -> None:
    assert facts(check_plan(path.read_bytes())).most_messages >= 1
