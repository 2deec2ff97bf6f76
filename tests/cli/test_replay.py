"""`dripiq replay`: shows what the archive has and the tables lack, and writes it on demand."""

import json

import pytest
from sqlalchemy import Engine, text

from dripiq.engine.clock import DatabaseClock
from dripiq.engine.ingest import ingest
from dripiq.schema.ids import new_id
from tests.cli.conftest import Dripiq, count


@pytest.fixture
def since(engine: Engine, acme: str) -> str:
    """A time after which Acme received two events in a delivery that no version could read."""
    with engine.begin() as connection:
        now = DatabaseClock().now(connection)
        said = {"timestamp": int(now.timestamp()), "email": "bo@example.com", "dripiq_tenant": acme}
        events = [{**said, "sg_event_id": new_id(), "event": name} for name in ("unsubscribe", "delivered")]
        ingest(connection, json.dumps(events).encode(), now)
        connection.execute(
            text("UPDATE dripiq_app.webhook_deliveries SET status = 'failed', error = 'event 0: unknown_event'")
        )
    return now.isoformat()


def test_a_replay_shows_what_is_missing_and_writes_it_on_demand(
    dripiq: Dripiq, engine: Engine, acme: str, since: str
) -> None:
    shown = dripiq("replay", "--since", since)
    assert shown.code == 0
    assert "delivered 1, unsubscribed 1" in shown.out
    assert shown.out.endswith("Nothing was changed; --apply writes what is missing.\n")
    assert count(engine, "message_events") == 0
    document = dripiq("replay", "--since", since, "--apply", "--tenant", "Acme", "--json").json
    (found,) = document["tenants"]
    assert (document["applied"], document["campaigns_moved"], found["tenant"]) == (True, False, acme)
    assert (found["deliveries"], found["readable"], found["suppressions"]) == (1, 1, {"unsubscribe": 1})
    assert count(engine, "message_events") == 2
    (after,) = dripiq("replay", "--since", since, "--json").json["tenants"]
    assert (after["events"], after["readable"], after["suppressions"]) == ({}, 0, {})


def test_what_differs_is_said_and_stays(dripiq: Dripiq, engine: Engine, since: str) -> None:
    dripiq("replay", "--since", since, "--apply")
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE dripiq_app.message_events SET url = 'https://example.com' WHERE event_type = 'delivered'")
        )
    shown = dripiq("replay", "--since", since, "--apply", "--move-campaigns")
    assert "url is https://example.com, and by the archive None" in shown.out
    assert "Campaigns told: 0" in shown.out
    assert count(engine, "message_events", "url IS NOT NULL") == 1


def test_a_time_that_cannot_be_replayed_is_refused(dripiq: Dripiq) -> None:
    assert dripiq("replay").code == 2
    assert dripiq("replay", "--since", "yesterday", "--json").error["code"] == "usage"
    refused = dripiq("replay", "--since", "2001-01-01", "--json")
    assert (refused.code, refused.error["code"]) == (2, "month_not_kept")
    assert dripiq("replay", "--since", "2199-01-01", "--json").error["code"] == "no_time"
