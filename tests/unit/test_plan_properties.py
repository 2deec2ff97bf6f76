"""What holds for every document and every plan, not only for those that somebody thought of."""

import hashlib
import json
from datetime import timedelta
from typing import Any
from unicodedata import normalize

from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.errors import PlanError
from dripiq.domain.plan.canonical import canonical_json, hash_plan
from dripiq.domain.plan.durations import MAX_DURATION, format_duration, parse_duration
from dripiq.domain.plan.facts import facts
from dripiq.domain.plan.graph import components
from dripiq.domain.plan.parse import parse_plan, read_plan
from dripiq.domain.plan.verify import check_plan

texts = st.text(st.characters(codec="utf-8"), max_size=12)
accents = st.sampled_from(["é", "e\u0301", "Å", "\u212b", "ậ", "a\u0302\u0323", "한", "\u1112\u1161\u11ab"])
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
values = st.recursive(
    scalars | accents,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts.map(lambda key: normalize("NFC", key)), inner, max_size=4)
    ),
    max_leaves=12,
)
documents = st.dictionaries(texts.map(lambda key: normalize("NFC", key)), values, max_size=6)
keys = st.text() | st.sampled_from(["nodes", "version", "id", "defaults", "transitions", "quietHours"])
anything = st.recursive(
    scalars | st.floats() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20
)


def shuffled(value: Any, draw: Any) -> Any:
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    return [shuffled(item, draw) for item in value] if isinstance(value, list) else value


@given(document=documents, data=st.data())
def test_the_hash_of_a_plan_does_not_depend_on_the_order_of_keys_or_the_layout(
    document: dict[str, Any], data: Any
) -> None:
    again = json.loads(json.dumps(shuffled(document, data.draw), indent=3))
    assert hash_plan(again) == hash_plan(document)


def rewritten(value: Any, form: Any) -> Any:
    """The document with every text and key in that Unicode form."""
    if isinstance(value, str):
        return normalize(form, value)
    if isinstance(value, dict):
        return {normalize(form, key): rewritten(item, form) for key, item in value.items()}
    return [rewritten(item, form) for item in value] if isinstance(value, list) else value


@given(document=documents, form=st.sampled_from(["NFC", "NFD"]))
def test_the_hash_of_a_plan_does_not_depend_on_how_accents_are_written(document: dict[str, Any], form: str) -> None:
    assert hash_plan(rewritten(document, form)) == hash_plan(document)


@given(document=documents)
def test_the_canonical_form_is_what_the_standard_library_writes_of_composed_texts(document: dict[str, Any]) -> None:
    whole = rewritten(document, "NFC")
    plain = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical_json(document) == plain
    assert hash_plan(document) == hashlib.sha256(plain).hexdigest()


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """Plans without faults: chains of nodes that only lead onward."""
    count = draw(st.integers(1, 8))
    channel = draw(st.sampled_from(["email", "sms"]))
    nodes: list[dict[str, Any]] = []
    for index in range(count):
        onward = [f"n{index + 1}" if index + 1 < count else "stop"]
        later = st.sampled_from([*[f"n{to}" for to in range(index + 1, count)], "stop"])
        kind, event = draw(st.sampled_from([("no_open", "opened"), ("no_click", "clicked"), ("no_reply", "replied")]))
        hours = draw(st.integers(1, 500))
        ways: list[dict[str, Any]] = [{"on": kind, "to": onward[0], "after": f"PT{hours}H"}]
        if draw(st.booleans()):
            ways.append({"on": event, "to": draw(later), "within": f"PT{draw(st.integers(0, hours))}H"})
        if draw(st.booleans()):
            ways.append({"on": "bounced", "to": "stop"})
        node: dict[str, Any] = {"id": f"n{index}", "channel": channel}
        kinds = st.sampled_from(["send", "wait"] if index else ["send"])  # a wait answers events of a message before it
        node |= {"action": draw(kinds), "transitions": ways}
        if node["action"] == "send":
            node |= {"body": draw(st.sampled_from(["Hi", "Hi {{ contact.name }}", "Hi {contact.name}"]))}
            node |= {"subject": "S"} if node["channel"] == "email" else {}
        nodes.append(node)
    return {"version": "1.0", "startNodeId": "n0", "nodes": nodes}


@given(plan=plans())
def test_a_plan_made_by_the_rules_has_no_faults_and_known_bounds(plan: dict[str, Any]) -> None:
    parsed = check_plan(json.dumps(plan))
    assert parsed.plan_hash == hash_plan(plan)
    assert list(parsed.nodes) == [node["id"] for node in plan["nodes"]]
    bounds = facts(parsed)
    assert bounds.most_messages == sum(node["action"] == "send" for node in plan["nodes"])
    assert timedelta(0) < bounds.longest <= timedelta(days=31) * len(plan["nodes"])


@given(plan=plans(), data=st.data())
def test_a_plan_damaged_anywhere_is_read_or_refused_and_never_crashes(plan: dict[str, Any], data: Any) -> None:
    place: Any = plan
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(scalars | st.floats() | st.lists(scalars, max_size=2) | documents)
    read_or_refused(plan)


@given(document=anything)
def test_no_json_at_all_raises_anything_but_a_plan_error(document: Any) -> None:
    read_or_refused(json.dumps(document))
    if isinstance(document, dict):
        read_or_refused(document)


@given(source=st.text() | st.binary())
def test_no_bytes_at_all_raise_anything_but_a_plan_error(source: str | bytes) -> None:
    read_or_refused(source)


def read_or_refused(source: Any) -> None:
    plan, faults, _ = read_plan(source)
    assert plan is not None or faults
    try:
        check_plan(source)
    except PlanError as error:
        listed: Any = error.facts["faults"]
        assert listed
        assert all(fault["path"].startswith("$") and fault["message"].endswith(".") for fault in listed)
        json.dumps(listed).encode()
    else:
        assert parse_plan(source) == plan


@given(seconds=st.integers(0, int(MAX_DURATION.total_seconds())), micros=st.sampled_from([0, 0, 1, 500_000]))
def test_a_duration_is_read_back_as_it_was_written(seconds: int, micros: int) -> None:
    length = min(timedelta(seconds=seconds, microseconds=micros), MAX_DURATION)
    assert parse_duration(format_duration(length)) == length


@given(edges=st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), unique=True), max_size=10))
def test_components_are_the_nodes_that_lead_to_each_other_and_come_after_what_they_lead_to(
    edges: dict[int, list[int]],
) -> None:
    graph = {str(node): [str(target) for target in edges.get(node, []) if target in edges] for node in edges}
    reach = {node: {node} for node in graph}
    for _ in graph:
        reach = {node: found.union(*(graph[each] for each in found)) for node, found in reach.items()}
    found = components(graph)
    assert sorted(node for members in found for node in members) == sorted(graph)
    place = {node: index for index, members in enumerate(found) for node in members}
    for one in graph:
        for other in reach[one]:
            assert (place[one] == place[other]) == (one in reach[other])
            assert place[other] <= place[one]
