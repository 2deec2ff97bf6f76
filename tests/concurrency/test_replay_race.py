"""A replay and a worker that normalises go over the same archive at once: each event is stored once, whoever comes first.

What Twilio tells has no time of its own, so that no key of the database catches a second copy in other bytes: the tenant's turn does. Without it, it is seen.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from sqlalchemy import event, text

from dripiq.channels.twilio_request import pack
from dripiq.engine import replay as replaying_engine
from dripiq.engine.ingest import ingest
from dripiq.engine.normalise import normalise
from dripiq.engine.replay import Scope, plan_replay
from dripiq.repositories import intake, replaying
from tests.engine.conftest import NOON, ONE_MAIL, World

PATIENCE = 20.0


@pytest.mark.parametrize("in_turn", [True, False], ids=["with the turn", "without the turn"])
def test_a_replay_beside_a_worker_stores_each_event_once(
    world: World, in_turn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_turn:
        monkeypatch.setattr(replaying, "WAIT_FOR_TURN", text("SELECT CAST(:tenant_id AS text)"))
        monkeypatch.setattr(intake, "TAKE_TURN", text("SELECT CAST(:tenant_id AS text) IS NOT NULL"))
    world.enroll(ONE_MAIL)
    world.work()
    report(world, "in some bytes")
    world.work()
    world.execute("DELETE FROM dripiq_app.message_events")  # an event that was lost
    report(world, "in other bytes")  # and that Twilio tells again
    looked, tried = threading.Event(), threading.Event()

    def between(connection: object, cursor: object, statement: str, *rest: object) -> None:
        """The replay has looked at what is stored; before it goes on, the worker may try."""
        if "provider_event_id = ANY" in statement and threading.current_thread().name.startswith("replay"):
            looked.set()
            tried.wait(PATIENCE)

    event.listen(world.database, "after_cursor_execute", between)
    with world.database.connect() as connection:
        scope = Scope(NOON - timedelta(days=1), NOON + timedelta(days=1), apply=True)
        scope, (archived,) = plan_replay(connection, scope, world.tenant_id)
    with ThreadPoolExecutor(1, thread_name_prefix="replay") as pool:
        running = pool.submit(replaying_engine.replay, world.database, world.clock, archived, scope, lambda count: None)
        assert looked.wait(PATIENCE)
        worked = normalise(world.database, world.clock, world.tenant_id)
        tried.set()
        assert running.result(PATIENCE).deliveries == 1
    assert worked == (0 if in_turn else 1)
    normalise(world.database, world.clock, world.tenant_id)
    copies = world.value("SELECT count(*) FROM dripiq_app.message_events WHERE event_type = 'delivered'")
    assert copies == (1 if in_turn else 2)
    assert world.rows("SELECT DISTINCT status FROM dripiq_app.webhook_deliveries") == [("processed",)]


def report(world: World, said: str) -> None:
    world.clock.pass_(minutes=1)
    query = urlencode({"dripiq_tenant": world.tenant_id, "dripiq_message": world.message()})
    form = urlencode({"MessageSid": "SM1", "MessageStatus": "delivered", "Said": said})
    with world.database.begin() as connection:
        ingest(connection, pack(query, form.encode()), world.clock.time, "twilio")
