"""What happens when nobody knows whether a mail was taken: it says so, is not sent again, and is settled by evidence or by policy."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dripiq.channels.smtp import Security, SmtpSender
from dripiq.db.session import make_engine
from dripiq.domain.states import Resolution
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch.prepare import prepare
from dripiq.engine.resolve import resolve, settle
from dripiq.engine.upkeep import expire
from dripiq.repositories.outbox import commit_to_send
from tests.engine.conftest import ONE_MAIL, World, email_plan, settle_tenant
from tests.engine.smtp_server import Say, Server, answer, hang_up, listening

LEASE = timedelta(minutes=2)
TWO_MAILS = email_plan(
    {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT72H"}]}, {"id": "bump"}
)


def work_against(
    world: World, on_data: Say, *, rounds: int = 1, between: Callable[[int], None] = lambda _: None
) -> Server:
    """Let a worker send over real SMTP to a server that answers the mail with `on_data`; the server's record."""
    server = Server(on_data=on_data)

    async def main() -> None:
        async with listening(server):
            sender = SmtpSender(
                "127.0.0.1", server.port, hostname="test", security=Security.NONE, connections=4, timeout=5
            )
            worker = world.worker(sender)
            for number in range(rounds):
                while await worker.drain():
                    pass
                between(number)
            await sender.close()

    asyncio.run(main())
    return server


def message(world: World) -> Any:
    (row,) = world.rows("SELECT * FROM dripiq_app.outbound_messages")
    return row


def status_of(world: World) -> str:
    found: str = world.value("SELECT status FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id")
    return found


def action(world: World) -> Any:
    (row,) = world.rows("SELECT * FROM dripiq_app.scheduled_actions WHERE action_type = 'send' ORDER BY visit LIMIT 1")
    return row


def test_a_connection_lost_after_the_mail_leaves_it_in_doubt_and_it_is_not_sent_again(world: World) -> None:
    world.enroll(ONE_MAIL)
    server = work_against(world, hang_up, rounds=3, between=lambda _: world.clock.pass_(hours=1))
    assert len(server.received) == 1
    assert message(world).status == "in_doubt"
    assert (action(world).status, action(world).reason) == ("held", "in_doubt")
    assert world.campaign().status == "active"


def test_a_late_webhook_settles_a_doubt_and_starts_the_timers(world: World) -> None:
    world.enroll(TWO_MAILS)
    work_against(world, hang_up)
    world.clock.pass_(hours=1)
    world.receive({"event": "delivered", "message": message(world).id})
    world.work()
    assert message(world).status == "delivered"
    assert action(world).status == "completed"
    assert (
        world.value("SELECT payload ->> 'timer' FROM dripiq_app.scheduled_actions WHERE status = 'pending'")
        == "no_open"
    )


def test_an_old_doubt_counts_as_sent_after_the_tenants_time(world: World) -> None:
    world.enroll(ONE_MAIL)
    work_against(world, hang_up)
    world.clock.pass_(hours=23)
    assert settle(world.database, world.clock) == 0
    world.clock.pass_(hours=2)
    assert settle(world.database, world.clock) == 1
    assert (message(world).status, message(world).error_code) == ("sent", "assumed_sent")
    assert world.campaign().status == "completed"


def test_a_tenant_that_chose_it_gets_the_message_sent_again(world: World) -> None:
    world.execute(
        "INSERT INTO dripiq_app.tenant_settings (tenant_id, id, in_doubt_policy, in_doubt_after) VALUES (:tenant_id, 's', 'resend', '1 hour')"
    )
    world.enroll(ONE_MAIL)
    work_against(world, hang_up)
    world.clock.pass_(hours=2)
    settle(world.database, world.clock)
    server = work_against(world, answer("250 2.0.0 Ok"))
    assert len(server.received) == 1
    assert (message(world).status, message(world).attempts) == ("sent", 2)
    assert world.campaign().status == "completed"


def test_a_temporary_refusal_is_tried_again_after_twenty_minutes_on_the_same_row_and_six_times_at_most(
    world: World,
) -> None:
    world.enroll(ONE_MAIL)
    attempts = []

    def between(_: int) -> None:
        attempts.append(message(world).attempts)
        world.clock.pass_(minutes=20)

    server = work_against(world, answer("451 4.3.0 later"), rounds=8, between=between)
    assert attempts == [1, 2, 3, 4, 5, 6, 6, 6]
    assert len(server.received) == 6
    assert (message(world).status, message(world).error_code) == ("failed", "451 4.3.0")
    assert (world.campaign().status, world.campaign().last_error) == ("error", "451 4.3.0")


def test_a_permanent_refusal_fails_at_once_and_takes_the_plans_way_for_it(world: World) -> None:
    plan = email_plan({"id": "intro", "transitions": [{"on": "failed", "to": "other"}]}, {"id": "other"})
    world.enroll(plan)
    server = work_against(world, answer("550 5.7.1 no"))
    assert len(server.received) == 2
    assert world.campaign().status == "error"
    assert [tuple(r) for r in world.rows("SELECT to_node_id, trigger FROM dripiq_app.campaign_transitions ORDER BY seq")] == [
        ("intro", "started"), ("other", "failed"), ("other", "failed"),
    ]  # fmt: skip


def commit_and_vanish(world: World) -> None:
    """Go as far as a worker that dies right after the commit to send."""
    lease = claim(world.database, world.clock, world.tenant_id, Share(lease=LEASE))
    with world.database.begin() as connection:
        ready = prepare(connection, lease, lease.actions, {"email": "folder"}, world.clock.time, None)  # type: ignore[dict-item]
    with world.database.begin() as connection:
        ids = [r.message.id for r in next(iter(ready.values()))]
        commit_to_send(connection, world.tenant_id, "email", ids, world.clock.time)  # type: ignore[arg-type]


def test_what_a_dead_worker_had_committed_is_in_doubt_and_what_it_had_not_goes_back(crowd: World) -> None:
    crowd.enroll(ONE_MAIL, crowd.contacts[:1])
    commit_and_vanish(crowd)
    crowd.enroll(ONE_MAIL, crowd.contacts[1:3])
    claim(crowd.database, crowd.clock, crowd.tenant_id, Share(lease=LEASE))
    crowd.work()
    assert crowd.mails() == []
    crowd.clock.pass_(minutes=3)
    repairs = expire(crowd.database, crowd.clock, LEASE)
    assert (repairs.leases_returned, repairs.put_in_doubt) == (3, 1)
    crowd.work()
    assert len(crowd.mails()) == 2
    assert crowd.rows("SELECT status, count(*) FROM dripiq_app.outbound_messages GROUP BY 1 ORDER BY 1") == [
        ("in_doubt", 1),
        ("sent", 2),
    ]
    assert crowd.value("SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status = 'queued'") == 0


@pytest.mark.parametrize("stopped_by", ["stop", "pause"])
def test_a_campaign_stopped_while_its_mail_is_in_hand_over_still_learns_that_it_was_taken(
    world: World, stopped_by: str
) -> None:
    from dripiq.engine import steer

    world.enroll(ONE_MAIL)
    campaign_id = world.campaign().id

    async def stop_meanwhile(_session: Any, _recipient: str) -> str:
        def act() -> None:
            with world.database.begin() as connection:
                getattr(steer, stopped_by)(connection, world.tenant_id, [campaign_id], now=world.clock.time)

        await asyncio.to_thread(act)
        return "250 2.0.0 Ok"

    work_against(world, stop_meanwhile)
    assert message(world).status == "sent"
    assert world.campaign().status == {"stop": "stopped", "pause": "completed"}[stopped_by]
    assert (
        world.value("SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status NOT IN ('completed', 'canceled')")
        == 0
    )


@pytest.mark.parametrize(
    ("resolution", "status", "campaign", "mails"),
    [
        (Resolution.SENT, "sent", "completed", 0),
        (Resolution.NOT_SENT, "failed", "error", 0),
        (Resolution.RESEND, "sent", "completed", 1),
    ],
)
def test_a_person_who_has_looked_ends_a_doubt_and_the_campaign_goes_on(
    world: World, resolution: Resolution, status: str, campaign: str, mails: int
) -> None:
    world.enroll(ONE_MAIL)
    work_against(world, hang_up)
    doubted = message(world).id
    with world.database.begin() as connection:
        assert resolve(connection, [doubted, "another"], resolution, now=world.clock.time) == {doubted}
    server = work_against(world, answer("250 2.0.0 Ok"))
    assert len(server.received) == mails
    assert (message(world).status, world.campaign().status) == (status, campaign)
    with world.database.begin() as connection:
        assert resolve(connection, [doubted], Resolution.RESEND, now=world.clock.time) == set()


def test_a_doubt_is_ended_for_its_own_tenant_only(world: World) -> None:
    world.enroll(ONE_MAIL)
    work_against(world, hang_up)
    with world.database.begin() as connection:
        ended = resolve(connection, [message(world).id], Resolution.SENT, tenant_id="other", now=world.clock.time)
    assert (ended, message(world).status) == (set(), "in_doubt")


def test_a_tenant_whose_campaigns_somebody_holds_does_not_hold_up_the_doubts_of_others(world: World) -> None:
    world.enroll(ONE_MAIL)
    work_against(world, hang_up)
    other = World(world.database, world.folder, world.clock)
    other.tenant_id, other.sender_id, other.contacts = settle_tenant(world.database, 1, "Other")
    other.enroll(ONE_MAIL)
    work_against(other, hang_up)
    world.clock.pass_(days=2)
    held, free = sorted((world, other), key=lambda each: each.tenant_id)
    impatient = make_engine(world.database.url.render_as_string(hide_password=False))
    with world.database.begin() as somebody:
        somebody.execute(
            text("SELECT FROM dripiq_app.contact_campaigns WHERE tenant_id = :id FOR UPDATE"), {"id": held.tenant_id}
        )
        assert settle(impatient, world.clock) == 1
    assert (status_of(free), status_of(held)) == ("completed", "active")
    assert settle(impatient, world.clock) == 1
    impatient.dispose()
