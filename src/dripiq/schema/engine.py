"""What does the engine itself have to remember, beside the thirteen campaign tables?"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dripiq.domain.limits import Period
from dripiq.domain.states import Channel, LimitScope
from dripiq.schema.base import SCHEMA, Base, Stamped, TenantKeyed, Word, one_of
from dripiq.schema.ids import new_id

if TYPE_CHECKING:
    from dripiq.schema.hosts import Tenant


class TenantSettings(TenantKeyed, Base):
    """A tenant's kill switch (`sending_paused_at`), and what becomes of messages that stay in doubt. No row: the defaults."""

    __tablename__ = "tenant_settings"
    __table_args__ = (
        UniqueConstraint("tenant_id"),
        CheckConstraint("in_doubt_policy IN ('assume_sent', 'resend')", name="in_doubt_policy"),
    )

    sending_paused_at: Mapped[datetime | None]
    sending_paused_reason: Mapped[str | None]
    in_doubt_policy: Mapped[str] = mapped_column(server_default="assume_sent")
    in_doubt_after: Mapped[timedelta] = mapped_column(server_default=text("'24:00:00'::interval"))

    tenant: Mapped["Tenant"] = relationship(back_populates="settings", viewonly=True)


class SendRateBucket(TenantKeyed, Base):
    """What counts against a limit: how much has left, or is booked to leave, in each slice (a twentieth) of a period from `first_slice` on.

    `scope_value` is a sender's id, a recipient domain, or, for the tenant itself, empty. Slices are counted from 1970.
    """

    __tablename__ = "send_rate_buckets"
    __table_args__ = (
        UniqueConstraint("tenant_id", "channel", "scope", "scope_value", "period"),
        one_of("channel", Channel),
        one_of("scope", LimitScope),
        one_of("period", Period),
    )

    channel: Mapped[Channel] = mapped_column(Word(Channel))
    scope: Mapped[LimitScope] = mapped_column(Word(LimitScope))
    scope_value: Mapped[str]
    period: Mapped[Period] = mapped_column(Word(Period))
    first_slice: Mapped[int] = mapped_column(BigInteger)
    taken: Mapped[list[Any]]

    tenant: Mapped["Tenant"] = relationship(back_populates="rate_buckets", viewonly=True)


class WebhookQuarantine(Stamped, Base):
    """What no tenant could be found for, or what spoke for somebody else: kept whole, and routed later.

    The one table whose `tenant_id` may be null (it is what is missing), so its keys go without it.
    """

    __tablename__ = "webhook_quarantine"
    __table_args__ = (UniqueConstraint("provider", "payload_hash"), Index(None, "tenant_id"))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id, sort_order=-1)
    tenant_id: Mapped[str | None] = mapped_column(ForeignKey(f"{SCHEMA}.tenants.id", ondelete="CASCADE"))
    provider: Mapped[str]
    received_at: Mapped[datetime]
    reason: Mapped[str]
    raw: Mapped[bytes]
    payload_hash: Mapped[str]
