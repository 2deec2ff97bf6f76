"""`dripiq db`, and what every command says of a database that it cannot work on."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from dripiq.db.partitions import ensure_partitions
from tests.cli.conftest import Dripiq, count

NOWHERE = "postgresql://dripiq:geheim@127.0.0.1:1/outreach"
CAMPAIGN_TABLES = 13
HOST_TABLES = {"tenants", "users", "leads", "lead_point_of_contacts"}


def test_a_database_goes_up_and_back(dripiq: Dripiq, empty_database: str) -> None:
    def db(*arguments: str) -> dict[str, object]:
        answer = dripiq("db", *arguments, "--json", database_url=empty_database)
        assert answer.code == 0, answer.out
        found: dict[str, object] = answer.json
        return found

    empty = db("status")
    assert (empty["current"], empty["is_current"], empty["tables"]) == (None, False, [])

    behind = dripiq("worker", database_url=empty_database)
    assert behind.code == 3
    assert "run `dripiq db upgrade`" in behind.err

    full = db("upgrade")
    assert (full["current"], full["is_current"], full["pending"]) == (full["head"], True, [])

    base = db("downgrade", "0024")
    assert set(base["tables"]) == HOST_TABLES  # type: ignore[call-overload]
    assert db("upgrade") == full


def test_rows_stop_a_downgrade_unless_they_are_discarded(dripiq: Dripiq, engine: Engine) -> None:
    assert dripiq("db", "seed").code == 0

    refused = dripiq("db", "downgrade", "0024", "--json")
    assert (refused.code, refused.error["code"]) == (3, "rows_would_be_lost")
    assert count(engine, "contact_campaigns") > 0

    assert dripiq("db", "downgrade", "0024", "--discard").code == 0
    assert dripiq("db", "upgrade", "0099").code == 2


def test_seeding_again_changes_nothing_and_nothing_is_sent_before_it_is_resumed(dripiq: Dripiq, engine: Engine) -> None:
    made = dripiq("db", "seed", "--json").json
    again = dripiq("db", "seed", "--json").json

    assert made["campaigns_made"] == made["contacts_made"] == count(engine, "contact_campaigns", "status = 'paused'")
    assert again == {**dict.fromkeys(made, 0), "tenants": made["tenants"]}
    assert count(engine, "email_sender_identities", "validation_status = 'verified'") == len(made["tenants"])
    assert dripiq("worker", "--until-idle", "--json").json == {"done": {}}

    dripiq("campaign", "resume", "--all", "--tenant", made["tenants"][0])
    done = dripiq("worker", "--until-idle", "--json").json["done"]
    # A new sender's limit lets two go at once; the others have booked their slots, some seconds on.
    assert (done["accepted"], done["accepted"] + done["not_committed"]) == (2, 4)


@pytest.mark.parametrize("command", [("db", "status"), ("worker",), ("up",), ("tenants", "list")])
def test_a_database_that_is_down_is_told_without_its_password(dripiq: Dripiq, command: tuple[str, ...]) -> None:
    answer = dripiq(*command, database_url=NOWHERE)

    assert answer.code == 3
    assert "'outreach' at 127.0.0.1:1 cannot be reached" in answer.err
    assert "Connection refused" in answer.err
    assert "geheim" not in answer.out + answer.err


def test_a_database_that_is_newer_than_the_code_is_left_alone(dripiq: Dripiq, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE dripiq_app.dripiq_alembic_version SET version_num = '9999'"))

    for command in (("db", "upgrade"), ("worker",), ("campaign", "list", "--tenant", "Acme")):
        answer = dripiq(*command, "--json")
        assert (answer.code, answer.error["code"]) == (3, "database_newer")

    assert dripiq("db", "status", "--json").json["known"] is False


def test_settings_that_are_wrong_are_named_without_their_values(dripiq: Dripiq) -> None:
    answer = dripiq("worker", port="none", secret="geheim", public_url="https://x.example.com")
    assert answer.code == 2
    assert "DRIPIQ_PORT" in answer.err
    assert "geheim" not in answer.err
    assert dripiq("worker", database_url="mysql://geheim@h/d").code == 2


def test_tables_are_archived_and_come_back(dripiq: Dripiq, engine: Engine) -> None:
    assert dripiq("db", "seed").code == 0
    campaigns = count(engine, "contact_campaigns")

    for wrong in (("0025", "--archive"), ("0024", "--archive", "--discard")):
        refused = dripiq("db", "downgrade", *wrong, "--json")
        assert (refused.code, refused.error["code"]) == (2, "archive_what")

    archived = dripiq("db", "downgrade", "0024", "--archive", "--json")
    assert f"contact_campaigns {campaigns}" in archived.err
    assert archived.json["archived"]["revision"] == archived.json["head"]
    assert set(archived.json["tables"]) == HOST_TABLES
    assert "`dripiq db upgrade` brings them back" in dripiq("db", "status").out

    back = dripiq("db", "upgrade", "--json").json
    assert (back["is_current"], back["archived"]) == (True, {"revision": None, "orphans": {}})
    assert count(engine, "contact_campaigns") == campaigns


def test_months_of_events_are_listed_made_and_dropped(dripiq: Dripiq, engine: Engine) -> None:
    assert dripiq("db", "partitions", "make", "--months", "4", "--json").json["made"]
    assert "nothing, all are there" in dripiq("db", "partitions", "make", "--months", "4").out
    listed = dripiq("db", "partitions", "--json").json
    assert len(listed["partitions"]) == 5
    assert listed["default"]["rows"] == 0
    assert "Months" in dripiq("db", "partitions").out
    with engine.begin() as connection:
        ensure_partitions(connection, months_ahead=0, now=datetime(2001, 6, 1, tzinfo=UTC))

    shown = dripiq("db", "partitions", "drop", "--before", "2001-07", "--json").json
    assert ([row["month"] for row in shown["partitions"]], shown["applied"]) == (["2001-06"], False)
    assert "--apply drops them" in dripiq("db", "partitions", "drop", "--keep-months", "1").out
    assert dripiq("db", "partitions", "drop", "--keep-months", "1", "--apply", "--json").json["applied"]
    assert len(dripiq("db", "partitions", "--json").json["partitions"]) == 5

    for wrong in ((), ("--before", "2001"), ("--before", "9999-01"), ("--before", "2001-01", "--keep-months", "1")):
        assert dripiq("db", "partitions", "drop", *wrong, "--apply").code == 2
