"""Which clicks came together?"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, text

from dripiq.domain.attention import Click
from dripiq.domain.states import Confidence

MOST_WAITING = 500

READ_CLICKS = text(
    """
    SELECT outbound_message_id, event_at, url, confidence FROM dripiq_app.message_events
    WHERE tenant_id = :tenant_id AND outbound_message_id = ANY (CAST(:message_ids AS text[])) AND event_at BETWEEN :since AND :until
        AND event_type = 'clicked' AND provider = :provider
    """
)

READ_WAITING = text(
    """
    SELECT raw FROM dripiq_app.webhook_deliveries
    WHERE tenant_id = :tenant_id AND status = 'received' AND provider = :provider AND received_at <= :until
    ORDER BY received_at
    LIMIT :most
    """
)


def read_clicks(
    connection: Connection,
    tenant_id: str,
    provider: str,
    message_ids: Collection[str],
    since: datetime,
    until: datetime,
) -> list[Click]:
    """The stored clicks on these messages' links from one time to another."""
    if not message_ids:
        return []
    parameters = {
        "tenant_id": tenant_id,
        "provider": provider,
        "message_ids": sorted(message_ids),
        "since": since,
        "until": until,
    }
    rows = connection.execute(READ_CLICKS, parameters)
    return [Click(row.outbound_message_id, row.event_at, row.url, Confidence(row.confidence)) for row in rows]


def read_waiting(connection: Connection, tenant_id: str, provider: str, until: datetime) -> list[bytes]:
    """What a tenant's archive holds of a provider up to a time that nobody has worked yet; the first `MOST_WAITING`."""
    parameters = {"tenant_id": tenant_id, "provider": provider, "until": until, "most": MOST_WAITING}
    return list(connection.execute(READ_WAITING, parameters).scalars())
