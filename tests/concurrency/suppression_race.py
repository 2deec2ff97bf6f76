"""Thousands of races between "send now" and "write to this address no more", over real connections.

    python -m tests.concurrency.suppression_race [--tries N] [--seed N] [--unlocked]

In each try one connection commits a sub-batch to sending while another suppresses one of its addresses, or turns the tenant's kill switch. It is broken where a
message that was not yet `sending` when the closing's COMMIT had returned becomes it afterwards. `--unlocked` takes the sending lock out: then that is seen.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine, text

from dripiq.db.session import make_engine
from dripiq.domain.states import Channel
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch.prepare import prepare
from dripiq.engine.enroll import enroll
from dripiq.engine.steer import pause_sending
from dripiq.engine.suppress import suppress
from dripiq.repositories import sending_lock
from dripiq.repositories.outbox import commit_to_send
from tests.engine.conftest import ONE_MAIL, HandClock, settle_tenant

SUB_BATCH = 5

AGAIN = (
    text(
        "UPDATE dripiq_app.outbound_messages SET status = 'queued' WHERE tenant_id = :tenant_id AND status <> 'queued'"
    ),
    text("DELETE FROM dripiq_app.communication_suppressions WHERE tenant_id = :tenant_id"),
    text("UPDATE dripiq_app.tenant_settings SET sending_paused_at = NULL WHERE tenant_id = :tenant_id"),
)
MOVE_AWAY = text("UPDATE dripiq_app.lead_point_of_contacts SET email = 'new-' || email WHERE tenant_id = :tenant_id")
"""The contacts have another address by now: no campaign ends with the old one, and the lock alone keeps prepared mail from it."""
STATUS = text("SELECT status FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id AND id = :id")


@dataclass
class Ring:
    """Where they race: a tenant whose messages are prepared; message ids and addresses."""

    database: Engine
    tenant_id: str
    messages: list[tuple[str, str]]
    clock: HandClock
    _meet: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))

    def race(self, chance: random.Random) -> str:
        """One try; who came first (`sent` or `closed`), or `broken`."""
        part = chance.sample(self.messages, SUB_BATCH)
        message_id, address = chance.choice(part)
        ahead, by_switch = chance.uniform(-0.003, 0.003), chance.random() < 0.5
        with ThreadPoolExecutor(1) as other:
            sending = other.submit(self._send, [id for id, _ in part], max(0.0, ahead))
            seen = self._close(message_id, address, by_switch, max(0.0, -ahead))
            sending.result(30)
        end = self._status(message_id)
        self._undo()
        if seen == "queued" and end == "sending":
            return "broken"
        return "closed" if end == "queued" else "sent"

    def _send(self, ids: list[str], pause: float) -> None:
        self._meet.wait(10)
        time.sleep(pause)
        with self.database.begin() as connection:
            sending_lock.lock_shared(connection, self.tenant_id, Channel.EMAIL)
            commit_to_send(connection, self.tenant_id, Channel.EMAIL, ids, self.clock.time)

    def _close(self, message_id: str, address: str, by_switch: bool, pause: float) -> str:
        """Close; the message's status as it is seen after the COMMIT."""
        self._meet.wait(10)
        time.sleep(pause)
        with self.database.begin() as connection:
            if by_switch:
                pause_sending(connection, self.tenant_id, now=self.clock.time, reason="race")
            else:
                suppress(connection, self.tenant_id, [address], now=self.clock.time)
        return self._status(message_id)

    def _status(self, message_id: str) -> str:
        with self.database.begin() as connection:
            found = connection.execute(STATUS, {"tenant_id": self.tenant_id, "id": message_id})
            return str(found.scalar_one())

    def _undo(self) -> None:
        with self.database.begin() as connection:
            for statement in AGAIN:
                connection.execute(statement, {"tenant_id": self.tenant_id})


def make_ring(database: Engine) -> Ring:
    """A tenant with prepared messages."""
    clock = HandClock()
    tenant_id, _, contacts = settle_tenant(database, 30)
    with database.begin() as connection:
        enroll(connection, tenant_id, ONE_MAIL, contacts, now=clock.time)
    lease = claim(database, clock, tenant_id, Share())
    with database.begin() as connection:
        ready = prepare(connection, lease, lease.actions, {Channel.EMAIL: "folder"}, clock.time, None)
        connection.execute(MOVE_AWAY, {"tenant_id": tenant_id})
    return Ring(database, tenant_id, [(r.message.id, r.message.to_address) for r in ready[Channel.EMAIL]], clock)


@contextmanager
def without_the_lock() -> Iterator[None]:
    """The same statements, that lock nothing."""
    locks = sending_lock.LOCK_SHARED, sending_lock.LOCK_EXCLUSIVE
    sending_lock.LOCK_SHARED = text("SELECT CAST(:tenant_id AS text), CAST(:channel AS text)")
    sending_lock.LOCK_EXCLUSIVE = text("SELECT CAST(:tenant_ids AS text[]), CAST(:channels AS text[])")
    try:
        yield
    finally:
        sending_lock.LOCK_SHARED, sending_lock.LOCK_EXCLUSIVE = locks


def run(ring: Ring, tries: int, seed: int, *, until_broken: bool = False) -> Counter[str]:
    """Race so many times; how the tries ended."""
    chance, ends = random.Random(seed), Counter[str]()
    for _ in range(tries):
        ends[ring.race(chance)] += 1
        if until_broken and ends["broken"]:
            break
    return ends


def main() -> int:
    from tests.faults.ground import own_ground

    parser = argparse.ArgumentParser(prog="python -m tests.concurrency.suppression_race", description=__doc__)
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unlocked", action="store_true")
    chosen = parser.parse_args()
    with own_ground() as ground, ground.server.database(ground.server.template) as url:
        engine = make_engine(url, pool_size=4)
        ring = make_ring(engine)
        if chosen.unlocked:
            with without_the_lock():
                ends = run(ring, chosen.tries, chosen.seed)
        else:
            ends = run(ring, chosen.tries, chosen.seed)
        engine.dispose()
    sys.stdout.write(
        f"{sum(ends.values()):,} tries (seed {chosen.seed}), the lock {'taken out' if chosen.unlocked else 'in'}: the send came first {ends['sent']:,} times,"
        f" the closing {ends['closed']:,}; became sending after the closing's COMMIT: {ends['broken']:,}\n"
    )
    return 1 if ends["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
