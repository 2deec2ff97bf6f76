"""What does a simulation have to ask, beside what the engine asks?"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

READ_NEXT_DUE = text(
    """
    SELECT run_at FROM dripiq_app.scheduled_actions
    WHERE tenant_id = :tenant_id AND status = 'pending'
    ORDER BY run_at LIMIT 1
    """
)

READ_VISITS = text(
    """
    SELECT id, to_address, node_id, visit FROM dripiq_app.outbound_messages
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[]))
    """
)
"""Which visit of which node each message is of."""


def read_next_due(connection: Connection, tenant_id: str) -> datetime | None:
    """When the tenant's earliest pending action is due; None without any."""
    found: datetime | None = connection.execute(READ_NEXT_DUE, {"tenant_id": tenant_id}).scalar()
    return found


def read_sent(connection: Connection, tenant_id: str, message_ids: Iterable[str]) -> Sequence[Any]:
    """These messages: id, to_address, node_id, visit."""
    return connection.execute(READ_VISITS, {"tenant_id": tenant_id, "ids": list(message_ids)}).all()
