"""`dripiq quarantine`: what no tenant could be found for is kept, and comes to its tenant later, once."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dripiq.engine.clock import DatabaseClock
from dripiq.engine.ingest import ingest
from dripiq.engine.normalise import find_tenants, normalise
from dripiq.schema.ids import new_id
from tests.cli.conftest import Dripiq, count


def event(name: str = "unsubscribe", **fields: Any) -> dict[str, Any]:
    return {"event": name, "timestamp": 1_790_000_000, "sg_event_id": new_id(), "email": "bo@example.com", **fields}


def receive(engine: Engine, *events: dict[str, Any]) -> None:
    with engine.begin() as connection:
        ingest(connection, json.dumps(events).encode(), DatabaseClock().now(connection))


def quarantined(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT id FROM dripiq_app.webhook_quarantine ORDER BY id")).scalars())


def add_tenant(engine: Engine, tenant_id: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO dripiq_app.tenants (id, name) VALUES (:id, :name)"),
            {"id": tenant_id, "name": f"Late {tenant_id}"},
        )


def work(engine: Engine) -> None:
    for tenant_id in find_tenants(engine, DatabaseClock()):
        normalise(engine, DatabaseClock(), tenant_id)


def test_what_is_quarantined_is_listed_and_shown(dripiq: Dripiq, engine: Engine) -> None:
    assert dripiq("quarantine", "list").out == "Quarantine: none\n"
    receive(engine, event(dripiq_tenant="nobody", sg_message_id="abc.filter"))
    (listed,) = dripiq("quarantine", "list", "--json").json["quarantine"]
    assert (listed["provider"], listed["reason"]) == ("sendgrid", "unknown_tenant")
    shown = dripiq("quarantine", "show", listed["id"], "--json").json
    assert [(e["tenant"], e["provider_message_id"]) for e in shown["events"]] == [("nobody", "abc")]
    assert "bo@example.com" in dripiq("quarantine", "show", listed["id"]).out
    assert dripiq("quarantine", "show", "other").code == 4


def test_what_a_person_routes_is_worked_like_any_delivery(dripiq: Dripiq, engine: Engine, acme: str) -> None:
    receive(engine, event())
    (stray,) = quarantined(engine)
    assert dripiq("quarantine", "route", stray, "--tenant", "Acme").out == "Routed: 1, as 1 new delivery\n"
    assert quarantined(engine) == []
    assert count(engine, "webhook_deliveries", "status = 'received'") == 1
    work(engine)
    assert count(engine, "message_events", f"tenant_id = '{acme}' AND event_type = 'unsubscribed'") == 1
    assert count(engine, "communication_suppressions", f"tenant_id = '{acme}' AND value = 'bo@example.com'") == 1


def test_what_was_routed_before_is_routed_once(dripiq: Dripiq, engine: Engine, acme: str) -> None:
    lost = event()
    receive(engine, lost)
    (first,) = quarantined(engine)
    assert dripiq("quarantine", "route", first, "--tenant", acme).code == 0
    receive(engine, lost)  # the provider posts it again, and it is quarantined again
    (second,) = quarantined(engine)
    again = dripiq("quarantine", "route", first, second, "--tenant", acme)
    assert (again.code, quarantined(engine)) == (4, [second])
    assert dripiq("quarantine", "route", second, "--tenant", acme, "--json").json == {"routed": 1, "stored": 0}
    assert count(engine, "webhook_deliveries") == 1


def test_looking_again_gives_each_event_to_its_tenant_and_keeps_the_rest(dripiq: Dripiq, engine: Engine) -> None:
    receive(engine, event(dripiq_tenant="t1"), event(dripiq_tenant="t2"), event(dripiq_tenant="t3"))
    receive(engine, event(dripiq_tenant="t1"))
    assert dripiq("quarantine", "route", "--all", "--json").json == {"routed": 0, "stored": 0, "left": 2}
    add_tenant(engine, "t1")
    add_tenant(engine, "t2")
    assert dripiq("quarantine", "route", "--all", "--json").json == {"routed": 1, "stored": 3, "left": 1}
    assert dripiq("quarantine", "route", "--all", "--json").json == {"routed": 0, "stored": 0, "left": 1}
    assert [count(engine, "webhook_deliveries", f"tenant_id = '{each}'") for each in ("t1", "t2")] == [2, 1]
    work(engine)
    assert count(engine, "message_events") == 3
    (left,) = quarantined(engine)
    assert [e["tenant"] for e in dripiq("quarantine", "show", left, "--json").json["events"]] == ["t3"]


def test_what_spoke_for_somebody_else_is_not_believed_by_looking_again(
    dripiq: Dripiq, engine: Engine, acme: str
) -> None:
    receive(engine, event(dripiq_tenant="t1"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE dripiq_app.webhook_quarantine SET reason = 'other_tenant'"))
    add_tenant(engine, "t1")
    assert dripiq("quarantine", "route", "--all", "--json").json == {"routed": 0, "stored": 0, "left": 0}
    assert len(quarantined(engine)) == 1


@pytest.mark.parametrize("arguments", [(), ("x",), ("--tenant", "Acme"), ("x", "--all"), ("--all", "--tenant", "Acme")])
def test_it_must_be_said_what_is_routed_and_to_whom(dripiq: Dripiq, arguments: tuple[str, ...]) -> None:
    refused = dripiq("quarantine", "route", *arguments, "--json")
    assert (refused.code, refused.error["code"]) == (2, "which_quarantined")
