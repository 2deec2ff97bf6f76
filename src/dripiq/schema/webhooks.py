"""What did a provider tell us, byte for byte?"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Required, TypedDict

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dripiq.domain.states import DeliveryStatus
from dripiq.schema.base import Base, TenantKeyed, Word, one_of

if TYPE_CHECKING:
    from dripiq.schema.hosts import Tenant


class WebhookDelivery(TenantKeyed, Base):
    """One tenant's slice of one request, archived before the provider is answered.

    `raw` is the truth; `payload` is there when jsonb can hold it (it refuses `\\u0000` and lone surrogates). `payload_hash` is the SHA-256 of
    `raw`, so that the same slice again changes nothing; `error` lists index and code of every event that could not be read.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("tenant_id", "provider", "payload_hash"),
        Index(None, "received_at", postgresql_where=text("status = 'received'")),
        Index(None, "tenant_id", "received_at", postgresql_where=text("status = 'received'")),
        one_of("status", DeliveryStatus),
    )

    provider: Mapped[str]
    received_at: Mapped[datetime]
    signature_valid: Mapped[bool]
    raw: Mapped[bytes]
    payload: Mapped[list[Any] | None]
    payload_hash: Mapped[str]
    status: Mapped[DeliveryStatus] = mapped_column(Word(DeliveryStatus), server_default="received")
    processed_at: Mapped[datetime | None]
    error: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="0")

    tenant: Mapped["Tenant"] = relationship(back_populates="webhook_deliveries", viewonly=True)


class NewWebhookDelivery(TypedDict, total=False):
    """What creates a `WebhookDelivery`."""

    id: str
    provider: Required[str]
    received_at: Required[datetime]
    signature_valid: Required[bool]
    raw: Required[bytes]
    payload: list[Any] | None
    payload_hash: Required[str]
    status: DeliveryStatus
    processed_at: datetime | None
    error: str | None
    attempts: int
    created_at: datetime
    updated_at: datetime
