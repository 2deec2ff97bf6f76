"""The published schema and the parser say the same of a plan's form, as far as a schema can say it."""

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dripiq.domain.plan import vocabulary
from dripiq.domain.plan.faults import Fault, FaultCode
from dripiq.domain.plan.parse import read_plan
from dripiq.domain.plan.schema import plan_schema

Document = dict[str, Any]
Place = tuple[Any, ...]

BEYOND_A_SCHEMA = {FaultCode.DUPLICATE_ID, FaultCode.DUPLICATE_KEY, FaultCode.INVALID_TEXT, FaultCode.INVALID_DATE}
"""What no schema can say, or (a date) not wholly."""

WAYS = [
    {"on": "opened", "to": "w", "within": "P1D", "minConfidence": "human"},
    {"on": "no_open", "to": "stop", "after": "PT72H"},
]
EMAIL: Document = {
    "version": "1.1",
    "timezone": "contact",
    "quietHours": {"start": "21:00", "end": "07:30"},
    "sendWindow": {"days": ["mon", "fri"], "start": "09:00", "end": "17:00"},
    "holidays": ["DE-BY", "2026-12-24"],
    "jitter": "PT10M",
    "startNodeId": "a",
    "maxVisits": 3,
    "stopCompanyOnReply": True,
    "defaults": {
        "timers": {"no_open": "PT72H", "no_click": "P1D", "no_reply": "P1W"},
        "stopOn": ["replied"],
        "timezone": "Europe/Berlin",
        "days": "calendar",
    },
    "nodes": [
        {
            "id": "a",
            "channel": "email",
            "action": "send",
            "subject": "S",
            "body": "B",
            "html": "<p>",
            "schedule": {"delay": "PT5M"},
            "senderIdentityId": "s1",
            "replyTo": "previous",
            "variants": [{"name": "x", "weight": 2, "subject": "T"}, {"body": "C", "html": "<i>"}],
            "transitions": WAYS,
        },
        {"id": "w", "channel": "email", "action": "wait", "transitions": [{"on": "no_click", "to": "stop"}]},
    ],
}
SMS: Document = {
    "version": "1.0",
    "timezone": "Europe/Berlin",
    "holidays": "DE",
    "startNodeId": "a",
    "nodes": [{"id": "a", "channel": "sms", "action": "send", "body": "B", "variants": [{"body": "C"}, {"weight": 9}]}],
}
SHORT: Document = {
    "version": "1.1",
    "timezone": "UTC",
    "startNodeId": "w",
    "defaults": {"days": "calendar"},
    "nodes": [{"id": "w", "channel": "email", "action": "wait", "transitions": []}],
}
BARE: Document = {"version": "1.1", "startNodeId": "w", "nodes": SHORT["nodes"]}
SAMPLES = {"email": EMAIL, "sms": SMS, "short": SHORT, "bare": BARE}
VALUES: list[Any] = [
    *(None, True, False, 0, 1, 1_000, 1_001, -1, 1.5, "", "a", "a b", "x" * 65, "stop", "STOP", "é"),
    *(
        [],
        {},
        [1],
        [{}],
        [[]],
        ["mon"],
        ["mon", "mon"],
        ["replied", "replied"],
        ["DE", "DE"],
        ["2026-12-24"],
        ["2026-13-01"],
    ),
    *("PT1H", "P1D", "P1Y", "PT", "09:00", "24:00", "9:00", "DE", "DE-BY", "de", "2026-12-24", "UTC", "contact"),
    *("email", "sms", "send", "wait", "opened", "no_open", "human", "previous", "calendar", "24h", "1.0", "1.2"),
]
LONG: list[tuple[Place, Any]] = [
    (("nodes", 0, "variants"), [{}] * 11),
    (("sendWindow", "days"), ["mon"] * 8),
    (("defaults", "stopOn"), ["replied"] * 5),
    (("holidays",), [f"{2000 + number // 12}-{number % 12 + 1:02}-01" for number in range(1_001)]),
    (("nodes",), [{"id": f"n{number}", "channel": "sms", "action": "wait"} for number in range(5_001)]),
    (("nodes", 0, "transitions"), [{"on": "opened", "to": "a"}] * 5_001),
]
"""Lists with more than may stand there, and where."""

KEYS = sorted(
    {
        *vocabulary.PLAN_KEYS,
        *vocabulary.NODE_KEYS,
        *vocabulary.VARIANT_KEYS,
        *vocabulary.TRANSITION_KEYS,
        "days",
        "delay",
        "nodez",
    }
)


@cache
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(plan_schema())
    return Draft202012Validator(plan_schema())


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Where something stands in a document, at every depth."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in entries:
        yield (*here, step)
        yield from places(inner, (*here, step))


def at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document


def changed(document: Document, place: Place, value: Any) -> Document:
    again = copy.deepcopy(document)
    at(again, place[:-1])[place[-1]] = value
    return again


def damaged(document: Document) -> Iterator[Document]:
    """The document with one thing in it dropped, renamed, replaced or added, for everything in it."""
    for place in places(document):
        parent, step = place[:-1], place[-1]
        for value in VALUES:
            yield changed(document, place, value)
        dropped = copy.deepcopy(document)
        taken = at(dropped, parent).pop(step)
        yield dropped
        if isinstance(step, str):
            for key in KEYS:
                yield changed(dropped, (*parent, key), taken)
    for parent in [(), *places(document)]:
        if isinstance(at(document, parent), dict):
            for key in KEYS:
                for value in ("PT1H", [{}], {}, "previous", "human"):
                    yield changed(document, (*parent, key), value)


@cache
def damages() -> list[tuple[Document, list[Fault]]]:
    """Every damage of the samples, and what the parser says of it."""
    too_long = [changed(EMAIL, place, value) for place, value in LONG]
    documents = [*(each for sample in SAMPLES.values() for each in damaged(sample)), *too_long]
    return [(document, read_plan(document).faults) for document in documents]


def sayable(fault: Fault, document: Document) -> bool:
    """Whether a schema can say so: not whether a region's holidays are known, nor how long a duration is."""
    if fault.code in BEYOND_A_SCHEMA:
        return False
    if fault.code is FaultCode.UNKNOWN_WORD and fault.path.startswith("$.holidays"):
        value = at(document, tuple(int(step) if step.isdigit() else step for step in re.findall(r"\w+", fault.path)))
        return not re.fullmatch(vocabulary.REGION_PATTERN, value)
    return not (
        fault.code is FaultCode.INVALID_DURATION and ("ten years" in fault.message or "calendar" in fault.message)
    )


def disagreement(document: Document, faults: list[Fault]) -> str | None:
    """How the schema differs on a document from the parser, who has found these faults."""
    refused = next(validator().iter_errors(document), None)
    if refused is not None and not faults:
        return f"the schema alone refuses {json.dumps(document)[:2000]}: {refused.message[:300]}"
    said = [fault for fault in faults if sayable(fault, document)]
    if refused is None and said:
        return f"the parser alone refuses {json.dumps(document)[:2000]}: {said[0]}"
    return None


@pytest.mark.parametrize("document", SAMPLES.values(), ids=SAMPLES)
def test_the_sample_plans_are_accepted_by_both(document: Document) -> None:
    assert read_plan(document).faults == []
    assert list(validator().iter_errors(document)) == []


def test_schema_and_parser_agree_on_every_single_damage() -> None:
    assert [difference for each in damages() if (difference := disagreement(*each))] == []


def test_the_damages_reach_both_sides_and_every_fault_of_form() -> None:
    codes = Counter(code for _, faults in damages() for code in {fault.code for fault in faults})
    every = list(FaultCode)
    of_form = every[every.index(FaultCode.WRONG_TYPE) : every.index(FaultCode.TOO_MANY) + 1]
    assert [code.value for code in of_form if not codes[code]] == []
    assert sum(not faults for _, faults in damages()) > 100


@given(data=st.data())
def test_schema_and_parser_agree_after_several_damages(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from([*SAMPLES.values()])))
    for _ in range(data.draw(st.integers(1, 4))):
        found = list(places(document))
        if not found:
            break
        place = data.draw(st.sampled_from(found))
        kind = data.draw(st.sampled_from(["replace", "drop", "rename", "copy"]))
        parent, step = at(document, place[:-1]), place[-1]
        if kind == "replace":
            parent[step] = copy.deepcopy(
                data.draw(st.sampled_from(VALUES) | st.text(max_size=8) | st.integers(-2, 2_000))
            )
        elif kind == "drop":
            del parent[step]
        elif kind == "rename" and isinstance(step, str):
            parent[data.draw(st.sampled_from(KEYS))] = parent.pop(step)
        elif kind == "copy":
            parent[step] = copy.deepcopy(at(document, data.draw(st.sampled_from(found))))
    assert disagreement(document, read_plan(document).faults) is None


def test_the_schema_names_the_keys_that_the_parser_knows() -> None:
    schema = plan_schema()
    named = {
        name: list(part["properties"])
        for name, part in (("plan", schema), *schema["$defs"].items())
        if "properties" in part
    }
    assert named == {
        "plan": [*vocabulary.PLAN_KEYS],
        "node": [*vocabulary.NODE_KEYS],
        "variant": [*vocabulary.VARIANT_KEYS],
        "transition": [*vocabulary.TRANSITION_KEYS],
    }
    inner = schema["properties"]
    assert [*inner["defaults"]["properties"]] == [*vocabulary.DEFAULTS_KEYS]
    assert [*inner["sendWindow"]["properties"]] == [*vocabulary.WINDOW_KEYS]
    assert [*inner["quietHours"]["properties"]] == [*vocabulary.QUIET_KEYS]


def test_every_key_of_the_schema_explains_itself_to_an_editor() -> None:
    schema = plan_schema()

    def unexplained(part: Any, name: str) -> Iterator[str]:
        for key, value in part.get("properties", {}).items():
            target = schema["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else {}
            if not value.get("description") and not target.get("description"):
                yield f"{name}.{key}"
            yield from unexplained(value, f"{name}.{key}")

    parts = [("plan", schema), *schema["$defs"].items()]
    silent = [name for title, part in parts for name in unexplained(part, title)]
    assert silent == []
