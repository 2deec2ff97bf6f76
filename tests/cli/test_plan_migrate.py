"""`dripiq plan migrate` and `dripiq plan rollback`."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.cli.conftest import Dripiq, count
from tests.engine.conftest import HandClock, World, email_plan, settle_tenant
from tests.processes import eventually

OLD = email_plan(
    {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT72H"}]},
    {"id": "bump", "body": "Once more."},
)
NEW = email_plan(
    {"id": "hello", "transitions": [{"on": "no_open", "to": "again", "after": "PT24H"}]},
    {"id": "again", "body": "This is intro."},
)


@pytest.fixture
def sent(engine: Engine, tmp_path: Path) -> World:
    """Acme, whose five contacts have had the first message of the old plan."""
    world = World(engine, tmp_path / "mail", HandClock(datetime.now(UTC)))
    world.tenant_id, world.sender_id, world.contacts = settle_tenant(engine, 5)
    world.enroll(OLD)
    world.work()
    return world


def write(path: Path, plan: dict[str, Any]) -> Path:
    path.write_text(json.dumps(plan))
    return path


def test_a_plan_is_surveyed_migrated_and_rolled_back(dripiq: Dripiq, sent: World, tmp_path: Path) -> None:
    new = write(tmp_path / "new.json", NEW)
    command = ("plan", "migrate", "--tenant", "Acme", "--to", new, "--map", "intro=hello")

    survey = dripiq(*command, "--dry-run", "--json")
    assert survey.code == 0
    assert survey.json["flows"] == [{"from": "intro", "to": "hello", "status": "active", "campaigns": 5}]
    assert (survey.json["applied"], survey.json["moved"], survey.json["repeats"]) == (False, 5, 5)
    assert survey.json["shifts"][0]["least"] == survey.json["shifts"][0]["most"] == "-P2D"
    assert {row["email"] for row in survey.json["repeated"]} == {f"c{n}@example.com" for n in range(1, 6)}
    assert count(sent.database, "campaign_plan_versions") == 5

    people = dripiq(*command)
    assert people.code == 0
    for line in ("campaigns that moved", "From where to where", "Timers and sends that shift", "sent a text again: 5"):
        assert line in people.out
    again = dripiq(*command, "--json")
    assert (again.code, again.json["moved"]) == (0, 0)
    assert count(sent.database, "campaign_plan_versions", "generated_by = 'migration'") == 5
    assert count(sent.database, "campaign_transitions", "trigger = 'migrated' AND actor LIKE 'cli:%'") == 5

    back = dripiq("plan", "rollback", "--tenant", "Acme", "--json")
    assert (back.code, back.json["moved"], back.json["to"]) == (0, 5, None)
    assert count(sent.database, "contact_campaigns", "current_node_id = 'intro'") == 5
    assert dripiq("plan", "rollback", "--tenant", "Acme", "--json").json["stuck_by_reason"] == {"no_version_before": 5}


def test_who_cannot_move_is_named_and_the_exit_code_says_so(dripiq: Dripiq, sent: World, tmp_path: Path) -> None:
    new = write(tmp_path / "new.json", NEW)
    sent.execute(
        "UPDATE dripiq_app.outbound_messages SET status = 'in_doubt' WHERE contact_id = :one", one=sent.contacts[0]
    )

    unmapped = dripiq("plan", "migrate", "--tenant", "Acme", "--to", new)
    mapped = dripiq("plan", "migrate", "--tenant", "Acme", "--to", new, "--map", "intro=hello", "--json")

    assert unmapped.code == mapped.code == 5
    assert "no_target 5" in unmapped.out
    assert "with --map OLD=NEW" in unmapped.err
    assert (mapped.json["moved"], mapped.json["stuck_by_reason"]) == (4, {"in_doubt": 1})


def test_a_campaign_whose_send_a_worker_holds_is_tried_again(dripiq: Dripiq, sent: World, tmp_path: Path) -> None:
    leased = "UPDATE dripiq_app.scheduled_actions SET {} WHERE contact_campaign_id = (SELECT min(id) FROM dripiq_app.contact_campaigns)"
    sent.execute(leased.format("action_type = 'send', status = 'queued', job_id = 'x', lease_until = 'infinity'"))
    new = write(tmp_path / "new.json", NEW)

    with ThreadPoolExecutor(1) as other:
        command = other.submit(
            dripiq, "plan", "migrate", "--tenant", "Acme", "--to", new, "--map", "intro=hello", "--json"
        )
        eventually(
            lambda: count(sent.database, "campaign_transitions", "trigger = 'migrated'") == 4, 30, "the others moved"
        )
        sent.execute(leased.format("action_type = 'timeout', status = 'pending', job_id = NULL, lease_until = NULL"))
        answer = command.result()

    assert (answer.code, answer.json["moved"], answer.json["stuck"]) == (0, 5, 0)


def test_where_several_plans_are_followed_one_is_named_by_hash_or_file(
    dripiq: Dripiq, sent: World, tmp_path: Path
) -> None:
    other = {**OLD, "timezone": "Europe/Berlin"}
    sent.execute(
        "UPDATE dripiq_app.contact_campaigns SET status = 'stopped' WHERE contact_id = :one", one=sent.contacts[0]
    )
    sent.enroll(other, sent.contacts[:1])
    command = ("plan", "migrate", "--tenant", "Acme", "--to", write(tmp_path / "new.json", NEW), "--map", "intro=hello")

    asked = dripiq(*command, "--json")
    assert (asked.code, asked.error["code"]) == (5, "several_plans")
    assert "--from" in asked.error["message"]
    assert sorted(asked.error["facts"]["plans"].values()) == [1, 4]
    by_hash = dripiq(
        *command, "--from", max(asked.error["facts"]["plans"], key=asked.error["facts"]["plans"].get)[:12], "--json"
    )
    by_file = dripiq(*command, "--from", write(tmp_path / "other.json", other), "--json")
    assert (by_hash.json["moved"], by_file.json["moved"]) == (4, 1)


def test_what_cannot_be_meant_is_refused_before_anything_moves(dripiq: Dripiq, sent: World, tmp_path: Path) -> None:
    faulty = write(tmp_path / "faulty.json", {**NEW, "startNodeId": "nowhere"})
    command = ("plan", "migrate", "--tenant", "Acme", "--to")

    faults = dripiq(*command, faulty)
    assert faults.code == 1
    assert "dangling_target" in faults.err
    new = write(tmp_path / "new.json", NEW)
    assert "OLD=NEW" in dripiq(*command, new, "--map", "intro").err
    unknown = dripiq(*command, new, "--map", "into=hello")
    assert (unknown.code, 'did you mean "intro"?' in unknown.err) == (2, True)
    assert dripiq(*command, new, "--from", "beefbeef").code == 4
    assert count(sent.database, "campaign_transitions", "trigger = 'migrated'") == 0
