"""What is suppressed, and what no longer?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.states import Channel, SuppressionScope, SuppressionType

LIST_SUPPRESSIONS = text(
    """
    SELECT id, channel, value, scope, type, source, first_seen_at, last_seen_at, expires_at
    FROM dripiq_app.communication_suppressions
    WHERE tenant_id = :tenant_id AND (value, channel, type) > (:after_value, :after_channel, :after_type)
        AND (CAST(:values AS text[]) IS NULL OR value = ANY (CAST(:values AS text[])))
        AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY value, channel, type
    LIMIT :limit
    """
)

END_SUPPRESSIONS = text(
    """
    WITH locked AS (
        SELECT id FROM dripiq_app.communication_suppressions
        WHERE tenant_id = :tenant_id AND channel = :channel AND value = ANY (CAST(:values AS text[])) AND scope = :scope
            AND type = ANY (CAST(:types AS text[])) AND (expires_at IS NULL OR expires_at > :now)
        ORDER BY value COLLATE "C", type COLLATE "C"
        FOR NO KEY UPDATE
    )
    UPDATE dripiq_app.communication_suppressions AS suppression
    SET expires_at = :now, updated_at = :now
    FROM locked
    WHERE suppression.tenant_id = :tenant_id AND suppression.id = locked.id
    RETURNING suppression.value, suppression.type
    """
)
"""The row stays: that somebody once asked for it, or that an address once bounced, is worth knowing."""


def list_suppressions(
    connection: Connection,
    tenant_id: str,
    *,
    now: datetime,
    limit: int,
    values: Sequence[str] | None = None,
    after: tuple[str, str, str] = ("", "", ""),
) -> Sequence[Any]:
    """A tenant's suppressions that are in force at `now`, by value.

    Args:
        values: only those of these addresses and domains; None for all.
        after: (value, channel, type) of the last one of the page before.
    """
    parameters = {
        "tenant_id": tenant_id,
        "now": now,
        "limit": limit,
        "values": None if values is None else list(values),
    }
    place = dict(zip(("after_value", "after_channel", "after_type"), after, strict=True))
    return connection.execute(LIST_SUPPRESSIONS, parameters | place).all()


def end_suppressions(
    connection: Connection,
    tenant_id: str,
    channel: Channel,
    scope: SuppressionScope,
    values: Sequence[str],
    types: Sequence[SuppressionType],
    now: datetime,
) -> list[tuple[str, str]]:
    """Let suppressions end now; (value, type) of those that did."""
    parameters = {"channel": channel, "scope": scope, "values": list(values), "types": [str(type) for type in types]}
    rows = connection.execute(END_SUPPRESSIONS, {"tenant_id": tenant_id, "now": now, **parameters})
    return [(row.value, row.type) for row in rows]
