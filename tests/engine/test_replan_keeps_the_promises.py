"""A change of plan sends nothing twice, loses no event, and takes no sender that the tenant does not have."""

import pytest

import dripiq
from dripiq.domain.errors import NotFoundError
from dripiq.engine.enroll import enroll
from dripiq.engine.normalise import normalise
from tests.engine.conftest import World, email_plan, settle_tenant
from tests.engine.test_replan import BUMP, FIRST, change, go_back

FLAT = email_plan({"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT72H"}]}, BUMP)


def opened(world: World) -> None:
    world.enroll(FIRST)
    world.work()
    world.clock.pass_(hours=1)
    world.receive({"event": "open", "message": world.message()})
    world.work()
    assert (world.campaign().current_node_id, len(world.mails())) == ("patience", 1)


def test_a_wait_that_becomes_the_send_whose_message_came_last_is_not_sent_again(world: World) -> None:
    opened(world)
    change(world, FLAT, mapping={"patience": "intro"})
    world.work()
    assert len(world.mails()) == 1


def test_a_send_that_became_a_wait_is_not_sent_again_on_the_way_back(world: World) -> None:
    world.enroll(FLAT)
    world.work()
    assert len(world.mails()) == 1
    waiting = email_plan(
        {"id": "hello", "transitions": [{"on": "no_open", "to": "patience", "after": "PT72H"}]},
        {"id": "patience", "action": "wait", "transitions": [{"on": "no_click", "to": "bump", "after": "PT24H"}]},
        BUMP,
    )
    change(world, waiting, mapping={"intro": "patience"})
    assert world.campaign().current_node_id == "patience"
    go_back(world)
    assert world.campaign().current_node_id == "intro"
    world.work()
    assert len(world.mails()) == 1


def test_a_wait_and_its_send_that_become_one_renamed_send_are_not_sent_again(world: World) -> None:
    opened(world)
    renamed = email_plan({"id": "hello", "transitions": [{"on": "no_open", "to": "bump", "after": "PT72H"}]}, BUMP)
    change(world, renamed, mapping={"patience": "hello", "intro": "hello"})
    world.work()
    assert len(world.mails()) == 1


QUIET = email_plan({"id": "intro", "transitions": [{"on": "no_reply", "to": "bump", "after": "PT72H"}]}, BUMP)


def test_an_open_that_comes_in_while_the_plan_is_changed_counts(world: World) -> None:
    world.enroll(QUIET)
    world.work()
    world.clock.pass_(hours=1)
    world.receive({"event": "open", "message": world.message()})
    with world.database.connect() as connection, connection.begin():
        assert dripiq.replan(connection, world.tenant_id, FIRST, now=world.clock.time).moved == 1
        # The change is not committed yet; a worker takes the open meanwhile, and waits for nobody.
        normalise(world.database, world.clock, world.tenant_id)
    world.work()
    assert world.campaign().current_node_id == "patience"


def test_a_message_that_went_after_the_change_is_not_sent_again_after_the_way_back(world: World) -> None:
    """Under the new plan the campaign stood on `bump`, and its mail left; the way back takes it before `bump` again."""
    longer = email_plan(
        *FIRST["nodes"][:2], {**BUMP, "transitions": [{"on": "no_reply", "to": "stop", "after": "PT72H"}]}
    )
    world.enroll(longer)
    world.work()
    world.clock.pass_(hours=1)
    world.receive({"event": "open", "message": world.message()})
    world.work()
    assert world.campaign().current_node_id == "patience"
    shorter = email_plan(
        {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT72H"}]},
        {**BUMP, "transitions": [{"on": "no_reply", "to": "stop", "after": "PT72H"}]},
    )
    change(world, shorter, mapping={"patience": "bump"})
    world.work()
    assert len(world.mails()) == 2  # intro and bump
    go_back(world)
    world.clock.pass_(hours=25)
    world.work()
    assert len(world.mails()) == 2


def test_a_plan_that_names_a_sender_of_nobody_is_refused_as_at_a_start(world: World) -> None:
    world.enroll(FIRST)
    foreign = {**FIRST, "nodes": [{**FIRST["nodes"][0], "senderIdentityId": "of-another-tenant"}, *FIRST["nodes"][1:]]}
    with pytest.raises(NotFoundError, match="of-another-tenant"):
        change(world, foreign)
    world.work()
    assert len(world.mails()) == 1


def test_nobody_is_enrolled_with_the_sender_of_another_tenant(world: World) -> None:
    other, foreign, _ = settle_tenant(world.database, 1, "Other")
    assert other != world.tenant_id
    with pytest.raises(NotFoundError, match=foreign), world.database.begin() as connection:
        enroll(connection, world.tenant_id, FIRST, world.contacts, now=world.clock.time, sender_identity_id=foreign)
