"""From a plan to a promise: every fault of meaning, exactly."""

# ruff: noqa: E501  (the tables of faults hold whole sentences; broken up, they could not be searched for)

from pathlib import Path
from typing import Any

import pytest

from dripiq.domain.errors import PlanError
from dripiq.domain.events import Trigger
from dripiq.domain.plan.facts import facts
from dripiq.domain.plan.faults import FaultCode, did_you_mean
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


def told(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """Path and code of all that a check says of a plan with faults."""
    with pytest.raises(PlanError) as caught:
        check_plan(plan)
    return [(fault["path"], fault["code"]) for fault in caught.value.facts["faults"]]  # type: ignore[attr-defined]


def test_a_key_without_meaning_leaves_that_of_the_rest_clear_so_one_report_has_it_all() -> None:
    ways = (way("opened", "w", after="P1D"), way("no_open", "b", within="P2D"))
    plan = plan_of(send("a", *ways), {**wait("w"), "body": "Hi"}, send("c"), defaults={"timezone": "UTC"})
    assert told(plan) == [
        ("$.defaults.timezone", "misplaced_key"),
        ("$.nodes[0].transitions[0].after", "misplaced_key"),
        ("$.nodes[0].transitions[1].within", "misplaced_key"),
        ("$.nodes[1].body", "misplaced_key"),
        ("$.nodes[0].transitions[1].to", "dangling_target"),
        ("$.nodes[1].transitions", "endless_wait"),
        ("$.nodes[2]", "unreachable_node"),
    ]


def test_where_the_form_is_not_right_what_shows_all_the_same_is_in_the_report() -> None:
    ways = (way("opened", "nowhere", within="soon"), way("opened", "stop"))
    nodes: tuple[dict[str, Any], ...] = (
        send("a", *ways, body="Hi {{ contact.name", variants=[{"subject": "{{ contcat.name }}"}, {}]),
        {"id": "b", "channel": "email", "action": "send", "html": 7},
        {"id": "c", "channel": "sms", "action": "send", "subject": "{{ not looked at"},
    )
    assert told(plan_of(*nodes, timezone="Mars", startNodeId="x")) == [
        ("$.nodes[0].transitions[0].within", "invalid_duration"),
        ("$.nodes[1].html", "wrong_type"),
        ("$.nodes[2].subject", "misplaced_key"),
        ("$.timezone", "unknown_timezone"),
        ("$.startNodeId", "dangling_target"),
        ("$.nodes[0].body", "template_syntax"),
        ("$.nodes[0].variants[0].subject", "template_root"),
        ("$.nodes[0].transitions[0].to", "dangling_target"),
        ("$.nodes[0].transitions[1].on", "ambiguous_transition"),
        ("$.nodes[1].subject", "missing_content"),
        ("$.nodes[2].body", "missing_content"),
    ]
    assert told(plan_of(send("a", body="{contact.name}"), version=1.1)) == [
        ("$.version", "wrong_type"),
        ("$.nodes[0].body", "single_braces"),
    ], "the version is meant, though it is no text"
    unnamed: dict[str, object] = {"channel": "email", "action": "wait", "transitions": []}
    assert told(plan_of(send("a", way("opened", "b"), way("no_open", "stop")), unnamed)) == [
        ("$.nodes[1].id", "missing_key")
    ], "a target may be the node whose id cannot be read"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_what_was_to_be_an_output_and_would_be_sent_as_it_stands_is_a_fault_and_other_braces_are_text(
    version: str,
) -> None:
    body = (
        'Hi {contact.name | default: "you"}, {{ contact.name }} {%- if contact.x -%} {lead.name|upcase} {% endif %} '
        '{{ "{contact.name}" }} p {color: red} {name} {contacts.name} {contact} {} { sender.name'
    )
    plan = plan_of(
        send(
            "a",
            body=body
            if version == "1.1"
            else body.replace("{name}", "").replace("{contact}", "").replace("{contacts.name}", ""),
        ),
        version=version,
    )
    assert found(plan) == [
        ("$.nodes[0].body", "single_braces", '"{contact.name | default: "you"}" would be sent as it stands: write "{{contact.name | default: "you"}}".'),
        ("$.nodes[0].body", "single_braces", '"{lead.name|upcase}" would be sent as it stands: write "{{lead.name|upcase}}".'),
    ]  # fmt: skip
    if version == "1.1":
        assert [
            code for _, code, _ in found(plan_of(send("a", html="{contact.name} { unsubscribe_url }"), version="1.1"))
        ] == ["single_braces"] * 2
    else:
        assert found(plan_of(send("a", html="{contact.name} { unsubscribe_url }"))) == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("reply", "replied"), ("open", "opened"), ("click", "clicked"), ("no_replied", "no_reply"), ("noopen", "no_open"), ("unsubscribe", "unsubscribed"), ("bounce", "bounced")],
)  # fmt: skip
def test_the_word_that_begins_alike_is_the_one_that_was_meant(typed: str, meant: str) -> None:
    assert did_you_mean(typed, [*Trigger]) == f' (did you mean "{meant}"?)'


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


def test_of_two_timers_of_one_instant_the_one_listed_first_goes_first_so_the_other_must_outlive_it() -> None:
    both = (way("no_open", "b", after="P5D"), way("no_click", "c", after="P5D"))
    assert found(plan_of(send("a", *both), send("b"), send("c"))) == [], "an open makes only no_open void"
    assert found(plan_of(send("a", *reversed(both)), send("b"), send("c"))) == [
        ("$.nodes[0].transitions[1].after", "never_taken", '"no_open" never comes to move anybody on, for "no_click" always does so after P5D, and is listed first: make it the earlier one, or remove it.'),
        ("$.nodes[1]", "unreachable_node", 'Nothing that can happen leads to the node "b": give it a transition that does, or remove it.'),
    ]  # fmt: skip


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
