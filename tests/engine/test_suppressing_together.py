"""Who writes suppressions or ends them meets others who do, and addresses that go meanwhile."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from dripiq.domain.states import Channel, SuppressionScope, SuppressionType
from dripiq.engine.suppress import suppress
from dripiq.repositories.intake import Suppression, upsert_suppressions
from dripiq.repositories.reaching import find_reaching
from dripiq.repositories.standing import lock_campaigns
from dripiq.repositories.suppressing import end_suppressions
from dripiq.schema.ids import new_id
from tests.engine.conftest import NOON, ONE_MAIL, World

LATER_FIRST = ("b@example.com", "a@example.com")


def upsert(connection: Connection, tenant_id: str) -> None:
    found = [Suppression("email", value, "address", "unsubscribe", "link", NOON) for value in LATER_FIRST]
    upsert_suppressions(connection, tenant_id, found, NOON)


def end(connection: Connection, tenant_id: str) -> None:
    types = [SuppressionType.UNSUBSCRIBE]
    end_suppressions(connection, tenant_id, Channel.EMAIL, SuppressionScope.ADDRESS, LATER_FIRST, types, NOON)


@pytest.mark.parametrize("write", [upsert, end])
def test_suppressions_are_locked_in_the_order_of_their_values(
    world: World, write: Callable[[Connection, str], None]
) -> None:
    for value in LATER_FIRST:
        with world.database.begin() as connection:
            one = Suppression("email", value, "address", "unsubscribe", "link", NOON)
            upsert_suppressions(connection, world.tenant_id, [one], NOON)

    def work() -> None:
        with world.database.begin() as connection:
            write(connection, world.tenant_id)

    lock = text("SELECT FROM dripiq_app.communication_suppressions WHERE value = :value FOR NO KEY UPDATE NOWAIT")
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as connection:
            connection.execute(lock, {"value": "a@example.com"})
            writing = pool.submit(work)
            time.sleep(0.5)
            assert not writing.done()
            connection.execute(lock, {"value": "b@example.com"})
        writing.result(10)


def test_a_campaign_whose_preferred_address_goes_while_it_is_looked_for_is_left_out(world: World) -> None:
    world.execute(
        "INSERT INTO dripiq_app.contact_channels (id, tenant_id, contact_id, channel, value, is_primary)"
        " VALUES (:id, :tenant_id, :contact, 'email', 'other@example.com', true)",
        id=new_id(),
        contact=world.contacts[0],
    )
    world.enroll(ONE_MAIL)
    with world.database.connect() as connection:
        assert len(find_reaching(connection, world.tenant_id, "email", ["other@example.com"])) == 1

    def remove(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "preferred.value AS address" in statement:
            world.execute("DELETE FROM dripiq_app.contact_channels WHERE tenant_id = :tenant_id")

    event.listen(world.database, "before_cursor_execute", remove)
    with world.database.connect() as connection:
        assert find_reaching(connection, world.tenant_id, "email", ["other@example.com"]) == {}


def test_suppressions_are_written_after_campaigns_are_locked_as_by_who_records_outcomes(world: World) -> None:
    world.enroll(ONE_MAIL)

    def close() -> None:
        with world.database.begin() as connection:
            suppress(connection, world.tenant_id, ["c1@example.com"], now=NOON, kind=SuppressionType.BOUNCE)

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as connection:
            lock_campaigns(connection, world.tenant_id, [world.campaign().id])
            closing = pool.submit(close)
            deadline = time.monotonic() + 10
            while not world.value(waiting) and time.monotonic() < deadline:
                time.sleep(0.02)
            bounced = Suppression("email", "c1@example.com", "address", "bounce", "webhook", NOON)
            upsert_suppressions(connection, world.tenant_id, [bounced], NOON)
        closing.result(10)
    assert world.campaign().status == "stopped"
