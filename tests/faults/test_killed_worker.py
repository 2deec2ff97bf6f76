"""A worker that is killed while it sends: nothing twice, nothing lost without a row that says so, no campaign stuck."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.engine.conftest import World, email_plan, settle_tenant
from tests.engine.smtp_server import Server
from tests.processes import eventually, worker

SENDS = 3_000
CONNECTIONS = 10


@pytest.mark.timeout(300)
def test_a_worker_killed_while_sending_and_a_new_one_send_nothing_twice_and_leave_nothing_stuck(
    world: World, database: str, tmp_path: Path, smtp: Server
) -> None:
    world.tenant_id, world.sender_id, world.contacts = settle_tenant(world.database, SENDS, "Large")
    world.enroll(email_plan({"id": "intro"}))
    settings = {
        "email_channel": "smtp", "smtp_host": "127.0.0.1", "smtp_port": str(smtp.port), "smtp_security": "none",
        "smtp_connections": str(CONNECTIONS), "smtp_timeout": "1", "lease": "3", "upkeep": "0.5", "poll": "0.5",
    }  # fmt: skip
    with worker(database, log=tmp_path / "first.log", **settings) as first:
        eventually(lambda: len(smtp.received) > SENDS // 10, 60, "the first worker sends")
        os.kill(first.pid, signal.SIGKILL)
        assert first.wait(10) == -signal.SIGKILL
    with worker(database, log=tmp_path / "second.log", **settings) as second:
        unsettled = "SELECT count(*) FROM dripiq_app.outbound_messages WHERE status NOT IN ('sent', 'in_doubt')"
        waiting = "SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status IN ('pending', 'queued')"
        eventually(lambda: world.value(waiting) == 0 == world.value(unsettled), 120, "the second worker does the rest")
        second.process.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
    accepted = Counter(smtp.message_ids())
    assert max(accepted.values()) == 1
    statuses = {
        row.smtp_id: row.status for row in world.rows("SELECT smtp_id, status FROM dripiq_app.outbound_messages")
    }
    assert len(statuses) == SENDS
    sent = {smtp_id for smtp_id, status in statuses.items() if status == "sent"}
    assert sent <= accepted.keys()
    in_doubt = statuses.keys() - sent
    assert len(in_doubt) <= CONNECTIONS
    assert accepted.keys() <= statuses.keys()
    stuck = """
        SELECT count(*) FROM dripiq_app.contact_campaigns AS campaign
        WHERE campaign.status = 'active' AND NOT EXISTS (
            SELECT FROM dripiq_app.scheduled_actions AS action
            WHERE action.contact_campaign_id = campaign.id AND action.status = 'held' AND action.reason = 'in_doubt')
    """
    assert world.value(stuck) == 0
