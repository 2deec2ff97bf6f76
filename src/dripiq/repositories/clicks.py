"""Which clicks came together?"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, text

from dripiq.domain.attention import Click, by_request
from dripiq.domain.events import EventType

MOST_WAITING = 500

READ_CLICKS = text(
    """
    SELECT outbound_message_id, event_at, url, coalesce(user_agent, '') AS user_agent,
        coalesce(payload ->> 'method', 'GET') AS method, coalesce(payload ->> 'prefetch', 'false') = 'true' AS prefetch
    FROM dripiq_app.message_events
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
    """The stored clicks on these messages' links from one time to another, each as sure as it is by itself, whatever its own company made of it."""
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
    return [
        Click(
            row.outbound_message_id,
            row.event_at,
            row.url,
            by_request(EventType.CLICKED, row.method, row.user_agent, is_prefetch=row.prefetch),
        )
        for row in rows
    ]


def read_waiting(connection: Connection, tenant_id: str, provider: str, until: datetime) -> list[bytes]:
    """What a tenant's archive holds of a provider up to a time that nobody has worked yet; the first `MOST_WAITING`."""
    parameters = {"tenant_id": tenant_id, "provider": provider, "until": until, "most": MOST_WAITING}
    return list(connection.execute(READ_WAITING, parameters).scalars())
