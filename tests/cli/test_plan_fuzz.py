"""No input, however odd, makes `dripiq plan check` crash, hang for over a second, or use over 200 MB.

Times are of the processor, so that they mean the same beside other tests; a program that is started is held against one with an ordinary plan.
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dripiq.domain.errors import PlanError
from dripiq.domain.plan.document import MAX_BYTES
from dripiq.domain.plan.facts import facts
from dripiq.domain.plan.faults import MAX_FAULTS, FaultCode
from dripiq.domain.plan.liquid import MAX_LIQUID
from dripiq.domain.plan.verify import check_plan
from tests.cli.plan_bombs import BOMBS, LIQUID, body, packed, plan, send

SECONDS = 1.0
MEMORY = 200 * 1024 * 1024

PROBE = """
import atexit, re, sys, time
def tell():
    peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
    print(time.process_time(), int(peak) * 1024, file=sys.stderr)
atexit.register(tell)
from dripiq.cli.main import main
main()
"""
WORST = [
    *(
        "10 MB of nodes",
        "empty objects for nodes",
        "lone surrogates in many",
        "composed keys",
        "targets that nearly are there",
    ),
    *(
        "letters that grow when composed",
        "a loop of 5,000 nodes",
        "a mesh with loops",
        "liquid, a plan full: ors",
        "liquid, a plan full: outputs",
    ),
]


def checked(source: Any) -> list[dict[str, str]]:
    """The faults of a plan, looked for as the command does; within the time, at the best of three tries (what is slow is slow again; a busy machine
    is not)."""
    for _ in range(3):
        start = time.process_time()
        try:
            facts(check_plan(source))
            found: Any = []
        except PlanError as error:
            found = error.facts["faults"]
            assert found
        taken = time.process_time() - start
        if taken <= SECONDS:
            break
    assert taken <= SECONDS
    json.dumps(found).encode()
    return list(found)


@pytest.fixture(scope="module", autouse=True)
def _warm() -> Iterator[None]:
    """What is loaded once (zones, holidays) is no input's doing; neither is what the run holds beside, for the garbage collector to walk through."""
    checked(plan(timezone="Europe/Berlin", holidays="DE"))
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("name", BOMBS)
def test_no_bomb_crashes_or_holds_up_a_check(name: str) -> None:
    found = checked(BOMBS[name])
    assert len(found) <= MAX_FAULTS + 1
    assert len(json.dumps(found)) < 1_000_000


def measured(source: bytes) -> tuple[float, int, subprocess.CompletedProcess[bytes]]:
    """Seconds of the processor, and bytes at the peak, that the real command takes."""
    command = [sys.executable, "-c", PROBE, "plan", "check", "-"]
    done = subprocess.run(command, input=source, capture_output=True, timeout=60, check=False)
    seconds, peak = done.stderr.decode().splitlines()[-1].split()
    return float(seconds), int(peak), done


@pytest.fixture(scope="module")
def ordinary() -> float:
    return measured((Path(__file__).parents[2] / "examples" / "plans" / "welcome.json").read_bytes())[0]


@pytest.mark.parametrize("name", WORST)
def test_the_command_answers_a_bomb_in_time_and_within_its_memory(name: str, ordinary: float) -> None:
    seconds, peak, done = measured(BOMBS[name])
    assert done.returncode in {0, 1, 2}
    assert b"Traceback" not in done.stderr
    assert seconds - ordinary <= SECONDS
    assert peak <= MEMORY


def test_an_endless_file_is_read_no_further_than_a_plan_may_be_long(ordinary: float) -> None:
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(
            [sys.executable, "-m", "dripiq", "plan", "check", "-"],
            stdin=endless,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout.partition(b":")[0]) == (1, b"$")
    assert b"too_large" in done.stdout


def test_what_lies_in_memory_already_is_bounded_too() -> None:
    assert [fault["code"] for fault in checked({"nodes": {str(number): 1 for number in range(2_000_000)}})] == [
        "too_large"
    ]
    assert [fault["code"] for fault in checked({"nodes": [0] * 2_000_000})] == ["too_large"]
    assert [fault["code"] for fault in checked({"nodes": ["x" * MAX_BYTES]})] == ["too_large"]


def test_a_plan_may_hold_much_plain_text_but_only_so_much_liquid() -> None:
    chain = packed("Hi {{ contact.name | default: 'there' }}")
    assert {fault["code"] for fault in checked(chain)} <= {FaultCode.TOO_MANY}
    plain = packed('Hi {{ contact.name | default: "there" }}, {{ lead.name }}. ')
    assert checked(plain) == []

    one = "{{ contact.name | upcase }}"
    fits = [send("n0", body=one * 999)]
    assert checked(plan(*fits)) == []
    [fault] = checked(packed(one * 999))
    assert (fault["path"], fault["code"]) == ("$.nodes", "too_many")
    assert f"use at most {MAX_LIQUID:,}" in fault["message"]


def test_the_same_template_in_many_nodes_counts_once() -> None:
    nodes = [
        send(
            f"n{index}",
            body="{{ contact.name | upcase }}" * 99,
            transitions=[{"on": "no_reply", "to": f"n{index + 1}"}],
        )
        for index in range(99)
    ]
    assert checked(plan(*nodes, send("n99"))) == []


fragments = st.sampled_from(
    [
        *(
            "{{",
            "}}",
            "{%",
            "%}",
            "{",
            "}",
            "if",
            "endif",
            "for i in",
            "case",
            "when",
            "assign a =",
            "capture x",
            "endfor",
            "else",
            "elsif",
        ),
        *(
            "contact.name",
            "contact",
            "x",
            "lead['name']",
            "[0]",
            "|",
            ":",
            ",",
            "default",
            '"',
            "'",
            "(1..9)",
            "and",
            "or",
            "not",
            "==",
        ),
        *(
            "-",
            "1",
            "1e9",
            "\n",
            " ",
            "é",
            "raw",
            "#",
            "echo",
            "liquid",
            "comment",
            "include 'a'",
            "tablerow i in x",
            "cycle 'a'",
        ),
    ]
)
hostile = st.one_of(
    st.sampled_from(
        ["\ud800", "\0", "é", "e\u0301", "a" * 70, "{{", "{%", "P", "PT", "9" * 40, "stop", "\u202e", "\U0001d160"]
    ),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
)
KEYS = [
    "id",
    "channel",
    "action",
    "subject",
    "body",
    "html",
    "variants",
    "transitions",
    "on",
    "to",
    "within",
    "after",
    "schedule",
    "delay",
]
PLAN_KEYS = [
    "nodes",
    "defaults",
    "timers",
    "holidays",
    "sendWindow",
    "days",
    "start",
    "end",
    "timezone",
    "quietHours",
    "jitter",
    "maxVisits",
]
trees = st.recursive(
    hostile,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from([*KEYS, *PLAN_KEYS]) | st.text(max_size=5), inner, max_size=8)
    ),
    max_leaves=30,
)


@given(source=st.binary(max_size=300) | st.text(max_size=300))
def test_no_bytes_crash_a_check(source: bytes | str) -> None:
    checked(source)


@given(tree=trees, rest=st.dictionaries(st.sampled_from([*PLAN_KEYS, "version", "startNodeId"]), trees, max_size=6))
def test_no_document_crashes_a_check(tree: Any, rest: dict[str, Any]) -> None:
    checked({"version": "1.0", "startNodeId": "a", "nodes": [tree], **rest})
    checked(json.dumps(rest))


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(pieces=st.lists(fragments, max_size=25), version=st.sampled_from(["1.0", "1.1"]))
def test_no_template_crashes_a_check(pieces: list[str], version: str) -> None:
    for between in ("", " "):
        checked(body(between.join(pieces), version))


@given(name=st.sampled_from([*LIQUID]), cut=st.integers(0, 5_000))
def test_no_template_that_breaks_off_crashes_a_check(name: str, cut: int) -> None:
    checked(body(LIQUID[name][: cut % (len(LIQUID[name]) + 1)]))
