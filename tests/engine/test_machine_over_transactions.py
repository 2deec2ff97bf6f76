"""What a campaign knows of earlier events when the next one comes in a transaction of its own."""

from datetime import timedelta

from dripiq.engine.normalise import normalise
from tests.engine.conftest import World, email_plan


def test_an_open_that_was_taken_is_not_taken_again_at_a_later_node_of_the_same_second(world: World) -> None:
    world.enroll(
        email_plan(
            {"id": "intro", "transitions": [{"on": "opened", "to": "first"}]},
            {"id": "first", "action": "wait", "transitions": [{"on": "clicked", "to": "second", "within": "PT9H"}]},
            {
                "id": "second",
                "action": "wait",
                "transitions": [{"on": "opened", "to": "more"}, {"on": "no_open", "to": "stop", "after": "PT24H"}],
            },
            {"id": "more"},
        )
    )
    world.work()
    message = world.message()
    world.clock.pass_(hours=1)
    for event in ("open", "click"):
        world.receive({"event": event, "message": message})
        world.work()
    assert world.campaign().current_node_id == "second"


def test_a_click_that_waited_for_a_timer_counts_when_a_late_open_makes_the_timer_void(world: World) -> None:
    world.enroll(
        email_plan(
            {
                "id": "intro",
                "transitions": [{"on": "clicked", "to": "thanks"}, {"on": "no_open", "to": "bump", "after": "PT72H"}],
            },
            {"id": "thanks"},
            {"id": "bump"},
        )
    )
    world.work()
    message, sent = world.message(), world.clock.time
    world.clock.pass_(hours=81)
    for event, hours, stands in (("click", 80, "intro"), ("open", 60, "thanks")):
        at = int((sent + timedelta(hours=hours)).timestamp())
        world.receive({"event": event, "message": message, "timestamp": at})
        normalise(world.database, world.clock, world.tenant_id)
        assert world.campaign().current_node_id == stands
