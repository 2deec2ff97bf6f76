"""Is a tenant's sending switched off?"""

from datetime import datetime

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


def switch_sending(
    connection: Connection, tenant_id: str, *, paused_at: datetime | None, reason: str | None, now: datetime
) -> None:
    """Switch a tenant's sending off (`paused_at`) or on (None); this transaction holds its sending locks exclusively."""
    connection.execute(
        SWITCH_SENDING, {"tenant_id": tenant_id, "id": new_id(), "paused_at": paused_at, "reason": reason, "now": now}
    )
