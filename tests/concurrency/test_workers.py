"""Workers side by side: each message exactly once, nothing left behind, and little memory however much is due."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.conftest import World, email_plan, settle_tenant
from tests.processes import worker

SENDS = 20_000
MEMORY_BOUND = 200 * 1024 * 1024


@pytest.mark.timeout(300)
def test_two_workers_on_twenty_thousand_due_sends_send_each_exactly_once_and_stay_small(
    world: World, database: str, tmp_path: Path
) -> None:
    world.tenant_id, world.sender_id, world.contacts = settle_tenant(world.database, SENDS, "Large")
    world.enroll(email_plan({"id": "intro"}))
    # The plan was started at the test's time, long past: everything is due.
    with ExitStack() as stack:
        pair = [
            stack.enter_context(
                worker(
                    database,
                    "--until-idle",
                    log=tmp_path / f"worker{n}.log",
                    email_channel="folder",
                    mail_folder=str(world.folder),
                )
            )
            for n in (1, 2)
        ]
        assert [process.wait(240) for process in pair] == [0, 0]
    assert len(world.mails()) == SENDS
    assert not list(world.folder.rglob("*.2.eml"))
    assert world.rows("SELECT status, count(*) FROM dripiq_app.outbound_messages GROUP BY 1") == [("sent", SENDS)]
    assert world.rows("SELECT status, count(*) FROM dripiq_app.scheduled_actions GROUP BY 1") == [("completed", SENDS)]
    assert (
        world.value(
            "SELECT count(*) FROM dripiq_app.scheduled_actions WHERE job_id IS NOT NULL OR lease_until IS NOT NULL"
        )
        == 0
    )
    assert all(0 < process.peak_memory < MEMORY_BOUND for process in pair)
