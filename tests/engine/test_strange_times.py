"""An event of an impossible time is stored, counts for what it says, and breaks nothing."""

from datetime import UTC, datetime

import pytest

from tests.engine.conftest import World, email_plan

PLAN = email_plan(
    {
        "id": "intro", "channel": "email", "action": "send", "subject": "Hello", "body": "Hello",
        "transitions": [{"on": "opened", "to": "more"}, {"on": "no_open", "after": "P3D", "to": "stop"}],
    },
    {
        "id": "more", "channel": "email", "action": "send", "subject": "More", "body": "More",
        "transitions": [{"on": "clicked", "to": "stop"}],
    },
)  # fmt: skip


def seconds(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


@pytest.fixture
def mailed(world: World) -> World:
    """One contact who has got the first mail."""
    world.enroll(PLAN, world.contacts[:1])
    world.work()
    return world


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_refusal_of_a_strange_year_is_heeded(mailed: World, year: int) -> None:
    mailed.receive({"message": mailed.message(), "event": "unsubscribe", "timestamp": seconds(year)})
    mailed.work()

    assert mailed.rows("SELECT tableoid::regclass::text, event_at FROM dripiq_app.message_events") == [
        ("dripiq_app.message_events_default", datetime(year, 1, 1, tzinfo=UTC))
    ]
    assert mailed.campaign().status == "stopped"
    assert mailed.value("SELECT type FROM dripiq_app.communication_suppressions") == "unsubscribe"
    assert mailed.value("SELECT coalesce(error, status) FROM dripiq_app.webhook_deliveries") == "processed"


def test_timers_count_from_when_mails_left_whatever_year_an_event_claims(mailed: World) -> None:
    mailed.receive({"message": mailed.message(), "event": "open", "timestamp": seconds(1970)})
    mailed.work()
    assert mailed.campaign().current_node_id == "more"
    assert len(mailed.mails()) == 2

    mailed.receive({"message": mailed.message("more"), "event": "click", "timestamp": seconds(2100)})
    mailed.clock.pass_(days=1)
    mailed.work()
    assert mailed.value("SELECT count(*) FROM dripiq_app.message_events") == 2
    assert mailed.rows("SELECT DISTINCT status FROM dripiq_app.webhook_deliveries") == [("processed",)]
