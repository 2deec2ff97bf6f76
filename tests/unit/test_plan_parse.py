"""From JSON to a plan: every fault of form, exactly, and every default."""

# ruff: noqa: E501  (the tables of faults hold whole sentences; broken up, they could not be searched for)

import copy
import json
from datetime import date, time, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from dripiq.domain.errors import PlanError
from dripiq.domain.events import Trigger
from dripiq.domain.plan.canonical import hash_plan
from dripiq.domain.plan.durations import format_duration, parse_duration, spell_duration
from dripiq.domain.plan.faults import MAX_FAULTS, FaultCode, UnreadablePlan
from dripiq.domain.plan.model import (
    CONTACT_ZONE,
    CalendarSpan,
    Content,
    Holidays,
    NodeAction,
    QuietHours,
    SendWindow,
)
from dripiq.domain.plan.parse import parse_plan, read_plan
from dripiq.domain.plan.vocabulary import MAX_NODES
from dripiq.domain.states import Channel, Confidence

WAIT = {"id": "w", "channel": "email", "action": "wait", "transitions": [{"on": "no_click", "to": "stop"}]}
PLAN: dict[str, Any] = {
    "version": "1.0",
    "timezone": "Europe/Berlin",
    "quietHours": {"start": "21:00", "end": "07:30"},
    "startNodeId": "a",
    "nodes": [
        {
            "id": "a",
            "channel": "email",
            "action": "send",
            "subject": "Hello",
            "body": "Hi {contact.name}",
            "schedule": {"delay": "PT5M"},
            "senderIdentityId": "s1",
            "transitions": [
                {"on": "opened", "to": "w", "within": "P1D", "minConfidence": "human"},
                {"on": "no_open", "to": "stop"},
            ],
        },
        WAIT,
    ],
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The sample plan with the value at a dotted path replaced (or removed, for `...`)."""
    plan = copy.deepcopy(PLAN)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = plan
    for step in steps:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return plan


def found(source: object) -> list[tuple[str, str, str]]:
    return [(fault.path, fault.code.value, fault.message) for fault in read_plan(source).faults]  # type: ignore[arg-type]


def test_a_plan_is_read_whole_with_its_defaults() -> None:
    plan = parse_plan(json.dumps(PLAN))
    assert (plan.version, plan.timezone, plan.start_node_id) == ("1.0", "Europe/Berlin", "a")
    assert plan.quiet_hours == QuietHours(time(21), time(7, 30))
    assert plan.max_visits is None
    assert plan.stop_on == {Trigger.REPLIED, Trigger.BOUNCED, Trigger.UNSUBSCRIBED, Trigger.SPAMREPORT}
    first, wait = plan.node("a"), plan.node("w")
    assert (first.channel, first.action, first.delay) == (Channel.EMAIL, NodeAction.SEND, timedelta(minutes=5))
    assert (first.contents[0].subject, first.contents[0].body, first.sender_identity_id) == (
        "Hello",
        "Hi {{ contact.name }}",
        "s1",
    )
    opened, no_open = first.transitions
    assert (opened.to, opened.within, opened.after) == ("w", timedelta(days=1), None)
    assert opened.min_confidence is Confidence.HUMAN
    assert (no_open.after, no_open.min_confidence) == (timedelta(hours=72), Confidence.MACHINE)
    assert [way.after for way in wait.transitions] == [timedelta(hours=24)]


def test_text_bytes_and_documents_of_one_plan_are_one_plan() -> None:
    text = json.dumps(PLAN)
    plans = [parse_plan(source) for source in (text, text.encode(), b"\xef\xbb\xbf" + text.encode(), PLAN)]
    plans.append(parse_plan(MappingProxyType(PLAN)))
    assert all(plan == plans[0] for plan in plans)


def test_quiet_hours_and_zone_may_be_left_out_together() -> None:
    plan = parse_plan({"version": "1.1", "startNodeId": "w", "nodes": [WAIT]})
    assert (plan.timezone, plan.quiet_hours, plan.version) == ("UTC", None, "1.1")


def test_defaults_change_timers_and_what_stops_but_never_the_right_to_be_left_alone() -> None:
    plan = parse_plan({**PLAN, "maxVisits": 3, "defaults": {"timers": {"no_open": "PT1H"}, "stopOn": ["bounced"]}})
    assert plan.node("a").transitions[1].after == timedelta(hours=1)
    assert plan.node("w").transitions[0].after == timedelta(hours=24)
    assert plan.stop_on == {Trigger.BOUNCED, Trigger.UNSUBSCRIBED, Trigger.SPAMREPORT}
    assert plan.max_visits == 3


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Hi {contact.name}", "Hi {{ contact.name }}"),
        ("{ unsubscribe_url }", "{{ unsubscribe_url }}"),
        ("{first_name}", "{{ first_name }}"),
        ("{{ contact.name }} {{contact.name}}", "{{ contact.name }} {{contact.name}}"),
        ('{{ "{contact.name}" }} {lead.name}', '{{ "{contact.name}" }} {{ lead.name }}'),
        ("{% if contact.x %}{contact.x}{% endif %}", "{% if contact.x %}{{ contact.x }}{% endif %}"),
        ("p {color: red} {} { } {1}", "p {color: red} {} { } {1}"),
        ("{{ open {contact.name}", "{{ open {contact.name}"),
    ],
)
def test_single_braces_mean_liquid_in_version_1_0(written: str, meant: str) -> None:
    assert parse_plan(changed("nodes.0.body", written)).node("a").contents[0].body == meant


def test_single_braces_are_text_in_version_1_1() -> None:
    plan = {**changed("nodes.0.body", "{contact.name}"), "version": "1.1"}
    assert parse_plan(plan).node("a").contents[0].body == "{contact.name}"


TRIGGERS = "delivered, opened, clicked, replied, bounced, blocked, spamreport, unsubscribed, failed, no_open, no_click, no_reply"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("version", ..., ("$.version", "missing_key", '"version" is missing: add it, as "1.0".')),
        ("version", "2.0", ("$.version", "unsupported_version", 'Version "2.0" is not supported: write "1.0" or "1.1".')),
        ("version", 1.0, ("$.version", "wrong_type", '"version" must be text, not a number: write "1.0" or "1.1", with the quotes.')),
        ("maxVisits", 50.5, ("$.maxVisits", "wrong_type", '"maxVisits" must be a whole number, not 50.5: write a whole number.')),
        (
            "timezone",
            ...,
            ("$.timezone", "missing_key", '"timezone" is missing: add it, such as "Europe/Berlin"; "quietHours" is meant in some place.'),
        ),
        ("timezone", None, ("$.timezone", "wrong_type", '"timezone" must be text, not null: leave the key out or give it a value.')),
        ("startNodeId", ..., ("$.startNodeId", "missing_key", '"startNodeId" is missing: add it: the id of the first node.')),
        ("nodes", ..., ("$.nodes", "missing_key", '"nodes" is missing: add it: a list of one node at least.')),
        ("nodes", [], ("$.nodes", "missing_key", '"nodes" is an empty list: add one entry at least.')),
        ("nodes", {}, ("$.nodes", "wrong_type", '"nodes" must be a list, not an object: write a list.')),
        ("nodes", [WAIT] * (MAX_NODES + 1), ("$.nodes", "too_many", '"nodes" lists 5001: use at most 5000.')),
        ("nodes.1", True, ("$.nodes[1]", "wrong_type", "An object must stand here, not true or false.")),
        ("nodez", [], ("$.nodez", "unknown_key", 'There is no key "nodez" here (did you mean "nodes"?): remove it or correct its name.')),
        ("start node", 1, ('$["start node"]', "unknown_key", 'There is no key "start node" here (did you mean "startNodeId"?): remove it or correct its name.')),
        ("quietHours.start", "9pm", ("$.quietHours.start", "invalid_time", '"9pm" is not a time of day: write hours and minutes, "00:00" to "23:59".')),
        ("quietHours.start", "24:00", ("$.quietHours.start", "invalid_time", '"24:00" is not a time of day: write hours and minutes, "00:00" to "23:59".')),
        ("quietHours.end", ..., ("$.quietHours.end", "missing_key", '"end" is missing: add it, such as "21:00".')),
        ("quietHours", "21:00-07:30", ("$.quietHours", "wrong_type", '"quietHours" must be an object, not text: write an object.')),
        ("maxVisits", 0, ("$.maxVisits", "out_of_range", '"maxVisits" is 0: write a number from 1 to 1000.')),
        ("maxVisits", True, ("$.maxVisits", "wrong_type", '"maxVisits" must be a whole number, not true or false: write a whole number.')),
        ("defaults", {"timers": {"no_open": "x"}}, ("$.defaults.timers.no_open", "invalid_duration", '"x" is not a duration: write an ISO 8601 duration, such as "PT72H" or "P3D".')),
        ("defaults", {"timers": {"opened": "PT1H"}}, ("$.defaults.timers.opened", "unknown_key", 'There is no key "opened" here: remove it or correct its name.')),
        ("defaults", {"stopOn": ["replied", "delivered"]}, ("$.defaults.stopOn[1]", "unknown_word", '"delivered" is not known here: write one of replied, bounced, unsubscribed, spamreport.')),
        ("defaults", {"stopOn": "replied"}, ("$.defaults.stopOn", "wrong_type", '"stopOn" must be a list, not text: write a list.')),
        ("nodes.0.id", ..., ("$.nodes[0].id", "missing_key", '"id" is missing: add it.')),
        ("nodes.0.id", "Stop", ("$.nodes[0].id", "invalid_id", '"stop" is the target that ends a campaign: give the node another id.')),
        ("nodes.0.id", "a b", ("$.nodes[0].id", "invalid_id", '"a b" is not an id: use 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter, digit or _.')),
        ("nodes.1.id", "a", ("$.nodes[1].id", "duplicate_id", 'The id "a" is taken by $.nodes[0]: give each node its own.')),
        ("nodes.0.channel", ..., ("$.nodes[0].channel", "missing_key", '"channel" is missing: add it (email or sms).')),
        ("nodes.0.channel", "emial", ("$.nodes[0].channel", "unknown_word", '"emial" is not known here (did you mean "email"?): write one of email, sms.')),
        ("nodes.0.action", "pause", ("$.nodes[0].action", "unknown_word", '"pause" is not known here: write one of send, wait.')),
        ("nodes.0.body", ["Hi"], ("$.nodes[0].body", "wrong_type", '"body" must be text, not a list: write text.')),
        ("nodes.0.channel", "sms", ("$.nodes[0].subject", "misplaced_key", '"subject" does nothing here: a text message has no subject. Remove it.')),
        ("nodes.1.body", "Hi", ("$.nodes[1].body", "misplaced_key", '"body" does nothing here: a node with the action "wait" sends nothing. Remove it, or make the action "send".')),
        ("nodes.0.senderIdentityId", "", ("$.nodes[0].senderIdentityId", "invalid_id", '"" is not the id of a sender: use 1 to 64 visible ASCII characters.')),
        ("nodes.0.schedule.delay", "-PT1H", ("$.nodes[0].schedule.delay", "invalid_duration", '"-PT1H" is not a duration: write an ISO 8601 duration, such as "PT72H" or "P3D".')),
        ("nodes.0.schedule.delay", "P1M", ("$.nodes[0].schedule.delay", "invalid_duration", '"P1M" is not a duration: months and years have no fixed length: write weeks or days, such as P30D.')),
        ("nodes.0.schedule.delay", "P3651D", ("$.nodes[0].schedule.delay", "invalid_duration", '"P3651D" is not a duration: at most 3650 days (ten years) are allowed.')),
        ("nodes.0.transitions.0", 5, ("$.nodes[0].transitions[0]", "wrong_type", "An object must stand here, not a number.")),
        ("nodes.0.transitions.0.on", "open", ("$.nodes[0].transitions[0].on", "unknown_word", f'"open" is not known here (did you mean "opened"?): write one of {TRIGGERS}.')),
        ("nodes.0.transitions.0.to", ..., ("$.nodes[0].transitions[0].to", "missing_key", '"to" is missing: add it: a node\'s id or "stop".')),
        ("nodes.0.transitions.0.after", "PT1H", ("$.nodes[0].transitions[0].after", "misplaced_key", '"after" does nothing here: "opened" is an event. Write "within", or a timer (did you mean "no_open"?).')),
        ("nodes.0.transitions.1.within", "PT1H", ("$.nodes[0].transitions[1].within", "misplaced_key", '"within" does nothing here: "no_open" is a timer. Write "after".')),
        ("nodes.0.transitions.1.minConfidence", "human", ("$.nodes[0].transitions[1].minConfidence", "misplaced_key", '"minConfidence" does nothing here: "no_open" is a timer. Put it on the event that the timer waits for.')),
        ("nodes.0.transitions.0.minConfidence", "sure", ("$.nodes[0].transitions[0].minConfidence", "unknown_word", '"sure" is not known here: write one of human, machine, unknown.')),
        ("nodes.0.subject", "a\0b", ("$.nodes[0].subject", "invalid_text", "The text holds a NUL character, which PostgreSQL cannot store: remove it.")),
        ("nodes.0.subject", "a\ud800", ("$.nodes[0].subject", "invalid_text", "The text holds half of a surrogate pair: write the whole character.")),
        ("maxVisits", 2**60, ("$.maxVisits", "out_of_range", "The number is beyond 9007199254740992: write a smaller one.")),
        ("maxVisits", float("inf"), ("$.maxVisits", "out_of_range", "The number is beyond 9007199254740992: write a smaller one.")),
        ("sendWindow", {"days": ["mon", "Fri"]}, ("$.sendWindow.days[1]", "unknown_word", '"Fri" is not known here (did you mean "fri"?): write one of mon, tue, wed, thu, fri, sat, sun.')),
        ("sendWindow", {"days": ["mon", "mon"]}, ("$.sendWindow.days[1]", "duplicate_item", '"mon" stands in "days" already: keep one.')),
        ("sendWindow", {"days": []}, ("$.sendWindow.days", "missing_key", '"days" is an empty list: add one entry at least.')),
        ("sendWindow", {"start": "09:00"}, ("$.sendWindow.start", "misplaced_key", '"start" does nothing here: a window that opens also closes. Add "end", or remove it.')),
        ("sendWindow", {"end": "17:00"}, ("$.sendWindow.end", "misplaced_key", '"end" does nothing here: a window that closes also opens. Add "start", or remove it.')),
        ("holidays", "de", ("$.holidays", "unknown_word", 'No holidays are known for "de" (did you mean "DE"?): write a country, such as "DE", a part of one, such as "DE-BY", or (in a list) dates.')),
        ("holidays", ["DE-BY", "DE-BX"], ("$.holidays[1]", "unknown_word", 'No holidays are known for "DE-BX" (did you mean "DE-BB"?): write a country, such as "DE", a part of one, such as "DE-BY", or (in a list) dates.')),
        ("holidays", ["2026-02-30"], ("$.holidays[0]", "invalid_date", '"2026-02-30" is no date of the calendar: write year, month and day, such as "2026-12-24".')),
        ("holidays", ["24.12.2026"], ("$.holidays[0]", "invalid_date", '"24.12.2026" is no date of the calendar: write year, month and day, such as "2026-12-24".')),
        ("holidays", ["DE", "DE"], ("$.holidays[1]", "duplicate_item", '"DE" stands in "holidays" already: keep one.')),
        ("holidays", [5], ("$.holidays[0]", "wrong_type", 'Text must stand here: a country, such as "DE", or a date, such as "2026-12-24".')),
        ("holidays", True, ("$.holidays", "wrong_type", '"holidays" must be text or a list: write a country, such as "DE", or a list of such and dates.')),
        ("holidays", ["DE"] * 1001, ("$.holidays", "too_many", '"holidays" lists 1001: use at most 1000.')),
        ("jitter", "10m", ("$.jitter", "invalid_duration", '"10m" is not a duration: write an ISO 8601 duration, such as "PT72H" or "P3D".')),
        ("stopCompanyOnReply", "yes", ("$.stopCompanyOnReply", "wrong_type", '"stopCompanyOnReply" must be true or false, not text: write true or false.')),
        ("defaults", {"days": "48h"}, ("$.defaults.days", "unknown_word", '"48h" is not known here (did you mean "24h"?): write one of 24h, calendar.')),
        ("defaults", {"timezone": "Europe/Berlin"}, ("$.defaults.timezone", "misplaced_key", '"timezone" does nothing here: the plan\'s zone is not each contact\'s own. Remove it, or write "timezone": "contact" in the plan.')),
        ("nodes.0.replyTo", "first", ("$.nodes[0].replyTo", "unknown_word", '"first" is not known here: write "previous".')),
        ("nodes.1.variants", [{}], ("$.nodes[1].variants", "misplaced_key", '"variants" does nothing here: a node with the action "wait" sends nothing. Remove it, or make the action "send".')),
        ("nodes.1.html", "<p>", ("$.nodes[1].html", "misplaced_key", '"html" does nothing here: a node with the action "wait" sends nothing. Remove it, or make the action "send".')),
        ("nodes.1", {"id": "s", "channel": "sms", "action": "send", "body": "b", "html": "<p>"}, ("$.nodes[1].html", "misplaced_key", '"html" does nothing here: a text message has no HTML. Remove it, and write "body".')),
        ("nodes.1", {"id": "s", "channel": "sms", "action": "send", "body": "b", "replyTo": "previous"}, ("$.nodes[1].replyTo", "misplaced_key", '"replyTo" does nothing here: text messages are one thread anyway. Remove it.')),
        ("nodes.1", {"id": "s", "channel": "sms", "action": "send", "body": "b", "variants": [{"subject": "S"}, {}]}, ("$.nodes[1].variants[0].subject", "misplaced_key", '"subject" does nothing here: a text message has no subject. Remove it.')),
        ("nodes.0.variants", [], ("$.nodes[0].variants", "missing_key", '"variants" is an empty list: add one entry at least.')),
        ("nodes.0.variants", [{}] * 11, ("$.nodes[0].variants", "too_many", '"variants" lists 11: use at most 10.')),
        ("nodes.0.variants", [{"waight": 1}], ("$.nodes[0].variants[0].waight", "unknown_key", 'There is no key "waight" here (did you mean "weight"?): remove it or correct its name.')),
        ("nodes.0.variants", [{"weight": 0}], ("$.nodes[0].variants[0].weight", "out_of_range", '"weight" is 0: write a number from 1 to 1000.')),
        ("nodes.0.variants", [{"name": "short one"}], ("$.nodes[0].variants[0].name", "invalid_id", '"short one" is not a name: use 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter, digit or _.')),
        ("nodes.0.variants", [{"name": "B"}, {}], ("$.nodes[0].variants[1].name", "duplicate_id", '"B" is the name of variants[0] already: give each variant its own.')),
        ("nodes.0.variants", [{"subject": "1"}, {"subject": "2"}], ("$.nodes[0].subject", "misplaced_key", '"subject" does nothing here: every variant has its own. Remove it here, or there.')),
        ("nodes.0.subject", "e" + 31 * "\u0301", ("$.nodes[0].subject", "invalid_text", "The text holds more than 30 combining marks in a row: remove some.")),
        ("maxVisits", {1}, ("$.maxVisits", "wrong_type", "set is not a JSON value: use text, numbers, lists and objects.")),
    ],
)  # fmt: skip
def test_each_slip_of_form_has_its_path_code_and_sentence(
    path: str, value: object, expected: tuple[str, str, str]
) -> None:
    assert found(changed(path, value)) == [expected]


SEND: dict[str, Any] = {"id": "a", "channel": "email", "action": "send"}


def whole(**more: Any) -> dict[str, Any]:
    """A plan of one node, with further keys of the plan."""
    return {"version": "1.1", "startNodeId": "w", "nodes": [WAIT], **more}


def test_a_plan_of_version_1_1_is_read_whole() -> None:
    plan = parse_plan(
        whole(
            timezone="contact",
            sendWindow={"days": ["sat", "sun"], "start": "09:00", "end": "17:30"},
            holidays=["DE-BY", "2026-12-24", "FR"],
            jitter="PT30M",
            stopCompanyOnReply=True,
            defaults={"timezone": "Europe/Berlin"},
        )
    )
    assert (plan.timezone, plan.fallback_timezone) == (CONTACT_ZONE, "Europe/Berlin")
    assert plan.send_window == SendWindow(frozenset({6, 7}), time(9), time(17, 30))
    assert plan.holidays == Holidays(("DE-BY", "FR"), frozenset({date(2026, 12, 24)}))
    assert (plan.jitter, plan.stop_company_on_reply) == (timedelta(minutes=30), True)


def test_what_version_1_1_adds_may_be_left_out_and_stands_in_1_0_too() -> None:
    plain = parse_plan(whole())
    assert (plain.send_window, plain.holidays, plain.jitter) == (None, Holidays(), timedelta(0))
    assert (plain.stop_company_on_reply, plain.fallback_timezone) == (False, "UTC")
    old = parse_plan(whole(version="1.0", timezone="UTC", holidays="DE", sendWindow={}))
    assert (old.holidays, old.send_window) == (Holidays(("DE",)), SendWindow(frozenset({1, 2, 3, 4, 5})))


@pytest.mark.parametrize("keys", [{"sendWindow": {}}, {"holidays": "DE"}, {"defaults": {"days": "calendar"}}])
def test_what_is_meant_in_some_place_needs_the_zone(keys: dict[str, Any]) -> None:
    assert [fault[:2] for fault in found(whole(**keys))] == [("$.timezone", "missing_key")]
    assert found(whole(**keys, timezone="contact")) == []


def contents(**node: Any) -> tuple[Content, ...]:
    return parse_plan({**whole(), "startNodeId": "a", "nodes": [{**SEND, **node}]}).node("a").contents


def test_a_message_has_html_with_or_without_a_text_part() -> None:
    assert contents(subject="S", html="<p>H</p>") == (Content("S", None, "<p>H</p>"),)
    assert contents(subject="S", body="B", html="<p>H</p>") == (Content("S", "B", "<p>H</p>"),)
    old = {**SEND, "subject": "{a}", "html": "<i>{contact.name}</i>", "variants": [{"body": "{b}"}]}
    plan = parse_plan({**whole(version="1.0"), "startNodeId": "a", "nodes": [old]})
    assert plan.node("a").contents == (Content("{{ a }}", "{{ b }}", "<i>{{ contact.name }}</i>", "A"),)


def test_what_a_variant_leaves_out_is_the_nodes() -> None:
    variants = [{"subject": "1"}, {"name": "long", "weight": 3, "body": "2"}, {}]
    assert contents(subject="S", body="B", variants=variants) == (
        Content("1", "B", None, "A", 1),
        Content("S", "2", None, "long", 3),
        Content("S", "B", None, "C", 1),
    )


def test_a_message_can_answer_the_one_before() -> None:
    nodes = [{**SEND, "subject": "S", "body": "B", "replyTo": "previous"}, WAIT]
    plan = parse_plan({**whole(), "nodes": nodes})
    assert (plan.node("a").in_thread, plan.node("w").in_thread) == (True, False)


def spans(days: str) -> list[tuple[type, timedelta]]:
    ways = [{"on": "opened", "to": "stop", "within": "P1DT12H"}, {"on": "no_open", "to": "stop", "after": "PT72H"}]
    node = {**SEND, "subject": "S", "body": "B", "schedule": {"delay": "P1W"}}
    node["transitions"] = [*ways, {"on": "no_click", "to": "stop"}]
    defaults = {"days": days, "timers": {"no_click": "P2D"}}
    plan = parse_plan({**whole(timezone="UTC", defaults=defaults), "startNodeId": "a", "nodes": [node]})
    first, second, third = plan.node("a").transitions
    return [(type(span), span) for span in (plan.node("a").delay, first.within, second.after, third.after) if span]


def test_days_of_the_calendar_are_told_from_hours_wherever_a_duration_stands() -> None:
    lengths = [timedelta(days=7), timedelta(days=1, hours=12), timedelta(hours=72), timedelta(days=2)]
    assert spans("24h") == [(timedelta, length) for length in lengths]
    kinds = [CalendarSpan, CalendarSpan, timedelta, CalendarSpan]
    assert spans("calendar") == list(zip(kinds, lengths, strict=True))


def test_hours_that_would_turn_into_days_of_the_calendar_are_refused() -> None:
    assert parse_duration("P1DT36H") == timedelta(days=2, hours=12)
    assert type(parse_duration("P0DT36H", calendar=True)) is timedelta
    with pytest.raises(ValueError, match="beside days of the calendar stand fewer than 24 hours, as P1DT12H"):
        parse_duration("P1DT24H", calendar=True)


def test_the_way_an_accent_is_written_changes_neither_hash_nor_plan() -> None:
    apart, together = (changed("nodes.0.subject", text) for text in ("Zu\u0308rich", "Z\u00fcrich"))
    assert parse_plan(apart) == parse_plan(together)
    assert parse_plan(apart).node("a").contents[0].subject == "Z\u00fcrich"


def test_two_keys_that_only_differ_in_how_an_accent_is_written_are_one_key_twice() -> None:
    plan = {**PLAN, "z\u00fcrich": 1, "zu\u0308rich": 2}
    message = 'The key "z\u00fcrich" stands here twice, its accents written in two ways: keep one.'
    assert found(plan) == found(json.dumps(plan)) == [('$["z\u00fcrich"]', "duplicate_key", message)]
    with pytest.raises(TypeError, match="two keys"):
        hash_plan(plan)


@pytest.mark.parametrize(
    ("length", "spelt"),
    [
        (timedelta(0), "0 seconds"),
        (timedelta(days=4, hours=21), "4 days 21 hours"),
        (timedelta(days=1, hours=1, minutes=1, seconds=1), "1 day 1 hour 1 minute 1 second"),
        (timedelta(days=3650), "3,650 days"),
    ],
)
def test_a_length_is_spelt_as_people_say_it(length: timedelta, spelt: str) -> None:
    assert spell_duration(length) == spelt


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("", "unreadable", "The plan is not JSON (line 1, column 1: Expecting value)."),
        ('{"a":\n1,}', "unreadable", "The plan is not JSON (line 2, column 3: Expecting property name enclosed in double quotes)."),
        ("[]", "unreadable", "A plan is a JSON object, not a list."),
        ("null", "unreadable", "A plan is a JSON object, not null."),
        (b"\xff\xfe{}", "unreadable", "The plan is not UTF-8 (byte 0): save it as UTF-8."),
        ('{"a":NaN}', "unreadable", "The plan is not JSON that can be read: NaN is not a JSON number."),
        ('{"a":-Infinity}', "unreadable", "The plan is not JSON that can be read: -Infinity is not a JSON number."),
        ('{"a":' + "9" * 5000 + "}", "unreadable", "The plan is not JSON that can be read: the number 99999999999999999999… is too large."),
        ('{"a":' * 100_000, "unreadable", "The plan is not JSON that can be read: it is nested too deeply."),
        (" " * (1 << 20) + "{}", "too_large", "The plan is longer than 1048576 bytes: shorten it."),
        ({"a": ["x" * 1000] * 2000}, "too_large", "The plan is longer than 1048576 bytes: shorten it."),
    ],
)  # fmt: skip
def test_what_is_no_plan_document_is_said_to_be_none(source: object, code: str, message: str) -> None:
    assert found(source) == [("$", code, message)]


def test_a_key_that_stands_twice_is_a_fault_where_it_stands() -> None:
    text = json.dumps(PLAN).replace('"to": "w"', '"to": "stop", "to": "w"')
    assert found(text) == [
        ("$.nodes[0].transitions[0].to", "duplicate_key", 'The key "to" stands here twice: keep one.')
    ]


def test_deep_nesting_is_a_fault_and_no_crash() -> None:
    deep: Any = []
    for _ in range(20):
        deep = [deep]
    path = "$.nodes" + "[0]" * 15
    assert found({**PLAN, "nodes": deep}) == [
        (path, "too_deep", "The plan is nested more than 16 levels deep: flatten it.")
    ]


def test_a_document_that_holds_itself_is_refused() -> None:
    plan: dict[str, Any] = dict(PLAN)
    plan["nodes"] = plan
    assert found(plan)[0][1] == "too_deep"


def test_all_faults_are_reported_at_once_in_the_error() -> None:
    plan = changed("nodes.0.transitions.0.on", "open")
    plan["maxVisits"] = "3"
    plan["colour"] = "red"
    with pytest.raises(PlanError) as caught:
        parse_plan(plan)
    assert caught.value.message == (
        'The plan has 3 faults; the first: $.colour: There is no key "colour" here: remove it or correct its name.'
    )
    assert [fault["path"] for fault in caught.value.facts["faults"]] == [  # type: ignore[attr-defined]
        "$.colour",
        "$.maxVisits",
        "$.nodes[0].transitions[0].on",
    ]
    assert (caught.value.error_code, caught.value.exit_code) == ("plan_faults", 1)
    assert json.loads(json.dumps(caught.value.facts))["faults"][0]["code"] == "unknown_key"


def test_what_is_no_json_exits_as_unreadable() -> None:
    with pytest.raises(UnreadablePlan, match=r"^The plan has one fault: \$: The plan is not JSON") as caught:
        parse_plan("version: 1.0")
    assert (caught.value.error_code, caught.value.exit_code) == ("plan_unreadable", 2)


def test_an_unknown_key_alone_still_lets_the_plan_be_read() -> None:
    draft = read_plan({**PLAN, "colour": "red"})
    assert draft.plan is not None
    assert [fault.code for fault in draft.faults] == [FaultCode.UNKNOWN_KEY]


def test_a_report_stays_readable_however_many_faults_there_are() -> None:
    faults = found({**PLAN, **{f"key{number}": 1 for number in range(MAX_FAULTS + 7)}})
    assert len(faults) == MAX_FAULTS + 1
    assert faults[-1] == ("$", "too_many", "There are more than 500 faults: mend these first.")


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT72H", timedelta(hours=72)),
        ("P3D", timedelta(days=3)),
        ("P2W", timedelta(weeks=2)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("PT0S", timedelta(0)),
        ("P3650D", timedelta(days=3650)),
    ],
)
def test_durations_are_read_as_iso_8601_says(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "1D", "PT1", "P1H", "PT1D", "p1d", "P 1D", "P1D ", "P٣D", "P1Y", "P999999999W"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|allowed"):
        parse_duration(text)
