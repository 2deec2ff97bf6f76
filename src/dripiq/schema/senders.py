"""Who sends, and how fast may they?"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Required, TypedDict

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, false, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dripiq.domain.accounts import REFERENCE
from dripiq.domain.rotation import MOST_WEIGHT
from dripiq.domain.sender_health import PauseReason
from dripiq.domain.states import Channel, LimitScope, ValidationStatus
from dripiq.schema.base import SCHEMA, Base, TenantKeyed, Word, belongs_to, lower_case, one_of

if TYPE_CHECKING:
    from dripiq.schema.campaigns import ContactCampaign
    from dripiq.schema.hosts import Tenant, User
    from dripiq.schema.messages import OutboundMessage


class EmailSenderIdentity(TenantKeyed, Base):
    """An address that a user sends from, once it is shown to be theirs.

    `rotation_weight`: how often it has its turn beside the tenant's others; null is 1, 0 never. `rates_since`: its bounces and complaints count from then on.
    """

    __tablename__ = "email_sender_identities"
    __table_args__ = (
        UniqueConstraint("tenant_id", "from_email", name="tenant_email_unique"),
        Index(
            "uq_email_sender_identities_default",
            "tenant_id",
            "user_id",
            unique=True,
            postgresql_where=text("is_default"),
        ),
        Index(None, "user_id"),
        one_of("validation_status", ValidationStatus),
        one_of("pause_reason", PauseReason),
        CheckConstraint(f"rotation_weight BETWEEN 0 AND {MOST_WEIGHT}", name="rotation_weight"),
        CheckConstraint("paused_at IS NULL OR pause_reason IS NOT NULL", name="paused_for_a_reason"),
        lower_case("from_email"),
        lower_case("domain"),
        lower_case("reply_to"),
    )

    user_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.users.id", ondelete="CASCADE"))
    from_email: Mapped[str]
    from_name: Mapped[str]
    domain: Mapped[str]
    reply_to: Mapped[str | None]
    sendgrid_sender_id: Mapped[str | None]
    validation_status: Mapped[ValidationStatus] = mapped_column(Word(ValidationStatus), server_default="pending")
    last_validated_at: Mapped[datetime | None]
    dedicated_ip_pool: Mapped[str | None]
    is_default: Mapped[bool] = mapped_column(server_default=false())
    rotation_weight: Mapped[int | None] = mapped_column(sort_order=92)
    paused_at: Mapped[datetime | None] = mapped_column(sort_order=93)
    pause_reason: Mapped[PauseReason | None] = mapped_column(Word(PauseReason), sort_order=94)
    pause_note: Mapped[str | None] = mapped_column(sort_order=95)
    rates_since: Mapped[datetime | None] = mapped_column(sort_order=96)

    tenant: Mapped["Tenant"] = relationship(back_populates="email_sender_identities", viewonly=True)
    user: Mapped["User"] = relationship(back_populates="sender_identities", viewonly=True)
    contact_campaigns: Mapped[list["ContactCampaign"]] = relationship(back_populates="sender_identity", viewonly=True)
    outbound_messages: Mapped[list["OutboundMessage"]] = relationship(back_populates="sender_identity", viewonly=True)
    account: Mapped["SenderAccount | None"] = relationship(back_populates="sender_identity", viewonly=True)


class NewEmailSenderIdentity(TypedDict, total=False):
    """What creates an `EmailSenderIdentity`."""

    id: str
    user_id: Required[str]
    from_email: Required[str]
    from_name: Required[str]
    domain: Required[str]
    reply_to: str | None
    sendgrid_sender_id: str | None
    validation_status: ValidationStatus
    last_validated_at: datetime | None
    dedicated_ip_pool: str | None
    is_default: bool
    rotation_weight: int | None
    paused_at: datetime | None
    pause_reason: PauseReason | None
    pause_note: str | None
    rates_since: datetime | None
    created_at: datetime
    updated_at: datetime


class SenderAccount(TenantKeyed, Base):
    """A sender's own account: over which server its mail leaves, and where its replies come in (`imap_…`: all of them, or none).

    `imap_due_at`: when the mailbox is read next, or until when a worker reads it. `imap_error`: why it was not read when it was tried last, `imap_failures`
    times in a row. Secrets are references (`env:NAME`, `file:PATH`). A reference says what a worker reads, so a tenant's own role may not write it.
    """

    __tablename__ = "sender_accounts"
    __table_args__ = (
        UniqueConstraint("tenant_id", "sender_identity_id"),
        belongs_to("email_sender_identities", "sender_identity_id"),
        CheckConstraint("smtp_security IN ('starttls', 'tls', 'none')", name="smtp_security"),
        CheckConstraint("imap_security IN ('starttls', 'tls', 'none')", name="imap_security"),
        CheckConstraint(f"smtp_secret ~ '{REFERENCE}'", name="smtp_secret_named"),
        CheckConstraint(f"imap_secret ~ '{REFERENCE}'", name="imap_secret_named"),
        CheckConstraint("(smtp_username IS NULL) = (smtp_secret IS NULL)", name="smtp_login"),
        CheckConstraint(
            "num_nulls(imap_host, imap_port, imap_security, imap_username, imap_secret, imap_folder) IN (0, 6)",
            name="imap_whole",
        ),
    )

    sender_identity_id: Mapped[str]
    smtp_host: Mapped[str]
    smtp_port: Mapped[int] = mapped_column(BigInteger)
    smtp_security: Mapped[str]
    smtp_username: Mapped[str | None]
    smtp_secret: Mapped[str | None]
    imap_host: Mapped[str | None]
    imap_port: Mapped[int | None] = mapped_column(BigInteger)
    imap_security: Mapped[str | None]
    imap_username: Mapped[str | None]
    imap_secret: Mapped[str | None]
    imap_folder: Mapped[str | None]
    imap_due_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=92)
    imap_read_at: Mapped[datetime | None] = mapped_column(sort_order=93)
    imap_failures: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), sort_order=94)
    imap_error: Mapped[str | None] = mapped_column(sort_order=95)

    tenant: Mapped["Tenant"] = relationship(back_populates="sender_accounts", viewonly=True)
    sender_identity: Mapped["EmailSenderIdentity"] = relationship(back_populates="account", viewonly=True)


class SendRateLimit(TenantKeyed, Base):
    """How much may leave, over any window. `scope_value` is a sender's id or a domain; null: each one of its kind."""

    __tablename__ = "send_rate_limits"
    __table_args__ = (
        UniqueConstraint("tenant_id", "channel", "scope", "scope_value", postgresql_nulls_not_distinct=True),
        one_of("channel", Channel),
        one_of("scope", LimitScope),
        CheckConstraint("scope <> 'domain' OR scope_value = lower(scope_value)", name="scope_value_lower"),
    )

    channel: Mapped[Channel] = mapped_column(Word(Channel))
    scope: Mapped[LimitScope] = mapped_column(Word(LimitScope))
    scope_value: Mapped[str | None]
    max_per_minute: Mapped[int | None]
    max_per_hour: Mapped[int | None]
    max_per_day: Mapped[int | None]
    ramp: Mapped[dict[str, Any] | None]
    notes: Mapped[str | None]

    tenant: Mapped["Tenant"] = relationship(back_populates="send_rate_limits", viewonly=True)


class NewSendRateLimit(TypedDict, total=False):
    """What creates a `SendRateLimit`."""

    id: str
    channel: Required[Channel]
    scope: Required[LimitScope]
    scope_value: str | None
    max_per_minute: int | None
    max_per_hour: int | None
    max_per_day: int | None
    ramp: dict[str, Any] | None
    notes: str | None
    created_at: datetime
    updated_at: datetime
