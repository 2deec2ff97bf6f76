"""Campaigns are locked, and recorded events read, only where that can mean something."""

from typing import Any

import pytest
from sqlalchemy import text

from dripiq.engine.normalise import normalise
from tests.engine.conftest import World, email_plan

OPENED_OR_NOT = email_plan(
    {
        "id": "intro",
        "transitions": [{"on": "opened", "to": "stop"}, {"on": "no_open", "to": "stop", "after": "P1D"}],
    }
)
DELIVERED = email_plan({"id": "intro", "transitions": [{"on": "delivered", "to": "stop"}]})


def receive_while_locked(world: World, plan: dict[str, Any], event: str) -> None:
    """Let an event of a sent message be normalised while somebody holds its campaign."""
    world.enroll(plan)
    world.work()
    world.receive({"event": event, "message": world.message()})
    with world.database.begin() as holder:
        holder.execute(text("SELECT id FROM dripiq_app.contact_campaigns FOR UPDATE"))
        normalise(world.database, world.clock, world.tenant_id)


def test_an_event_that_its_plan_takes_no_notice_of_waits_for_no_campaign(world: World) -> None:
    receive_while_locked(world, OPENED_OR_NOT, "delivered")
    assert world.value("SELECT status FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id") == "delivered"
    assert world.value("SELECT event_type FROM dripiq_app.message_events WHERE tenant_id = :tenant_id") == "delivered"
    assert world.campaign().status == "active"


@pytest.mark.parametrize(
    ("plan", "event"), [(DELIVERED, "delivered"), (OPENED_OR_NOT, "click"), (DELIVERED, "unsubscribe")]
)
def test_one_that_it_may_answer_moves_the_campaign(world: World, plan: dict[str, Any], event: str) -> None:
    world.enroll(plan)
    world.work()
    world.receive({"event": event, "message": world.message(), "url": "https://www.example.com"})
    world.work()
    assert world.campaign().status in {"completed", "stopped"}
