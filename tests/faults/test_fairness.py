"""Ninety-nine tenants with ten sends each beside one with 200,000: told in rounds, so that no machine is too slow for it."""

import asyncio
from collections import Counter
from pathlib import Path

from sqlalchemy import Engine, text

from dripiq.engine.claim import Share, claim_round
from dripiq.engine.enroll import enroll
from tests.engine.conftest import ONE_MAIL, World, settle_tenant

BIG, SMALL, EACH = 200_000, 99, 10

MANY_MORE = text(
    """
    INSERT INTO dripiq_app.scheduled_actions (
        tenant_id, id, contact_campaign_id, node_id, visit, action_type, run_at, status, dedupe_key, created_at, updated_at
    )
    SELECT tenant_id, id || n, contact_campaign_id, node_id, visit + n, action_type, run_at - INTERVAL '1 hour', 'pending', dedupe_key || n,
        created_at, updated_at
    FROM dripiq_app.scheduled_actions CROSS JOIN generate_series(1, :many) AS n
    WHERE tenant_id = :tenant_id
    """
)
"""All due for longer than anybody else's."""


def cram(engine: Engine, folder: Path, big: int) -> World:
    """The world of the big tenant, whose sends are the oldest, with the small ones beside it."""
    world = World(engine, folder)
    world.tenant_id, _, world.contacts = settle_tenant(engine, 1, "Big")
    world.enroll(ONE_MAIL)
    with engine.begin() as connection:
        connection.execute(MANY_MORE, {"tenant_id": world.tenant_id, "many": big - 1})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE dripiq_app.scheduled_actions"))
    for number in range(SMALL):
        tenant_id, _, contacts = settle_tenant(engine, EACH, f"Small {number}")
        with engine.begin() as connection:
            enroll(connection, tenant_id, ONE_MAIL, contacts, now=world.clock.time)
    return world


def test_a_round_takes_a_share_of_everybody_and_no_more_of_the_big_one(engine: Engine, tmp_path: Path) -> None:
    crammed = cram(engine, tmp_path, BIG // 10)
    taken: list[Counter[str]] = []
    for _ in range(4):
        leases = list(claim_round(crammed.database, crammed.clock, Share(4)))
        assert len(leases) == len({lease.tenant_id for lease in leases})
        taken.append(Counter({lease.tenant_id: len(lease.actions) for lease in leases}))
    assert [round_.pop(crammed.tenant_id) for round_ in taken] == [4, 4, 4, 4]
    assert [Counter(round_.values()) for round_ in taken] == [{4: SMALL}, {4: SMALL}, {2: SMALL}, {}]


def test_workers_that_end_after_their_first_lease_again_and_again_get_to_everybody_in_turn(
    engine: Engine, tmp_path: Path
) -> None:
    crammed = cram(engine, tmp_path, 1_000)
    turns, last = [], ""
    for _ in range(SMALL + 1):
        lease = next(claim_round(crammed.database, crammed.clock, Share(1), after=last))
        turns.append(last := lease.tenant_id)
    assert len(set(turns)) == SMALL + 1


def test_a_worker_sends_the_small_ones_mails_within_two_rounds(engine: Engine, tmp_path: Path) -> None:
    crammed = cram(engine, tmp_path / "mail", BIG)
    worker = crammed.worker(share=Share(5))

    async def two_rounds() -> None:
        await worker.drain()
        await worker.drain()

    asyncio.run(two_rounds())
    sent = "SELECT count(*) FROM dripiq_app.outbound_messages WHERE status = 'sent' AND tenant_id <> :tenant_id"
    assert crammed.value(sent) == SMALL * EACH
    left = "SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status = 'pending' AND tenant_id = :tenant_id"
    assert crammed.value(left) >= BIG - 2 * 5
