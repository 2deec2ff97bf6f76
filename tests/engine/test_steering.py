"""What a person who takes hold of a campaign, or of a tenant's sending, can rely on."""

from dataclasses import replace

from dripiq.db.session import make_engine
from dripiq.domain.states import SuppressionScope
from dripiq.engine.faults import watch_statements
from dripiq.engine.steer import pause, pause_sending, resume, resume_sending, stop
from dripiq.engine.suppress import suppress
from tests.engine.conftest import ONE_MAIL, World, email_plan


def test_a_paused_campaign_sends_nothing_until_it_is_resumed(world: World) -> None:
    world.enroll(ONE_MAIL)
    with world.database.begin() as connection:
        pause(connection, world.tenant_id, [world.campaign().id], now=world.clock.time, actor="ann")
    world.work()
    assert world.mails() == []
    assert world.rows("SELECT status, reason FROM dripiq_app.scheduled_actions") == [("held", "campaign_paused")]
    with world.database.begin() as connection:
        resume(connection, world.tenant_id, [world.campaign().id], now=world.clock.time)
    world.work()
    assert len(world.mails()) == 1
    assert world.value("SELECT actor FROM dripiq_app.campaign_transitions WHERE trigger = 'paused'") == "ann"


def test_timers_keep_their_clock_and_events_are_taken_while_paused(world: World) -> None:
    plan = email_plan(
        {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT1H"}]}, {"id": "bump"}
    )
    world.enroll(plan)
    world.work()
    with world.database.begin() as connection:
        pause(connection, world.tenant_id, [world.campaign().id], now=world.clock.time)
    world.clock.pass_(hours=2)
    world.work()
    assert (world.campaign().status, world.campaign().current_node_id) == ("paused", "bump")
    assert len(world.mails()) == 1
    with world.database.begin() as connection:
        resume(connection, world.tenant_id, [world.campaign().id], now=world.clock.time)
    world.work()
    assert len(world.mails()) == 2


def test_a_stopped_campaign_never_sends_and_its_action_is_canceled(world: World) -> None:
    world.enroll(ONE_MAIL)
    with world.database.begin() as connection:
        stop(connection, world.tenant_id, [world.campaign().id], now=world.clock.time, reason="not_wanted")
    world.work()
    assert world.mails() == []
    assert world.campaign().status == "stopped"
    assert world.value("SELECT status FROM dripiq_app.scheduled_actions") == "canceled"


def test_a_campaign_that_is_stopped_while_its_send_is_being_prepared_leaves_no_message_behind(world: World) -> None:
    world.enroll(ONE_MAIL)
    campaign_id = world.campaign().id

    def reached(point: str) -> None:
        if point == "dispatch.prepare:READ_SENDS:after":
            with world.database.begin() as connection:
                stop(connection, world.tenant_id, [campaign_id], now=world.clock.time)

    workers = make_engine(world.database.url.render_as_string(hide_password=False))
    try:
        watch_statements(workers, reached)
        replace(world, database=workers).work()
    finally:
        workers.dispose()
    assert world.campaign().status == "stopped"
    assert world.rows("SELECT status FROM dripiq_app.outbound_messages WHERE status <> 'skipped'") == []
    assert world.mails() == []


def test_a_stop_that_the_caller_rolls_back_has_not_happened(world: World) -> None:
    world.enroll(ONE_MAIL)
    with world.database.connect() as connection:
        stop(connection, world.tenant_id, [world.campaign().id], now=world.clock.time)
        connection.rollback()
    world.work()
    assert len(world.mails()) == 1


def test_the_kill_switch_holds_every_send_of_its_tenant_and_releases_them(crowd: World) -> None:
    crowd.enroll(ONE_MAIL)
    with crowd.database.begin() as connection:
        pause_sending(connection, crowd.tenant_id, now=crowd.clock.time, reason="a mistake in the plan")
    crowd.work()
    assert crowd.mails() == []
    assert crowd.rows("SELECT status, reason, count(*) FROM dripiq_app.scheduled_actions GROUP BY 1, 2") == [
        ("held", "tenant_paused", 50)
    ]
    with crowd.database.begin() as connection:
        assert resume_sending(connection, crowd.tenant_id, now=crowd.clock.time) == 50
    crowd.work()
    assert len(crowd.mails()) == 50


def test_a_suppressed_address_and_a_suppressed_domain_stop_their_campaigns_with_the_reason(crowd: World) -> None:
    crowd.execute(
        "UPDATE dripiq_app.lead_point_of_contacts SET email = 'ann@closed.test' WHERE id = :id", id=crowd.contacts[1]
    )
    crowd.enroll(ONE_MAIL, crowd.contacts[:3])
    address = crowd.value("SELECT email FROM dripiq_app.lead_point_of_contacts WHERE id = :id", id=crowd.contacts[0])
    with crowd.database.begin() as connection:
        suppress(connection, crowd.tenant_id, [address], now=crowd.clock.time)
    with crowd.database.begin() as connection:
        suppress(connection, crowd.tenant_id, ["closed.test"], now=crowd.clock.time, scope=SuppressionScope.DOMAIN)
    crowd.work()
    assert len(crowd.mails()) == 1
    assert crowd.rows("SELECT reason FROM dripiq_app.campaign_transitions WHERE to_status = 'stopped' ORDER BY reason") == [
        ("suppressed_domain_manual",), ("suppressed_manual",),
    ]  # fmt: skip
