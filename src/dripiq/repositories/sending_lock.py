"""How do "stop writing to this address" and "send now" agree on an order?

A check and a send in one statement are not enough under READ COMMITTED: the statement's snapshot may predate a suppression that commits while it
waits. So both take an advisory lock on (tenant, channel) as their transaction's first statement: who commits messages to sending takes it shared,
who suppresses or turns the kill switch takes it exclusively. Once a suppression's COMMIT has returned, nothing of that address becomes `sending`.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, text

from dripiq.domain.states import Channel

_KEY = "hashtextextended('dripiq.sending:' || tenant_id || ':' || channel, 0)"

LOCK_SHARED = text(
    f"SELECT pg_advisory_xact_lock_shared({_KEY}) FROM (VALUES (CAST(:tenant_id AS text), CAST(:channel AS text))) AS t (tenant_id, channel)"  # noqa: S608
)

LOCK_EXCLUSIVE = text(
    f"""
    SELECT pg_advisory_xact_lock({_KEY})
    FROM (
        SELECT DISTINCT tenant_id, channel
        FROM unnest(CAST(:tenant_ids AS text[]), CAST(:channels AS text[])) AS t (tenant_id, channel)
        ORDER BY tenant_id, channel
    ) AS sorted
    """  # noqa: S608
)


def lock_shared(connection: Connection, tenant_id: str, channel: Channel) -> None:
    """Take the tenant's sending lock shared, until the transaction ends; must be its first statement."""
    connection.execute(LOCK_SHARED, {"tenant_id": tenant_id, "channel": channel})


def lock_exclusive(connection: Connection, pairs: Iterable[tuple[str, Channel]]) -> None:
    """Take the sending locks of (tenant_id, channel) pairs exclusively, in sorted order, until the transaction ends.

    Must be the transaction's first statement; it waits for the sub-batch in hand of each tenant to be committed, and holds up their sending until
    the transaction ends.
    """
    sorted_pairs = sorted(set(pairs))
    connection.execute(
        LOCK_EXCLUSIVE,
        {"tenant_ids": [tenant_id for tenant_id, _ in sorted_pairs], "channels": [str(c) for _, c in sorted_pairs]},
    )
