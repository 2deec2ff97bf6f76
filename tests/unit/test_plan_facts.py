"""What is said of a plan without faults: how much it can do, along which paths, and how soon that is known."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dripiq.domain.plan.facts import count_as_text, facts, facts_as_data, path_as_text
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.plan.paths import Paths
from dripiq.domain.plan.verify import check_plan
from tests.unit.test_plan_verify import plan_of, send, wait, way

# ruff: noqa: E501  (the tables of plans)

QUIET = {"timezone": "UTC", "quietHours": {"start": "21:00", "end": "07:30"}}
CALENDAR = {"timezone": "Europe/Berlin", "defaults": {"days": "calendar"}}


def listed(plan: dict[str, Any], limit: int = 100) -> list[str]:
    return [path_as_text(path) for path in Paths(check_plan(plan)).shortest(limit)]


@pytest.mark.parametrize(
    ("plan", "messages", "longest", "paths"),
    [
        (plan_of(send("a")), 1, timedelta(0), 1),
        (plan_of(send("a", schedule={"delay": "PT1H"}), **QUIET), 1, timedelta(hours=11.5), 1),
        (plan_of(send("a", schedule={"delay": "P2D"}), **CALENDAR), 1, timedelta(hours=49), 1),
        (plan_of(send("a", way("bounced", "stop"))), 1, timedelta(days=30), 2),
        (plan_of(send("a", way("opened", "stop", within="P2D"))), 1, timedelta(days=2), 2),
        (plan_of(send("a", way("opened", "stop"), way("no_open", "b")), send("b")), 2, timedelta(days=3), 2),
        (plan_of(send("a", way("no_open", "b"), way("clicked", "stop")), send("b")), 2, timedelta(days=30), 3),
        (plan_of(send("a", way("opened", "w", within="PT1H"), way("no_open", "b")), wait("w", way("no_click", "b")), send("b")), 2, timedelta(days=3), 3),
        (plan_of(send("a", way("no_open", "a", after="P1D"), way("opened", "b")), send("b"), maxVisits=3), 4, timedelta(days=3), 4),
        (plan_of(send("a", way("no_click", "b", after="P1D"), way("no_open", "stop", after="PT1H"), way("clicked", "stop")), send("b")), 2, timedelta(days=1), 3),
        (plan_of(wait("w", way("replied", "stop"), way("no_reply", "a", after="PT1H")), send("a")), 1, timedelta(hours=1), 2),
    ],
)  # fmt: skip
def test_the_facts_of_a_plan_are_known_before_it_runs(
    plan: dict[str, Any], messages: int, longest: timedelta, paths: int
) -> None:
    known = facts(check_plan(plan))
    assert (known.most_messages, known.longest, known.paths, known.nodes) == (
        messages,
        longest,
        paths,
        len(plan["nodes"]),
    )
    assert known.slowest is not None
    assert known.slowest.longest == longest


def test_paths_are_listed_the_shortest_first_and_of_equal_ones_in_the_order_of_the_plan() -> None:
    plan = plan_of(
        send("a", way("no_reply", "b", after="P1D"), way("opened", "w"), way("replied", "stop")),
        send("b"),
        wait("w", way("clicked", "stop"), way("no_click", "b")),
    )
    assert listed(plan) == [
        "a -replied-> stop",
        "a -no_reply-> b -> end",
        "a -opened-> w -clicked-> stop",
        "a -opened-> w -no_click-> b -> end",
    ]
    assert listed(plan, 2) == listed(plan)[:2]


def test_a_path_says_how_many_messages_it_brings_and_how_long_it_takes() -> None:
    plan = plan_of(
        send("a", way("opened", "stop", within="PT2H"), way("no_open", "b"), schedule={"delay": "PT1H"}),
        send("b"),
        **QUIET,
    )
    [opened, not_opened] = Paths(check_plan(plan)).shortest(9)
    hour = timedelta(hours=1)
    assert (opened.messages, opened.shortest, opened.longest) == (1, hour, 13.5 * hour)
    assert (not_opened.messages, not_opened.shortest, not_opened.longest) == (2, 73 * hour, 94 * hour)


def test_a_loop_ends_where_the_plan_allows_no_more_visits() -> None:
    plan = plan_of(send("a", way("no_open", "a"), way("opened", "stop")), maxVisits=2)
    assert listed(plan) == [
        "a -opened-> stop",
        "a -no_open-> a -no_open-> maxVisits",
        "a -no_open-> a -opened-> stop",
    ]


def test_more_paths_than_anybody_could_list_are_counted_exactly() -> None:
    nodes = [
        send(f"n{i}", way("opened", f"n{i + 1}"), way("no_open", f"n{i + 1}"), way("clicked", f"n{i + 1}"))
        for i in range(400)
    ]
    known = facts(check_plan(plan_of(*nodes, send("n400"))))
    assert known.paths == 3**400
    assert count_as_text(known.paths) == "about 7.0e190"
    assert len(listed(plan_of(*nodes, send("n400")), 5)) == 5
    json.dumps(facts_as_data(known))


def test_loops_with_too_many_places_are_bounded_and_not_counted() -> None:
    names = [f"n{i}" for i in range(8)]
    events = ["opened", "clicked", "replied", "bounced", "delivered", "blocked", "failed", "no_open"]
    nodes = [send(name, *(way(on, to) for on, to in zip(events, names, strict=True))) for name in names]
    known = facts(check_plan(plan_of(*nodes, maxVisits=9)))
    assert (known.paths, known.slowest) == (None, None)
    assert known.most_messages == 72
    assert known.longest == timedelta(days=3 * 72)
    assert facts_as_data(known)["paths"] is None


def test_a_number_of_paths_can_be_read() -> None:
    assert [count_as_text(number) for number in (1, 12_345, 2**53)] == ["1", "12,345", "9,007,199,254,740,992"]
    assert [count_as_text(number) for number in (10**16, 99 * 10**40)] == ["about 1.0e16", "about 9.9e41"]
    assert count_as_text(10**5000 - 1) == "about 9.9e4999", "more digits than the interpreter turns into text"
    assert count_as_text(None) == "too many to count"


# ---- how soon

EVENTS = ["opened", "clicked", "replied", "bounced", "delivered", "blocked", "failed"]
HTML = (
    "<p>Hi {{{{ contact.name | upcase }}}}{{% if contact.title %}}, {{{{ contact.title }}}}{{% endif %}}</p><p>{i}</p>"
)


def chain() -> dict[str, Any]:
    nodes = [
        send(f"n{i}", way("no_open", f"n{i + 1}"), way("opened", "stop"), body=f"Hi {{{{ contact.name }}}} {i}")
        for i in range(999)
    ]
    return plan_of(*nodes, send("n999"))


def dense() -> dict[str, Any]:
    """Each node with every event and a timer (of several, only the first would ever fire here), to the nodes after it."""
    nodes = []
    for i in range(1000):
        to = [f"n{min(i + step, 999)}" for step in range(1, 9)]
        ways = [way(on, to[place]) for place, on in enumerate(EVENTS)]
        ways += [way("no_open", to[7], after="PT1H")]
        ways += [way("unsubscribed", "stop"), way("spamreport", "stop")]
        nodes.append(send(f"n{i}", *(ways if i < 999 else [])))
    return plan_of(*nodes)


def loops() -> dict[str, Any]:
    """One loop in which every node leads to seven others and may be entered a thousand times."""
    nodes = [
        send(
            f"n{i}",
            *(way(on, f"n{(i * 7 + place) % 1000}") for place, on in enumerate(EVENTS)),
            way("no_open", f"n{(i + 1) % 1000}"),
        )
        for i in range(1000)
    ]
    return plan_of(*nodes, maxVisits=1000)


def small_loops() -> dict[str, Any]:
    """A chain of loops of three nodes each."""
    nodes = []
    for i in range(0, 999, 3):
        for j in range(3):
            ways = [
                way("opened", f"n{i + (j + 1) % 3}"),
                way("clicked", f"n{i + (j + 2) % 3}"),
                way("no_open", f"n{min(i + 3, 999)}"),
            ]
            nodes.append(send(f"n{i + j}", *ways))
    return plan_of(*nodes, send("n999"), maxVisits=3)


def templates() -> dict[str, Any]:
    nodes = [send(f"n{i}", way("no_open", f"n{i + 1}"), html=HTML.format(i=i)) for i in range(999)]
    return plan_of(
        *nodes, send("n999"), timezone="contact", sendWindow={"start": "09:00", "end": "17:00"}, holidays="DE"
    )


SHAPES = [chain, dense, loops, small_loops, templates]


@pytest.mark.parametrize("make", SHAPES)
def test_a_thousand_nodes_are_read_proved_and_counted_within_a_second(make: Callable[[], dict[str, Any]]) -> None:
    source = json.dumps(make())
    # The second time, where it has to be: what is read once per process (time zones, holidays) is no matter of the plan.
    assert any(seconds_for(source) < 1 for _ in range(3))
    assert len(parse_plan(source).nodes) == 1000


def seconds_for(source: str) -> float:
    begun = time.process_time()
    facts(check_plan(source))
    return time.process_time() - begun


@pytest.mark.parametrize("make", SHAPES)
def test_a_listing_of_any_plan_comes_to_an_end(make: Callable[[], dict[str, Any]]) -> None:
    begun = time.process_time()
    assert len(list(Paths(check_plan(make())).shortest(100))) in (0, 100), "none, where loops hide the ends"
    assert time.process_time() - begun < 5
