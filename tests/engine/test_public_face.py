"""What an application that embeds dripiq calls, in its own transaction."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import dripiq
from tests.engine.conftest import ONE_MAIL, World


def test_every_public_name_exists() -> None:
    assert all(getattr(dripiq, name) is not None for name in dripiq.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dripiq.nothing  # type: ignore[attr-defined]


def test_enrolment_is_part_of_the_callers_transaction(world: World) -> None:
    with Session(world.database) as session:
        dripiq.enroll(session, world.tenant_id, ONE_MAIL, world.contacts)
        session.rollback()
    assert world.value("SELECT count(*) FROM dripiq_app.contact_campaigns") == 0
    with Session(world.database) as session, session.begin():
        session.execute(text("UPDATE dripiq_app.lead_point_of_contacts SET name = 'Ann'"))
        dripiq.enroll(session, world.tenant_id, ONE_MAIL, world.contacts)
    assert world.value("SELECT status FROM dripiq_app.contact_campaigns") == "active"


def test_a_plan_with_faults_enrols_nobody(world: World) -> None:
    faulty = {**ONE_MAIL, "startNodeId": "nowhere"}
    with world.database.begin() as connection, pytest.raises(dripiq.DripiqError) as raised:
        dripiq.enroll(connection, world.tenant_id, faulty, world.contacts)
    assert raised.value.error_code == "plan_faults"
    assert world.value("SELECT count(*) FROM dripiq_app.contact_campaigns") == 0


def test_pausing_resuming_stopping_and_suppressing_take_the_databases_time_unless_told(world: World) -> None:
    world.enroll(ONE_MAIL)
    campaign = world.campaign().id
    with Session(world.database) as session, session.begin():
        dripiq.suppress(session, world.tenant_id, ["x@example.com"])
    for act, status in ((dripiq.pause, "paused"), (dripiq.resume, "active"), (dripiq.stop, "stopped")):
        with Session(world.database) as session, session.begin():
            act(session, world.tenant_id, [campaign])
        assert world.campaign().status == status
