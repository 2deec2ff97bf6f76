"""What a campaign knows of earlier events when the next one comes in a transaction of its own."""

from datetime import timedelta

import pytest

from dripiq.engine.claim import Share, claim
from dripiq.engine.fire import fire
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


@pytest.mark.parametrize("first", ["no_open", "no_click"])
def test_two_timers_of_one_instant_in_two_leases_do_what_the_plan_lists_first_whichever_is_worked_first(
    world: World, first: str
) -> None:
    ways = [{"on": "no_open", "to": "again", "after": "P5D"}, {"on": "no_click", "to": "other", "after": "P5D"}]
    world.enroll(email_plan({"id": "intro", "transitions": ways}, {"id": "again"}, {"id": "other"}))
    world.work()
    world.clock.pass_(days=5)
    leases = [claim(world.database, world.clock, world.tenant_id, Share(actions=1)) for _ in range(2)]
    timers = {lease.actions[0].timer: lease for lease in leases}
    assert timers.keys() == {"no_open", "no_click"}

    for timer in sorted(timers, key=lambda timer: timer != first):
        fire(world.database, world.clock, timers[timer])
        assert world.campaign().current_node_id == "again"

    statuses = "SELECT payload ->> 'timer' AS timer, status FROM dripiq_app.scheduled_actions WHERE tenant_id = :tenant_id AND node_id = 'intro'"
    assert {row.timer: row.status for row in world.rows(statuses) if row.timer} == {
        "no_open": "completed",
        "no_click": "canceled",
    }
    world.work()
    assert [mail.name for mail in world.mails()] != []
    assert world.campaign().status == "completed"


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
