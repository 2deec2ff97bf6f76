"""What happens when a provider tells of a message."""

from datetime import timedelta

from tests.engine.conftest import World, email_plan

OPEN_THEN_CLICK = email_plan(
    {
        "id": "intro",
        "transitions": [
            {"on": "opened", "to": "wait_click", "within": "PT72H"},
            {"on": "no_open", "to": "bump", "after": "PT72H"},
            {"on": "bounced", "to": "stop"},
        ],
    },
    {
        "id": "wait_click",
        "action": "wait",
        "transitions": [
            {"on": "clicked", "to": "stop", "within": "PT24H"},
            {"on": "no_click", "to": "bump", "after": "PT24H"},
        ],
    },
    {"id": "bump"},
)


def path(world: World) -> list[tuple[str | None, str]]:
    return [
        tuple(row) for row in world.rows("SELECT to_node_id, trigger FROM dripiq_app.campaign_transitions ORDER BY seq")
    ]


def test_an_open_and_a_click_take_their_steps(world: World) -> None:
    world.enroll(OPEN_THEN_CLICK)
    world.work()
    message = world.message()
    world.clock.pass_(hours=1)
    world.receive({"event": "open", "message": message})
    world.work()
    assert world.campaign().current_node_id == "wait_click"
    world.clock.pass_(hours=1)
    world.receive({"event": "click", "message": message})
    world.work()
    assert world.campaign().status == "completed"
    assert path(world) == [("intro", "started"), ("wait_click", "opened"), ("wait_click", "clicked")]
    assert world.value("SELECT status FROM dripiq_app.outbound_messages") == "delivered"


def test_a_click_without_an_open_takes_both_steps(world: World) -> None:
    world.enroll(OPEN_THEN_CLICK)
    world.work()
    world.clock.pass_(hours=1)
    world.receive({"event": "click", "message": world.message()})
    world.work()
    assert world.campaign().status == "completed"
    assert path(world) == [("intro", "started"), ("wait_click", "opened"), ("wait_click", "clicked")]


def test_the_same_delivery_twice_and_the_same_event_in_another_delivery_count_once(world: World) -> None:
    world.enroll(OPEN_THEN_CLICK)
    world.work()
    opened = {"event": "open", "message": world.message(), "sg_event_id": "one"}
    world.receive(opened)
    world.receive(opened)
    world.receive(opened, {"event": "delivered", "message": world.message(), "sg_event_id": "two"})
    world.work()
    assert world.rows("SELECT event_type FROM dripiq_app.message_events ORDER BY 1") == [("delivered",), ("opened",)]
    assert path(world) == [("intro", "started"), ("wait_click", "opened")]


def test_a_late_webhook_counts_for_when_it_happened(world: World) -> None:
    world.enroll(OPEN_THEN_CLICK)
    world.work()
    opened_at = int((world.clock.time + timedelta(hours=71)).timestamp())
    world.clock.pass_(hours=71, minutes=30)
    world.receive({"event": "open", "message": world.message(), "timestamp": opened_at})
    world.clock.pass_(hours=24)
    # The timer is long due when the delivery is read, but the open came before it.
    assert world.value("SELECT count(*) FROM dripiq_app.webhook_deliveries WHERE status = 'received'") == 1
    from dripiq.engine.normalise import normalise

    normalise(world.database, world.clock, world.tenant_id)
    campaign = world.campaign()
    assert campaign.current_node_id == "wait_click"
    assert int(campaign.node_entered_at.timestamp()) == opened_at


def test_an_open_outside_its_window_moves_nothing_and_the_timer_still_fires(world: World) -> None:
    plan = email_plan(
        {
            "id": "intro",
            "transitions": [
                {"on": "opened", "to": "stop", "within": "PT1H"},
                {"on": "no_open", "to": "bump", "after": "PT72H"},
            ],
        },
        {"id": "bump"},
    )
    world.enroll(plan)
    world.work()
    world.clock.pass_(hours=2)
    world.receive({"event": "open", "message": world.message()})
    world.work()
    assert world.campaign().current_node_id == "intro"
    world.clock.pass_(hours=71)
    world.work()
    assert len(world.mails()) == 2


def test_a_hard_bounce_suppresses_and_an_unsubscribe_stops_whatever_the_plan_says(crowd: World) -> None:
    plan = email_plan(
        {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT72H"}]}, {"id": "bump"}
    )
    crowd.enroll(plan, crowd.contacts[:2])
    crowd.work()
    bounced, left = crowd.rows("SELECT id, to_address FROM dripiq_app.outbound_messages ORDER BY to_address")
    crowd.receive(
        {"event": "bounce", "message": bounced.id, "type": "bounce", "status": "5.1.1", "email": bounced.to_address},
        {"event": "unsubscribe", "message": left.id, "email": left.to_address},
    )
    crowd.work()
    assert crowd.rows("SELECT value, type, source FROM dripiq_app.communication_suppressions ORDER BY value") == [
        (bounced.to_address, "bounce", "webhook"), (left.to_address, "unsubscribe", "webhook"),
    ]  # fmt: skip
    assert crowd.rows("SELECT DISTINCT status FROM dripiq_app.contact_campaigns") == [("stopped",)]
    crowd.clock.pass_(hours=100)
    crowd.work()
    assert len(crowd.mails()) == 2


def test_one_bad_event_costs_that_one(world: World) -> None:
    world.enroll(OPEN_THEN_CLICK)
    world.work()
    message = world.message()
    world.receive(
        {"event": "delivered", "message": message}, {"event": "no such"}, {"event": "open", "message": message}
    )
    world.work()
    (delivery,) = world.rows("SELECT status, error FROM dripiq_app.webhook_deliveries")
    assert (delivery.status, delivery.error) == ("processed", "event 1: unknown_event")
    assert world.value("SELECT count(*) FROM dripiq_app.message_events") == 2


def test_an_event_of_an_unknown_message_is_recorded(world: World) -> None:
    world.receive({"event": "open", "message": "nosuchmessagenosuchmessa"})
    world.work()
    assert world.rows("SELECT event_type, outbound_message_id FROM dripiq_app.message_events") == [("opened", None)]


def test_an_event_of_an_unknown_tenant_is_quarantined(world: World) -> None:
    world.receive({"event": "open", "dripiq_tenant": "nobody"})
    assert world.value("SELECT count(*) FROM dripiq_app.webhook_quarantine") == 1
    assert world.value("SELECT count(*) FROM dripiq_app.webhook_deliveries") == 0


def test_a_later_fact_never_weakens_an_earlier_one(world: World) -> None:
    world.enroll(OPEN_THEN_CLICK)
    world.work()
    message = world.message()
    world.receive({"event": "delivered", "message": message})
    world.receive({"event": "processed", "message": message}, {"event": "deferred", "message": message})
    world.work()
    assert world.value("SELECT status FROM dripiq_app.outbound_messages") == "delivered"


def test_an_event_that_lost_its_ids_is_of_the_last_message_that_had_gone_to_its_address(world: World) -> None:
    world.enroll(OPEN_THEN_CLICK)
    world.work()
    between = int(world.clock.time.timestamp()) + 3600
    world.clock.pass_(hours=73)
    world.work()
    assert len(world.mails()) == 2
    lost = {"event": "open", "email": "C1@example.com"}
    before_any = {**lost, "timestamp": between - 7200}
    world.receive({**lost, "timestamp": between}, lost, before_any, {**lost, "sg_message_id": "somebody.elses"})
    world.receive({**lost, "email": "nobody@example.com"})
    world.work()
    found = world.rows(
        "SELECT message.node_id FROM dripiq_app.message_events AS event LEFT JOIN dripiq_app.outbound_messages AS message"
        " ON message.tenant_id = event.tenant_id AND message.id = event.outbound_message_id"
    )
    assert sorted(row.node_id or "" for row in found) == ["", "", "", "bump", "intro"]
