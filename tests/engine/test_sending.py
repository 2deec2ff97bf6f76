"""What happens between enrolment and the provider."""

from email import message_from_bytes, policy

from tests.engine.conftest import ONE_MAIL, World, email_plan


def test_an_enrolled_contact_gets_its_mail_once_and_the_campaign_completes(world: World) -> None:
    world.enroll(ONE_MAIL)
    world.work()
    world.work()
    (mail,) = world.mails()
    parsed = message_from_bytes(mail.read_bytes(), policy=policy.default)
    assert parsed["Subject"] == "Hello Contact 1"
    assert parsed["To"].addresses[0].addr_spec == "c1@example.com"
    campaign = world.campaign()
    assert (campaign.status, campaign.current_node_id, campaign.visit) == ("completed", "intro", 1)
    assert world.rows("SELECT status FROM dripiq_app.scheduled_actions") == [("completed",)]
    assert world.rows("SELECT status, attempts FROM dripiq_app.outbound_messages") == [("sent", 1)]


def test_every_contact_of_a_crowd_gets_one_mail(crowd: World) -> None:
    enrolment = crowd.enroll(ONE_MAIL)
    assert len(enrolment.enrolled) == 50
    crowd.work()
    assert len(crowd.mails()) == 50
    assert crowd.rows("SELECT DISTINCT status FROM dripiq_app.contact_campaigns") == [("completed",)]


def test_who_is_enrolled_already_is_skipped_and_who_has_finished_starts_anew_with_a_new_version_and_visit(
    world: World,
) -> None:
    first = world.enroll(ONE_MAIL)
    again = world.enroll(ONE_MAIL)
    assert again.enrolled == {}
    assert again.already_enrolled == tuple(world.contacts)
    world.work()
    anew = world.enroll(ONE_MAIL)
    assert anew.enrolled == first.enrolled
    world.work()
    assert len(world.mails()) == 2
    assert world.campaign().visit == 2
    assert world.rows("SELECT version FROM dripiq_app.campaign_plan_versions ORDER BY version") == [("1",), ("2",)]
    assert world.rows("SELECT seq, trigger FROM dripiq_app.campaign_transitions ORDER BY seq") == [
        (1, "started"), (2, "sent"), (3, "started"), (4, "sent"),
    ]  # fmt: skip


def test_a_contact_of_another_tenant_cannot_be_enrolled(world: World) -> None:
    from tests.engine.conftest import settle_tenant

    _, _, others = settle_tenant(world.database, 1, "Other")
    enrolment = world.enroll(ONE_MAIL, others)
    assert enrolment.enrolled == {}
    assert enrolment.unknown == tuple(others)


def test_a_delay_and_quiet_hours_move_the_send(world: World) -> None:
    plan = email_plan({"id": "intro", "schedule": {"delay": "PT9H"}}, quietHours={"start": "20:00", "end": "08:00"})
    world.enroll(plan)
    assert world.value("SELECT run_at FROM dripiq_app.scheduled_actions").isoformat() == "2026-03-05T08:00:00+00:00"
    world.clock.pass_(hours=9)
    world.work()
    assert world.mails() == []
    world.clock.pass_(hours=11)
    world.work()
    assert len(world.mails()) == 1


def test_a_send_that_comes_due_in_quiet_hours_is_put_off_with_its_reason(world: World) -> None:
    world.enroll(email_plan({"id": "intro"}, quietHours={"start": "20:00", "end": "08:00"}))
    world.clock.pass_(hours=10)
    world.work()
    assert world.mails() == []
    (action,) = world.rows("SELECT status, reason, run_at FROM dripiq_app.scheduled_actions")
    assert (action.status, action.reason, action.run_at.isoformat()) == (
        "pending",
        "quiet_hours",
        "2026-03-05T08:00:00+00:00",
    )


def test_no_event_no_open_leads_to_the_next_mail(world: World) -> None:
    plan = email_plan(
        {"id": "intro", "transitions": [{"on": "no_open", "to": "bump", "after": "PT72H"}]},
        {"id": "bump"},
    )
    world.enroll(plan)
    world.work()
    world.clock.pass_(hours=71)
    world.work()
    assert len(world.mails()) == 1
    world.clock.pass_(hours=2)
    world.work()
    assert len(world.mails()) == 2
    assert [tuple(row) for row in world.rows("SELECT from_node_id, to_node_id, trigger FROM dripiq_app.campaign_transitions ORDER BY seq")] == [
        (None, "intro", "started"), ("intro", "bump", "no_open"), ("bump", "bump", "sent"),
    ]  # fmt: skip


def test_a_missing_value_holds_the_mail_with_its_reason_and_resuming_sends_it_once_supplied(world: World) -> None:
    world.enroll(email_plan({"id": "intro", "body": "You asked about {{ contact.external_ref }}."}))
    world.work()
    assert world.mails() == []
    (action,) = world.rows("SELECT status, reason FROM dripiq_app.scheduled_actions")
    assert (action.status, action.reason) == ("held", "template_missing")
    world.execute("UPDATE dripiq_app.lead_point_of_contacts SET external_ref = 'boats'")
    from dripiq.engine.steer import resume

    with world.database.begin() as connection:
        resume(connection, world.tenant_id, [world.campaign().id], now=world.clock.time)
    world.work()
    assert len(world.mails()) == 1


def test_a_contact_without_an_address_stops_with_that_reason(world: World) -> None:
    world.execute("UPDATE dripiq_app.lead_point_of_contacts SET email = NULL")
    world.enroll(ONE_MAIL)
    world.work()
    assert world.campaign().status == "stopped"
    assert world.value("SELECT reason FROM dripiq_app.campaign_transitions WHERE to_status = 'stopped'") == "no_address"


def test_an_unverified_sender_puts_the_mail_off_until_it_is_verified(world: World) -> None:
    world.execute("UPDATE dripiq_app.email_sender_identities SET validation_status = 'pending'")
    world.enroll(ONE_MAIL)
    world.work()
    assert world.value("SELECT reason FROM dripiq_app.scheduled_actions") == "sender_unverified"
    world.execute("UPDATE dripiq_app.email_sender_identities SET validation_status = 'verified'")
    world.clock.pass_(minutes=15)
    world.work()
    assert len(world.mails()) == 1
