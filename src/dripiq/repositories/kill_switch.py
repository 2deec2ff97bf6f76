"""Is a tenant's sending switched off?"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.schema.ids import new_id

SWITCH_SENDING = text(
    """
    INSERT INTO dripiq_app.tenant_settings (tenant_id, id, sending_paused_at, sending_paused_reason, created_at, updated_at)
    VALUES (:tenant_id, :id, :paused_at, :reason, :now, :now)
    ON CONFLICT (tenant_id) DO UPDATE
    SET sending_paused_at = excluded.sending_paused_at, sending_paused_reason = excluded.sending_paused_reason, updated_at = excluded.updated_at
    """
)


FIND_PAUSED_TENANTS = text(
    """
    SELECT tenant_id, sending_paused_at, sending_paused_reason FROM dripiq_app.tenant_settings WHERE sending_paused_at IS NOT NULL
    """
)


def find_paused(connection: Connection) -> dict[str, dict[str, Any]]:
    """Since when and why the sending of tenants is switched off, by their ids."""
    return {
        row.tenant_id: {"sending_paused_at": row.sending_paused_at, "sending_paused_reason": row.sending_paused_reason}
        for row in connection.execute(FIND_PAUSED_TENANTS)
    }


def switch_sending(
    connection: Connection, tenant_id: str, *, paused_at: datetime | None, reason: str | None, now: datetime
) -> None:
    """Switch a tenant's sending off (`paused_at`) or on (None); this transaction holds its sending locks exclusively."""
    connection.execute(
        SWITCH_SENDING, {"tenant_id": tenant_id, "id": new_id(), "paused_at": paused_at, "reason": reason, "now": now}
    )
