"""`dripiq plan check --paths`: what a plan can do, for people and for programs."""

import json
from pathlib import Path

from tests.cli.conftest import Dripiq

WELCOME = Path(__file__).parents[2] / "examples" / "plans" / "welcome.json"


def test_a_check_tells_how_many_paths_there_are_and_the_longest(dripiq: Dripiq) -> None:
    answer = dripiq("plan", "check", WELCOME)

    assert answer.code == 0
    assert "4 paths; the longest: intro -opened-> wait_click -no_click-> bump -> end" in answer.out
    assert "-clicked->" not in answer.out


def test_paths_are_listed_with_their_messages_and_times(dripiq: Dripiq) -> None:
    people, programs = (
        dripiq("plan", "check", WELCOME, "--paths"),
        dripiq("plan", "check", WELCOME, "--paths", "--json"),
    )

    assert [line.split() for line in people.out.splitlines()[5:7]] == [
        ["1", "PT0S", "P4DT11H30M", "intro", "-opened->", "wait_click", "-clicked->", "stop"],
        ["2", "P3D", "P3DT23H", "intro", "-no_open->", "bump", "->", "end"],
    ]
    facts = programs.json["facts"]
    assert (facts["paths"], len(facts["listed"]), facts["slowest"]) == (4, 4, facts["listed"][3])
    assert facts["listed"][0] == {
        "steps": [{"node": "intro", "on": "bounced"}],
        "end": "stop",
        "messages": 1,
        "shortest": "PT0S",
        "longest": "P3DT11H30M",
    }


def test_a_listing_that_leaves_paths_out_says_so(dripiq: Dripiq) -> None:
    def node(name: str, to: str) -> dict[str, object]:
        ways = [{"on": on, "to": to} for on in ("opened", "clicked", "no_open")]
        return {"id": name, "channel": "email", "action": "send", "subject": "Hi", "body": "Hi", "transitions": ways}

    nodes = [node(f"n{number}", f"n{number + 1}" if number < 39 else "stop") for number in range(40)]
    raw = json.dumps({"version": "1.0", "startNodeId": "n0", "nodes": nodes}).encode()
    people = dripiq("plan", "check", "-", "--paths", stdin=raw)
    programs = dripiq("plan", "check", "-", "--paths", "--json", stdin=raw)

    assert "about 1.2e19 paths" in people.out
    assert people.out.endswith("only the shortest are listed\n")
    assert (programs.json["facts"]["paths"], len(programs.json["facts"]["listed"])) == ("about 1.2e19", 100)
