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

DROP_SPARE_INDEXES = text(
    """
    DROP INDEX IF EXISTS
        dripiq_app.contact_campaigns_status_idx,
        dripiq_app.ix_contact_campaigns_contact_id,
        dripiq_app.ix_contact_campaigns_tenant_id_sender_identity_id,
        dripiq_app.idx_scheduled_actions_ready,
        dripiq_app.ix_scheduled_actions_lease_until,
        dripiq_app.ix_outbound_messages_tenant_id_created_at,
        dripiq_app.ix_outbound_messages_contact_id,
        dripiq_app.ix_outbound_messages_tenant_id_sender_identity_id,
        dripiq_app.ix_outbound_messages_status_updated_at,
        dripiq_app.idx_message_events_tenant_event_time,
        dripiq_app.ix_message_events_tenant_id_event_type_event_at,
        dripiq_app.ix_campaign_transitions_tenant_id_contact_campaign_id_at
    """
)
"""Of a database that is made for a simulation: what only looks, other tenants, upkeep and deletions use. Without them most changes of a message are changes in
place, for none of its keys changes."""


def drop_spare_indexes(connection: Connection) -> None:
    """Leave a simulation's own database the indexes that it uses."""
    connection.execute(DROP_SPARE_INDEXES)


def read_next_due(connection: Connection, tenant_id: str) -> datetime | None:
    """When the tenant's earliest pending action is due; None without any."""
    found: datetime | None = connection.execute(READ_NEXT_DUE, {"tenant_id": tenant_id}).scalar()
    return found


def read_sent(connection: Connection, tenant_id: str, message_ids: Iterable[str]) -> Sequence[Any]:
    """These messages: id, to_address, node_id, visit."""
    return connection.execute(READ_VISITS, {"tenant_id": tenant_id, "ids": list(message_ids)}).all()
