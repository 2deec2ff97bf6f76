"""What somebody who asks why can rely on."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

import dripiq as dripiq_package
from dripiq.schema.ids import new_id
from tests.cli.conftest import PLAN, Dripiq

DOCUMENT = Path(__file__).parents[2] / "docs" / "explain.md"


@pytest.fixture
def ann(acme: str, engine: Engine) -> str:
    """The id of Acme's only contact, ann@example.com, whose campaign has just begun; the campaign's id."""
    contact_id, lead_id = new_id(), new_id()
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO dripiq_app.leads (id, tenant_id, name) VALUES (:lead, :tenant, 'Lead')",
            "INSERT INTO dripiq_app.lead_point_of_contacts (id, tenant_id, lead_id, name, email) VALUES (:id, :tenant, :lead, 'Ann', 'ann@example.com')",
        ):
            connection.execute(text(statement), {"tenant": acme, "lead": lead_id, "id": contact_id})
        return dripiq_package.enroll(connection, acme, PLAN, [contact_id]).enrolled[contact_id]


def test_an_address_a_contact_and_a_campaign_are_all_explained_with_the_sentence_first(
    dripiq: Dripiq, ann: str
) -> None:
    told = dripiq("explain", "ANN@example.com", "--json").json
    for named in (told["contact_id"], ann):
        assert dripiq("explain", named, "--json").json["why"] == told["why"]
    answer = dripiq("explain", "ann@example.com", "--tenant", "Acme")
    assert answer.code == 0
    assert answer.out.startswith("The message of 'hello' leaves as soon as a worker takes it up")
    for part in ("Gates", "What can happen", "Path", "Messages"):
        assert f"\n{part}" in answer.out


def test_what_keeps_a_message_is_said_with_what_helps(dripiq: Dripiq, ann: str, acme: str, engine: Engine) -> None:
    with engine.begin() as connection:
        dripiq_package.pause(connection, acme, [ann])
    told = dripiq("explain", "ann@example.com", "--json").json["campaigns"][0]
    assert (told["prospect"], told["closed"]["code"]) == ("held", "campaign_paused")
    assert told["helps"] == f"dripiq campaign resume {ann}"
    with engine.begin() as connection:
        dripiq_package.resume(connection, acme, [ann])
        connection.execute(text("UPDATE dripiq_app.email_sender_identities SET validation_status = 'pending'"))
    answer = dripiq("explain", "ann@example.com")
    assert "its sender is not verified" in answer.out
    assert "dripiq senders add kim@acme.example.com --verified --tenant Acme\n" in answer.out
    with engine.begin() as connection:
        connection.execute(text("UPDATE dripiq_app.tenants SET name = 'Acme & Sons' WHERE id = :id"), {"id": acme})
    assert "--verified --tenant 'Acme & Sons'\n" in dripiq("explain", "ann@example.com").out


@pytest.mark.usefixtures("ann")
def test_a_later_time_is_judged_from_what_is_known_now(dripiq: Dripiq) -> None:
    answer = dripiq("explain", "ann@example.com", "--at", "2031-03-05T08:30+01:00")
    assert "Judged at Wed 2031-03-05 07:30:00 UTC, from what is known at" in answer.out
    assert (
        dripiq("explain", "ann@example.com", "--at", "2031-03-05", "--json").json["at"] == "2031-03-05T00:00:00+00:00"
    )
    assert dripiq("explain", "ann@example.com", "--at", "soon").code == 2


@pytest.mark.usefixtures("ann")
def test_who_is_unknown_or_of_several_tenants_is_refused(dripiq: Dripiq, engine: Engine) -> None:
    for unknown in ("bob@example.com", "nobody"):
        answer = dripiq("explain", unknown, "--json")
        assert (answer.code, answer.error["code"]) == (4, "unknown_contact")
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO dripiq_app.tenants (id, name) VALUES ('beta', 'Beta')",
            "INSERT INTO dripiq_app.leads (id, tenant_id, name) VALUES ('lead', 'beta', 'Lead')",
            "INSERT INTO dripiq_app.lead_point_of_contacts (id, tenant_id, lead_id, name, email) VALUES ('x', 'beta', 'lead', 'Ann', 'ann@example.com')",
        ):
            connection.execute(text(statement))
    answer = dripiq("explain", "ann@example.com", "--json")
    assert (answer.code, answer.error["code"]) == (2, "ambiguous_contact")
    assert dripiq("explain", "ann@example.com", "--tenant", "Beta").out.startswith("Ann has no campaign")


@pytest.mark.usefixtures("ann")
def test_the_json_has_the_keys_that_are_documented(dripiq: Dripiq) -> None:
    (told,) = dripiq("explain", "ann@example.com", "--json").json["campaigns"]
    table = DOCUMENT.read_text().partition("| key of a campaign | |")[2]
    named = {key for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    named.add("action")  # told with the node that it is of
    assert set(told) == named
    inner = {"send": told["send"], "path": told["path"][0], "ways": told["ways"][0], "next": told["next"]}
    for key, value in inner.items():
        (row,) = re.findall(rf"^\| `{key}` \| (.*) \|$", table, re.MULTILINE)
        assert set(value) == set(re.findall(r"\w+", re.findall(r"\{(.*?)\}", row)[0])), key
