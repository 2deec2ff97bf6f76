"""`dripiq plan check`."""

import json
import re
from pathlib import Path

from dripiq.domain.plan.schema import plan_schema
from tests.cli.conftest import PLAN, Dripiq


def test_a_clean_plan_is_told_with_its_bounds(dripiq: Dripiq, plan: Path) -> None:
    answer = dripiq("plan", "check", plan, "--json")

    assert answer.code == 0
    assert (answer.json["clean"], answer.json["faults"]) == (True, [])
    assert (answer.json["facts"]["nodes"], answer.json["facts"]["most_messages"]) == (1, 1)


def test_every_fault_is_told_with_path_code_and_sentence(dripiq: Dripiq) -> None:
    node = {**PLAN["nodes"][0], "colour": 1, "transitions": [{"on": "opened", "to": "bump"}]}  # type: ignore[dict-item]
    raw = json.dumps({**PLAN, "nodes": [node]}).encode()

    people, programs = (dripiq("plan", "check", "-", *option, stdin=raw) for option in ((), ("--json",)))

    assert people.code == programs.code == 1
    assert '$.nodes[0].colour: unknown_key: There is no key "colour" here' in people.out
    assert "$.nodes[0].transitions[0].to: dangling_target: " in people.out
    assert [(fault["path"], fault["code"]) for fault in programs.json["faults"]] == [
        ("$.nodes[0].colour", "unknown_key"),
        ("$.nodes[0].transitions[0].to", "dangling_target"),
    ]


def test_what_is_no_plan_at_all_is_unreadable(dripiq: Dripiq, tmp_path: Path) -> None:
    no_json = dripiq("plan", "check", "-", stdin=b"a, b\n")
    assert no_json.code == 2
    assert "The plan is not JSON (line 1, column 1" in no_json.out

    nowhere = dripiq("plan", "check", "nowhere.json")
    folder = dripiq("plan", "check", tmp_path)
    assert (nowhere.code, folder.code) == (2, 2)
    assert "nowhere.json cannot be read: No such file or directory" in nowhere.err
    assert "Is a directory" in folder.err


def test_a_list_of_contacts_is_held_against_the_templates(dripiq: Dripiq, tmp_path: Path) -> None:
    node = {**PLAN["nodes"][0], "body": "Hello {{ contact.name }} of {{ lead.nam }}"}  # type: ignore[dict-item]
    raw = json.dumps({**PLAN, "nodes": [node]}).encode()
    people = tmp_path / "people.csv"
    people.write_text("email,name,company\na@example.com,Ann,Acme\nb@example.com,,Acme\n")

    told = dripiq("plan", "check", "-", "--contacts", people, stdin=raw)

    assert told.code == 1
    assert told.out == (
        '$.nodes[0].body: unknown_variable: No lead has lead.nam (did you mean "lead.name"?): write one of created_at, id, name, tenant_id, updated_at.\n'
        "$.nodes[0].body: missing_variable: contact.name is missing for 1 of 2; first: line 3. "
        'Supply it, or write {{ contact.name | default: "…" }}.\n'
        "2 faults\n"
    )
    assert dripiq("plan", "check", "-", stdin=raw).code == 0
    assert dripiq("plan", "check", "-", "--contacts", tmp_path / "none.csv", stdin=raw).code == 2


def test_what_people_read_is_counted_and_spelt_as_they_would(dripiq: Dripiq, plan: Path) -> None:
    told = dripiq("plan", "check", plan).out

    assert "1 node" in told
    assert "1 nodes" not in told
    assert "1 message " in told
    assert re.search(r"\d+ days? .*\(P\d+D", told)


def test_the_schema_is_printed_for_editors(dripiq: Dripiq) -> None:
    answer = dripiq("plan", "schema")

    assert answer.code == 0
    assert answer.json == plan_schema()


def test_a_list_says_how_many_it_held_and_a_bad_one_is_refused_as_an_import_would(
    dripiq: Dripiq, tmp_path: Path
) -> None:
    people = tmp_path / "people.csv"
    people.write_text("email,name\nann@example.com,Ann\nben@example.com,Ben\n")
    raw = json.dumps(PLAN).encode()
    assert "no faults, held to 2 contacts" in dripiq("plan", "check", "-", "--contacts", people, stdin=raw).out
    people.write_text("email,name,timezone\nann@example.com,Ann,Berlin\nben@example.com,Ben,\n")
    refused = dripiq("plan", "check", "-", "--contacts", people, stdin=raw)
    assert refused.code == 2
    assert 'line 2: there is no time zone "Berlin"' in refused.err
    assert "1 of 2 rows is bad, so nothing was checked" in refused.err
