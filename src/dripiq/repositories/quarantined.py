"""What lies in quarantine, and how does it leave?

A row is taken out by the transaction that archives it, so that of two who route it one finds nothing.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

LIST_QUARANTINED = text(
    """
    SELECT id, provider, received_at, reason, length(raw) AS bytes
    FROM dripiq_app.webhook_quarantine
    ORDER BY received_at, id
    LIMIT :limit
    """
)

COUNT_QUARANTINED = text("SELECT count(*) FROM dripiq_app.webhook_quarantine WHERE reason = :reason")

READ_QUARANTINED = text(
    """
    SELECT id, provider, received_at, reason, payload_hash, raw FROM dripiq_app.webhook_quarantine WHERE id = :id
    """
)

PAGE_QUARANTINED = text(
    """
    SELECT id, provider, received_at, reason, raw
    FROM dripiq_app.webhook_quarantine
    WHERE reason = :reason AND id > :after
    ORDER BY id
    LIMIT :limit
    FOR UPDATE
    """
)

TAKE_QUARANTINED = text(
    """
    DELETE FROM dripiq_app.webhook_quarantine WHERE id = ANY (CAST(:ids AS text[])) RETURNING id, provider, received_at, reason, raw
    """
)


def list_quarantined(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """What is quarantined, the oldest first."""
    return [dict(row._mapping) for row in connection.execute(LIST_QUARANTINED, {"limit": limit})]


def count_quarantined(connection: Connection, reason: str) -> int:
    """How much is quarantined for that reason."""
    return int(connection.execute(COUNT_QUARANTINED, {"reason": reason}).scalar_one())


def read_quarantined(connection: Connection, quarantine_id: str) -> Any | None:
    """One part of a request, with its bytes."""
    return connection.execute(READ_QUARANTINED, {"id": quarantine_id}).one_or_none()


def page_quarantined(connection: Connection, reason: str, after: str, limit: int) -> Sequence[Any]:
    """The next ones of that reason after an id, in the order of their ids; locked until the transaction ends."""
    return connection.execute(PAGE_QUARANTINED, {"reason": reason, "after": after, "limit": limit}).all()


def take_quarantined(connection: Connection, ids: Sequence[str]) -> Sequence[Any]:
    """Take these out; what was there of them."""
    return connection.execute(TAKE_QUARANTINED, {"ids": list(ids)}).all()
