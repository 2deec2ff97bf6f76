"""With any number of workers, no window holds more than its limit; and nine tenths of it are used while there is work."""

import asyncio
import threading
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from dripiq.channels.base import Outcome, OutgoingMessage
from dripiq.channels.folder import FolderSender
from dripiq.domain.limits import Period
from dripiq.domain.states import Channel, LimitScope
from dripiq.engine.claim import Share
from dripiq.engine.dispatch import Outbox
from dripiq.engine.enroll import enroll
from dripiq.engine.limit import set_limit
from dripiq.engine.loop import Pace, Worker
from tests.engine.conftest import NOON, ONE_MAIL, World, settle_tenant

WORKERS, SENDS, A_MINUTE = 4, 300, 100


@dataclass
class RunningClock:
    """A clock that every look moves on a little, for all workers together."""

    time: datetime = NOON
    lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self, connection: Connection) -> datetime:
        with self.lock:
            self.time += timedelta(milliseconds=7)
            return self.time

    def move_to(self, at: datetime) -> None:
        with self.lock:
            self.time = max(self.time, at)


class Witness(FolderSender):
    """A folder that looks up when each message that it is handed was committed to sending."""

    def __init__(self, world: World, committed: dict[str, datetime]) -> None:
        super().__init__(world.folder)
        self._world = world
        self._committed = committed

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        rows = self._world.rows(
            "SELECT id, updated_at FROM dripiq_app.outbound_messages WHERE status = 'sending' AND id = ANY (:ids)",
            ids=[message.id for message in batch],
        )
        self._committed.update((row.id, row.updated_at) for row in rows)
        return await super().send(batch)


@pytest.mark.timeout(120)
def test_four_workers_never_pass_a_limit_in_any_window_and_use_nine_tenths_of_it(
    engine: Engine, tmp_path: Path
) -> None:
    clock, committed = RunningClock(), dict[str, datetime]()
    tenant_id, _, contacts = settle_tenant(engine, SENDS)
    world = World(engine, tmp_path / "mail", tenant_id=tenant_id)
    with engine.begin() as connection:
        set_limit(
            connection, tenant_id, LimitScope.SENDER, maxima={Period.MINUTE: A_MINUTE, Period.HOUR: 10_000}, now=NOON
        )
        enroll(connection, tenant_id, ONE_MAIL, contacts, now=NOON)

    def work(_: int) -> None:
        outbox = Outbox(engine, clock, {Channel.EMAIL: Witness(world, committed)})
        worker = Worker(outbox, Pace(share=Share(actions=10)))
        while asyncio.run(worker.drain()):
            pass

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in range(3 * SENDS):
            list(pool.map(work, range(WORKERS)))
            due = world.value("SELECT min(run_at) FROM dripiq_app.scheduled_actions WHERE status = 'pending'")
            if due is None:
                break
            clock.move_to(due)

    left = sorted(committed.values())
    assert len(left) == len(world.mails()) == SENDS
    minute = timedelta(minutes=1)
    assert max(bisect_left(left, at + minute) - n for n, at in enumerate(left)) <= A_MINUTE
    assert 0.9 * ((left[-1] - left[0]) / minute) <= SENDS / A_MINUTE
