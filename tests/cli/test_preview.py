"""What somebody who looks before activating can rely on."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.cli.conftest import PLAN, Dripiq, count

PEOPLE = "name,email,company,timezone\nAnn,ann@example.com,Acme,Europe/Berlin\n,bob@example.com,,\n"
NAMED = {**PLAN, "nodes": [{**PLAN["nodes"][0], "body": "Hello {{ contact.name }}"}]}  # type: ignore[dict-item]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A file with two people, one of them without a name."""
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    return path


def test_a_file_alone_is_previewed_without_a_database(dripiq: Dripiq, plan: Path, people: Path) -> None:
    nowhere = {"database_url": "postgresql://nobody@127.0.0.1:1/none"}
    answer = dripiq("campaign", "preview", plan, "--contacts", people, "--sender", "Kim <kim@example.com>", **nowhere)
    assert answer.code == 0
    assert "line 2: Ann <ann@example.com>" in answer.out
    assert "     Hello there" in answer.out
    assert "from kim@example.com (named for the campaign)" in answer.out
    assert "Contacts: 2; messages that they would get, assuming silence: 2" in answer.out


def test_a_missing_value_is_an_error_with_its_line(dripiq: Dripiq, tmp_path: Path, people: Path) -> None:
    plan = tmp_path / "named.json"
    plan.write_text(json.dumps(NAMED))
    answer = dripiq("campaign", "preview", plan, "--contacts", people, "--sender", "kim@example.com", "--json")
    assert answer.code == 1
    ann, bob = answer.json["contacts"]
    assert (ann["flags"], ann["messages"][0]["text"]) == ([], "Hello Ann")
    assert (bob["line"], bob["flags"][0]["code"], bob["flags"][0]["is_error"]) == (3, "template_missing", True)
    assert answer.json["summary"] == {"contacts": 2, "messages": 1, "errors": 1, "flags": {"template_missing": 1}}


def test_a_tenants_contacts_are_previewed_and_nothing_is_written(
    dripiq: Dripiq, plan: Path, people: Path, acme: str, engine: Engine
) -> None:
    dripiq("contacts", "import", people, "--tenant", "Acme")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO dripiq_app.communication_suppressions"
                " (id, tenant_id, channel, value, scope, type, source, first_seen_at, last_seen_at)"
                " VALUES ('s', :tenant, 'email', 'bob@example.com', 'address', 'manual', 'manual', now(), now())"
            ),
            {"tenant": acme},
        )
    answer = dripiq("campaign", "preview", plan, "--tenant", "Acme")
    assert answer.code == 0
    assert "suppressed_manual" in answer.out
    assert count(engine, "contact_campaigns") == 0
    assert dripiq("campaign", "start", plan, "--tenant", "Acme").code == 0
    assert dripiq("campaign", "preview", plan, "--tenant", "Acme", "--json").json["summary"]["flags"] == {
        "already_enrolled": 2
    }


def test_whom_a_start_would_not_know_is_an_error(dripiq: Dripiq, plan: Path, people: Path, acme: str) -> None:
    answer = dripiq("campaign", "preview", plan, "--tenant", "Acme", "--contacts", people, "--json")
    assert answer.code == 1
    assert answer.json["summary"]["flags"] == {"unknown_contact": 2}


def test_no_more_contacts_are_shown_than_asked_for_and_all_are_counted(
    dripiq: Dripiq, plan: Path, people: Path
) -> None:
    answer = dripiq("campaign", "preview", plan, "--contacts", people, "--sender", "kim@example.com", "--limit", "1")
    assert "bob@example.com" not in answer.out
    assert "… and 1 more contact (" in answer.out
    assert "Contacts: 2;" in answer.out


@pytest.mark.parametrize(
    "arguments", [[], ["--contacts", "people.csv"], ["--contacts", "people.csv", "--sender", "nobody"]]
)
def test_what_is_missing_is_said(dripiq: Dripiq, plan: Path, people: Path, arguments: list[str]) -> None:
    answer = dripiq("campaign", "preview", plan, *arguments)
    assert (answer.code, answer.out) == (2, "")


def test_a_plan_with_faults_is_not_previewed(dripiq: Dripiq, tmp_path: Path, people: Path) -> None:
    plan = tmp_path / "faulty.json"
    plan.write_text(json.dumps({**PLAN, "startNodeId": "nowhere"}))
    answer = dripiq("campaign", "preview", plan, "--contacts", people, "--sender", "kim@example.com", "--json")
    assert (answer.code, answer.error["code"]) == (1, "plan_faults")
