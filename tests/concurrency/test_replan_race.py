"""While a plan is changed, workers go on: nothing of the old plan leaves a campaign that follows the new one, and nothing leaves twice."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

import dripiq
from dripiq.channels.folder import FolderSender
from dripiq.domain.plan_diff import PlanDiff
from dripiq.domain.states import Channel
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch import Outbox, hand_over
from dripiq.engine.replan import forward, page, work
from dripiq.engine.upkeep import expire
from dripiq.repositories.queue import claim_due
from tests.engine.conftest import World, email_plan

OLD = email_plan({"id": "intro", "body": "The old text."})
NEW = email_plan({"id": "intro", "body": "The new text."})
PATIENCE = 0.3
"""Seconds to let the other side go on, where a lock would keep it waiting for ever."""


def replan(world: World) -> PlanDiff:
    with world.database.begin() as connection:
        return dripiq.replan(connection, world.tenant_id, NEW, now=world.clock.time)


def texts(world: World) -> list[str]:
    return [mail.read_text().partition("\n\n")[2].strip() for mail in world.mails()]


def test_a_worker_that_prepared_the_old_text_and_lost_its_lease_does_not_send_it_after_the_change(world: World) -> None:
    world.enroll(OLD)
    sender = FolderSender(world.folder)
    outbox = Outbox(world.database, world.clock, {Channel.EMAIL: sender})
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    prepared = hand_over._prepare(outbox, lease)[Channel.EMAIL]
    assert replan(world).stuck == {"in_hand_over": 1}

    world.clock.pass_(minutes=3)
    expire(world.database, world.clock, Share().lease)
    assert replan(world).moved == 1
    asyncio.run(hand_over._lane(outbox, lease, sender, iter([prepared]), hand_over.Tally()))

    assert texts(world) == []
    world.work()
    assert texts(world) == ["The new text."]


def test_a_claim_that_came_first_keeps_the_campaign_where_it_is(world: World) -> None:
    world.enroll(OLD)
    with ThreadPoolExecutor(1) as other, world.database.connect() as connection:
        with connection.begin():
            take(connection, world)
            change = other.submit(replan, world)
            with pytest.raises(TimeoutError):
                change.result(timeout=PATIENCE)
        assert change.result().stuck == {"in_hand_over": 1}


def test_a_claim_passes_over_what_is_being_moved(world: World) -> None:
    world.enroll(OLD)
    with world.database.connect() as connection, connection.begin():
        assert dripiq.replan(connection, world.tenant_id, NEW, now=world.clock.time).moved == 1
        assert claim(world.database, world.clock, world.tenant_id, Share()).actions == ()
    assert len(claim(world.database, world.clock, world.tenant_id, Share()).actions) == 1


def take(connection: Connection, world: World) -> None:
    now = world.clock.time
    taken = claim_due(connection, world.tenant_id, now=now, until=now + Share().lease, expires=0, limit=1)
    assert len(taken.actions) == 1


@pytest.mark.parametrize("share", [3, 50])
def test_with_a_worker_in_the_middle_of_its_batches_everybody_gets_one_mail_of_the_plan_that_they_follow(
    crowd: World, share: int
) -> None:
    crowd.enroll(OLD)
    with crowd.database.begin() as connection:
        job = forward(connection, crowd.tenant_id, NEW, None, {})
    diff = job.diff(applied=True)
    with ThreadPoolExecutor(1) as other:
        worker = other.submit(crowd.work, crowd.worker(share=Share(share)))
        after, left = "", set(crowd.contacts)
        while left:
            with crowd.database.begin() as connection:
                ids = page(connection, job, after, 7)
                again = work(connection, job, ids, diff, now=crowd.clock.time)
            after = ids[-1] if ids else ""
            left = left if ids or again else set()
        worker.result()
    crowd.work()

    said = crowd.rows(
        "SELECT campaign.plan_json -> 'nodes' -> 0 ->> 'body' AS follows, message.rendered_body AS had, count(*) OVER (PARTITION BY campaign.id) AS mails"
        " FROM dripiq_app.contact_campaigns AS campaign"
        " JOIN dripiq_app.outbound_messages AS message ON message.contact_campaign_id = campaign.id AND message.status = 'sent'"
    )
    assert len(said) == len(crowd.mails()) == 50
    assert all(row.follows == row.had and row.mails == 1 for row in said)
    assert sorted(texts(crowd)) == sorted(row.had for row in said)
    assert diff.moved == sum(row.follows == "The new text." for row in said)
