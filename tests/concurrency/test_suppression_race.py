"""Once a suppression's COMMIT has returned, no message of that address becomes `sending`: two real connections, both orders.

Each race runs with the sending lock and without it: the second shows that the race is real, and that this test would see it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, text

from dripiq.domain.states import Channel
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch.prepare import prepare
from dripiq.engine.steer import pause_sending
from dripiq.engine.suppress import suppress
from dripiq.repositories import outbox, sending_lock
from tests.concurrency.suppression_race import MOVE_AWAY, make_ring, without_the_lock
from tests.concurrency.suppression_race import run as race
from tests.engine.conftest import ONE_MAIL, World

PATIENCE = 0.5
"""Seconds to let the other side go on, where the lock would keep it waiting for ever."""

Close = Callable[[Connection, World], None]


def close_address(connection: Connection, world: World) -> None:
    suppress(connection, world.tenant_id, ["c1@example.com"], now=world.clock.time)


def close_tenant(connection: Connection, world: World) -> None:
    pause_sending(connection, world.tenant_id, now=world.clock.time, reason="test")


@pytest.fixture(params=[True, False], ids=["with the lock", "without the lock"])
def locked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        shared = text("SELECT CAST(:tenant_id AS text), CAST(:channel AS text)")
        exclusive = text("SELECT CAST(:tenant_ids AS text[]), CAST(:channels AS text[])")
        monkeypatch.setattr(sending_lock, "LOCK_SHARED", shared)
        monkeypatch.setattr(sending_lock, "LOCK_EXCLUSIVE", exclusive)
    return bool(request.param)


@pytest.fixture
def queued(world: World) -> str:
    """A message that is prepared and ready to be committed to sending; its id."""
    world.enroll(ONE_MAIL)
    lease = claim(world.database, world.clock, world.tenant_id, Share())
    with world.database.begin() as connection:
        ready = prepare(connection, lease, lease.actions, {Channel.EMAIL: "folder"}, world.clock.time, None)
        connection.execute(MOVE_AWAY, {"tenant_id": world.tenant_id})
    return ready[Channel.EMAIL][0].message.id


def commit(connection: Connection, world: World, message_id: str) -> None:
    sending_lock.lock_shared(connection, world.tenant_id, Channel.EMAIL)
    outbox.commit_to_send(connection, world.tenant_id, Channel.EMAIL, [message_id], world.clock.time)


def status(world: World) -> str:
    found: str = world.value("SELECT status FROM dripiq_app.outbound_messages")
    return found


@pytest.mark.parametrize("close", [close_address, close_tenant])
def test_a_send_that_came_first_is_committed_before_the_closing_returns(
    world: World, queued: str, locked: bool, close: Close
) -> None:
    sent, closed = threading.Event(), threading.Event()

    def sending() -> None:
        with world.database.begin() as connection:
            commit(connection, world, queued)
            sent.set()
            closed.wait(PATIENCE)

    def closing() -> str:
        sent.wait(10)
        with world.database.begin() as connection:
            close(connection, world)
        seen = status(world)
        closed.set()
        return seen

    with ThreadPoolExecutor(2) as pool:
        sender, closer = pool.submit(sending), pool.submit(closing)
        sender.result(30)
        seen_after_commit = closer.result(30)
    became_sending_afterwards = seen_after_commit == "queued" and status(world) == "sending"
    assert became_sending_afterwards is not locked


@pytest.mark.parametrize("close", [close_address, close_tenant])
def test_a_send_that_comes_second_sees_the_closing(world: World, queued: str, locked: bool, close: Close) -> None:
    closing_started, sending_done = threading.Event(), threading.Event()

    def closing() -> str:
        with world.database.begin() as connection:
            close(connection, world)
            closing_started.set()
            sending_done.wait(PATIENCE)
        return status(world)

    def sending() -> None:
        closing_started.wait(10)
        with world.database.begin() as connection:
            commit(connection, world, queued)
            sending_done.set()
            closer.result(30)

    with ThreadPoolExecutor(2) as pool:
        closer = pool.submit(closing)
        sender = pool.submit(sending)
        seen_after_commit = closer.result(30)
        sender.result(30)
    became_sending_afterwards = seen_after_commit == "queued" and status(world) == "sending"
    assert became_sending_afterwards is not locked


def test_whoever_wins_by_chance_nothing_becomes_sending_after_the_closing(engine: Engine) -> None:
    ends = race(make_ring(engine), 200, seed=1)
    assert ends["broken"] == 0
    assert min(ends["sent"], ends["closed"]) > 10  # both orders were there


def test_without_the_lock_chance_shows_it_broken(engine: Engine) -> None:
    with without_the_lock():
        assert race(make_ring(engine), 3000, seed=1, until_broken=True)["broken"] == 1
