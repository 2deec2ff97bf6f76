"""When was a sender's address last asked to prove itself, and has it?"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

READ_SENDER = text(
    """
    SELECT id, from_email, from_name, validation_status, last_validated_at FROM dripiq_app.email_sender_identities
    WHERE tenant_id = :tenant_id AND from_email = :address
    FOR NO KEY UPDATE
    """
)

MARK_ASKED = text(
    """
    UPDATE dripiq_app.email_sender_identities SET last_validated_at = :now, updated_at = :now WHERE tenant_id = :tenant_id AND id = :id
    """
)

MARK_VERIFIED = text(
    """
    UPDATE dripiq_app.email_sender_identities
    SET validation_status = 'verified', last_validated_at = :now, updated_at = :now
    WHERE tenant_id = :tenant_id AND id = :id
    """
)


def read_sender(connection: Connection, tenant_id: str, address: str) -> Any | None:
    """A tenant's sender of that address (lower-case), locked until the transaction ends."""
    return connection.execute(READ_SENDER, {"tenant_id": tenant_id, "address": address}).one_or_none()


def mark_asked(connection: Connection, tenant_id: str, sender_id: str, now: datetime) -> None:
    """Note that a code was made for the sender."""
    connection.execute(MARK_ASKED, {"tenant_id": tenant_id, "id": sender_id, "now": now})


def mark_verified(connection: Connection, tenant_id: str, sender_id: str, now: datetime) -> None:
    """Note that the sender's address has proved itself."""
    connection.execute(MARK_VERIFIED, {"tenant_id": tenant_id, "id": sender_id, "now": now})
