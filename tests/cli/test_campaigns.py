"""`dripiq campaign`, and `dripiq worker --until-idle` that sends what they start."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.cli.conftest import PLAN, Dripiq, count

PEOPLE = b"email,name\nann@example.com,Ann\nben@example.com,Ben\ncid@example.com,Cid\n"


@pytest.fixture
def people(dripiq: Dripiq, acme: str) -> str:
    """Acme's three contacts; its id."""
    assert dripiq("contacts", "import", "-", "--tenant", "Acme", stdin=PEOPLE).code == 0
    return acme


@pytest.mark.usefixtures("people")
def test_a_campaign_is_started_sent_listed_and_shown(dripiq: Dripiq, plan: Path, tmp_path: Path) -> None:
    started = dripiq("campaign", "start", plan, "--tenant", "Acme", "--json")
    assert (started.code, started.json["enrolled"], started.json["already_enrolled"]) == (0, 3, [])

    worked = dripiq("worker", "--until-idle", "--json")
    assert (worked.code, worked.json["done"]["accepted"]) == (0, 3)
    assert len(list((tmp_path / "home" / "mail").rglob("*.eml"))) == 3

    first = dripiq("campaign", "list", "--tenant", "Acme", "--limit", "2", "--json").json
    rest = dripiq("campaign", "list", "--tenant", "Acme", "--after", first["next"], "--status", "active", "--json").json
    listed = first["campaigns"] + rest["campaigns"]
    assert (len(first["campaigns"]), len(rest["campaigns"]), rest["next"]) == (2, 1, None)
    assert {campaign["email"] for campaign in listed} == {"ann@example.com", "ben@example.com", "cid@example.com"}

    campaign = dripiq("campaign", "show", listed[0]["id"], "--json").json["campaign"]
    assert (campaign["status"], campaign["current_node_id"]) == ("active", "hello")
    assert [message["status"] for message in campaign["messages"]] == ["sent"]
    assert [move["trigger"] for move in campaign["transitions"]] == ["started"]

    shown = dripiq("campaign", "show", listed[0]["id"])
    assert shown.code == 0
    assert listed[0]["email"] in shown.out

    again = dripiq("campaign", "start", plan, "--tenant", "Acme", "--json").json
    assert (again["enrolled"], len(again["already_enrolled"])) == (0, 3)


@pytest.mark.usefixtures("people")
def test_campaigns_are_paused_resumed_and_stopped(dripiq: Dripiq, plan: Path, engine: Engine) -> None:
    dripiq("campaign", "start", plan, "--tenant", "Acme")
    ids = [c["id"] for c in dripiq("campaign", "list", "--tenant", "Acme", "--json").json["campaigns"]]

    assert dripiq("campaign", "pause", ids[0], "--json").json["changed"] == 1
    assert count(engine, "contact_campaigns", "status = 'paused'") == 1

    everyone = dripiq("campaign", "pause", "--all", "--tenant", "Acme", "--json").json
    assert (everyone["changed"], everyone["unchanged"]) == (2, 0)
    assert dripiq("worker", "--until-idle", "--json").json == {"done": {}}

    unknown = dripiq("campaign", "resume", ids[0], "nothing", "--json")
    assert (unknown.code, unknown.error["facts"]["ids"]) == (4, ["nothing"])
    assert count(engine, "contact_campaigns", "status = 'paused'") == 3

    assert dripiq("campaign", "resume", *ids, "--json").json["changed"] == 3
    stopped = dripiq("campaign", "stop", "--all", "--tenant", "Acme")
    assert (stopped.code, stopped.out) == (0, "Campaigns stopped: 3\n")
    assert count(engine, "scheduled_actions", "status = 'pending'") == 0
    assert count(engine, "campaign_transitions", "trigger = 'stopped' AND actor LIKE 'cli:%'") == 3


@pytest.mark.usefixtures("people")
def test_nothing_starts_where_something_is_wrong(dripiq: Dripiq, plan: Path, engine: Engine, tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.json"
    faulty.write_text(json.dumps({**PLAN, "startNodeId": "hallo", "colour": 1}))
    start = ("campaign", "start", plan, "--tenant", "Acme", "--json")

    faults = dripiq("campaign", "start", faulty, "--tenant", "Acme", "--json")
    strangers = dripiq(*start, "--contacts", "-", stdin=b"email\nann@example.com\nzoe@example.com\n")
    bad_rows = dripiq(*start, "--contacts", "-", stdin=b"email\nann@example.com\nzoe\n")
    no_sender = dripiq(*start, "--sender", "other@acme.example.com")
    dripiq("senders", "add", "other@acme.example.com", "--tenant", "Acme")
    unverified = dripiq(*start, "--sender", "other@acme.example.com")

    assert [(a.code, a.error["code"]) for a in (faults, strangers, bad_rows, no_sender, unverified)] == [
        (1, "plan_faults"),
        (4, "unknown_contacts"),
        (2, "bad_rows"),
        (4, "unknown_sender"),
        (2, "sender_unverified"),
    ]
    assert {fault["code"] for fault in faults.error["facts"]["faults"]} == {"unknown_key", "dangling_target"}
    assert strangers.error["facts"]["unknown"] == ["zoe@example.com"]
    assert count(engine, "contact_campaigns") == count(engine, "scheduled_actions") == 0

    dripiq("senders", "add", "other@acme.example.com", "--tenant", "Acme", "--verified")
    some = dripiq(*start, "--sender", "other@acme.example.com", "--contacts", "-", stdin=b"email\nBEN@example.com\n")
    assert (some.code, some.json["enrolled"]) == (0, 1)
    assert count(engine, "contact_campaigns") == 1


def test_tenants_and_senders_are_made_once(dripiq: Dripiq) -> None:
    made = dripiq("tenants", "create", " New  Shop ", "--json").json["tenant"]
    again = dripiq("tenants", "create", "New Shop", "--json")
    assert made["name"] == "New Shop"
    assert (again.code, again.error["code"]) == (5, "tenant_exists")
    sending = {"sending_paused_at": None, "sending_paused_reason": None}
    assert dripiq("tenants", "list", "--json").json == {"tenants": [made | sending]}

    add = ("senders", "add", "Hello@Shop.example.com", "--tenant", made["id"], "--json")
    sender = dripiq(*add, "--name", "The Shop").json["sender"]
    assert (sender["email"], sender["status"], sender["default"]) == ("hello@shop.example.com", "pending", True)
    assert dripiq(*add).code == 5
    assert dripiq(*add, "--verified").json["sender"] == {**sender, "status": "verified"}
    assert "The Shop" in dripiq("senders", "list", "--tenant", "New Shop").out


@pytest.mark.usefixtures("people")
def test_a_field_that_no_contact_can_have_is_refused_before_anything_starts(
    dripiq: Dripiq, plan: Path, engine: Engine
) -> None:
    plan.write_text(json.dumps({**PLAN, "nodes": [{**PLAN["nodes"][0], "body": "Hi {{ contact.nmae }}"}]}))  # type: ignore[dict-item]
    refused = dripiq("campaign", "start", plan, "--tenant", "Acme")
    assert refused.code == 2
    assert (
        refused.err
        == 'Error: Nothing was started: $.nodes[0].body: No contact has contact.nmae (did you mean "contact.name"?): '
        "write one of created_at, email, external_ref, id, lead_id, name, tenant_id, timezone, updated_at.\n"
    )
    assert count(engine, "contact_campaigns") == 0


@pytest.mark.usefixtures("people")
def test_a_field_that_some_contacts_lack_is_counted_and_the_others_start(
    dripiq: Dripiq, plan: Path, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE dripiq_app.lead_point_of_contacts SET external_ref = id WHERE email <> (SELECT min(email) FROM dripiq_app.lead_point_of_contacts)"
        )
    plan.write_text(json.dumps({**PLAN, "nodes": [{**PLAN["nodes"][0], "body": "No. {{ contact.external_ref }}"}]}))  # type: ignore[dict-item]
    started = dripiq("campaign", "start", plan, "--tenant", "Acme")
    assert started.code == 0
    assert "$.nodes[0].body: contact.external_ref is missing for 1 of 3; first: " in started.err
    assert count(engine, "contact_campaigns") == 3
    again = dripiq("campaign", "start", plan, "--tenant", "Acme")
    assert "is missing" not in again.err, "of who has started before, nothing is to be said now"


@pytest.mark.usefixtures("people")
def test_what_is_held_says_why_in_the_list_and_in_full_when_shown(dripiq: Dripiq, plan: Path) -> None:
    plan.write_text(json.dumps({**PLAN, "nodes": [{**PLAN["nodes"][0], "body": "Out: {{ unsubscribe_url }}"}]}))  # type: ignore[dict-item]
    started = dripiq("campaign", "start", plan, "--tenant", "Acme")
    assert "DRIPIQ_PUBLIC_URL" in started.err
    assert dripiq("worker", "--until-idle").code == 0
    listed = dripiq("campaign", "list", "--tenant", "Acme", "--json").json["campaigns"]
    assert [(c["next"], c["held"]) for c in listed] == [("send", "template_missing")] * 3
    (action,) = dripiq("campaign", "show", listed[0]["id"], "--json").json["campaign"]["actions"]
    assert action["last_error"].startswith("The template needs unsubscribe_url")


@pytest.mark.usefixtures("acme")
def test_a_contact_held_for_a_missing_company_is_mended_by_an_import_and_sent(dripiq: Dripiq, plan: Path) -> None:
    plan.write_text(json.dumps({**PLAN, "nodes": [{**PLAN["nodes"][0], "body": "To {{ lead.name }}"}]}))  # type: ignore[dict-item]
    into = ("contacts", "import", "-", "--tenant", "Acme", "--json")
    dripiq(*into, stdin=b"email,name,company,external_ref\nann@example.com,Ann,,a\nben@example.com,Ben,Hafen,b\n")
    dripiq("campaign", "start", plan, "--tenant", "Acme")
    assert dripiq("worker", "--until-idle", "--json").json["done"]["accepted"] == 1
    (held,) = [c for c in dripiq("campaign", "list", "--tenant", "Acme", "--json").json["campaigns"] if c["held"]]
    assert "contacts import CSV --update" in dripiq("explain", held["id"]).out

    rows = b"email,name,company,external_ref\nANN@example.com,,Werft,\nother@example.com,Benno,Kai,b\nben@example.com,,,x\n"
    done = dripiq(*into, "--update", stdin=rows).json
    assert (done["imported"], done["updated"], done["duplicates"]) == (0, 2, [])
    assert dripiq(*into, "--update", stdin=rows).json["updated"] == 0
    dripiq("campaign", "resume", held["id"])
    assert dripiq("worker", "--until-idle", "--json").json["done"]["accepted"] == 1
