"""What was sent, what became of it, and what came back?"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Required, TypedDict

from sqlalchemy import ForeignKey, Index, UniqueConstraint, desc, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dripiq.domain.events import EventType
from dripiq.domain.states import Channel, Confidence, InboundClass, MessageStatus
from dripiq.schema.base import SCHEMA, Base, TenantKeyed, Word, belongs_to, lower_case, may_lose, one_of

if TYPE_CHECKING:
    from dripiq.schema.campaigns import ContactCampaign
    from dripiq.schema.hosts import LeadPointOfContact, Tenant
    from dripiq.schema.senders import EmailSenderIdentity


class OutboundMessage(TenantKeyed, Base):
    """One send, whatever happens to it: `dedupe_key` is its identity, and a retry updates this row."""

    __tablename__ = "outbound_messages"
    __table_args__ = (
        UniqueConstraint("tenant_id", "dedupe_key"),
        Index("idx_outbound_messages_provider_lookup", "provider", "provider_message_id"),
        Index(None, "tenant_id", "contact_campaign_id"),
        Index(None, "tenant_id", "created_at"),
        Index(None, "contact_id"),
        Index(None, "tenant_id", "sender_identity_id"),
        # The few that a worker has in hand or may have lost, whatever the history: upkeep asks for them every few seconds.
        Index(None, "status", "updated_at", postgresql_where=text("status IN ('sending', 'in_doubt')")),
        # Those that were refused: upkeep counts them against their senders.
        Index(None, "tenant_id", "updated_at", postgresql_where=text("status = 'failed'")),
        Index(None, "to_address", postgresql_where=text("channel = 'sms'")),
        belongs_to("contact_campaigns", "contact_campaign_id"),
        may_lose("email_sender_identities", "sender_identity_id"),
        one_of("channel", Channel),
        one_of("status", MessageStatus),
        lower_case("to_address"),
        {
            "postgresql_with": {
                "fillfactor": 85,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_analyze_scale_factor": 0.02,
            }
        },
    )

    contact_campaign_id: Mapped[str]
    contact_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.lead_point_of_contacts.id", ondelete="CASCADE"))
    node_id: Mapped[str]
    visit: Mapped[int]
    channel: Mapped[Channel] = mapped_column(Word(Channel))
    sender_identity_id: Mapped[str | None]
    to_address: Mapped[str]
    subject: Mapped[str | None]
    body: Mapped[str]
    rendered_body: Mapped[str | None]
    provider: Mapped[str]
    provider_message_id: Mapped[str | None]
    smtp_id: Mapped[str | None]
    status: Mapped[MessageStatus] = mapped_column(Word(MessageStatus), server_default="queued")
    error_code: Mapped[str | None]
    last_error: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    scheduled_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    dedupe_key: Mapped[str]
    rendered_html: Mapped[str | None] = mapped_column(sort_order=92)
    variant: Mapped[str | None] = mapped_column(sort_order=93)
    slot: Mapped[dict[str, Any] | None] = mapped_column(sort_order=94)

    tenant: Mapped["Tenant"] = relationship(back_populates="outbound_messages", viewonly=True)
    contact_campaign: Mapped["ContactCampaign"] = relationship(back_populates="outbound_messages", viewonly=True)
    contact: Mapped["LeadPointOfContact"] = relationship(back_populates="outbound_messages", viewonly=True)
    sender_identity: Mapped["EmailSenderIdentity | None"] = relationship(
        back_populates="outbound_messages", viewonly=True
    )
    events: Mapped[list["MessageEvent"]] = relationship(back_populates="outbound_message", viewonly=True)


class NewOutboundMessage(TypedDict, total=False):
    """What creates an `OutboundMessage`."""

    id: str
    contact_campaign_id: Required[str]
    contact_id: Required[str]
    node_id: Required[str]
    visit: Required[int]
    channel: Required[Channel]
    sender_identity_id: str | None
    to_address: Required[str]
    subject: str | None
    body: Required[str]
    rendered_body: str | None
    provider: Required[str]
    provider_message_id: str | None
    smtp_id: str | None
    status: MessageStatus
    error_code: str | None
    last_error: str | None
    attempts: int
    scheduled_at: datetime | None
    sent_at: datetime | None
    dedupe_key: Required[str]
    rendered_html: str | None
    variant: str | None
    slot: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


class MessageEvent(TenantKeyed, Base):
    """One fact about a message, partitioned by the month of `event_at`.

    `event_at` (UTC) comes from the provider's payload alone, never from a clock, so that a redelivery meets its first copy; a partitioned
    table's keys must hold it.
    """

    __tablename__ = "message_events"
    __table_args__ = (
        UniqueConstraint("tenant_id", "provider", "provider_event_id", "event_at"),
        Index("idx_message_events_tenant_event_time", "tenant_id", desc("event_at")),
        Index(None, "tenant_id", "outbound_message_id", "event_at"),
        Index(None, "tenant_id", "event_type", "event_at"),
        belongs_to("outbound_messages", "outbound_message_id"),
        one_of("event_type", EventType),
        one_of("confidence", Confidence),
        {"postgresql_partition_by": "RANGE (event_at)"},
    )

    outbound_message_id: Mapped[str | None]
    contact_campaign_id: Mapped[str | None]
    provider: Mapped[str]
    event_type: Mapped[EventType] = mapped_column(Word(EventType))
    event_at: Mapped[datetime] = mapped_column(primary_key=True)
    url: Mapped[str | None]
    ip: Mapped[str | None]
    user_agent: Mapped[str | None]
    provider_event_id: Mapped[str]
    payload: Mapped[dict[str, Any] | None]
    confidence: Mapped[Confidence] = mapped_column(Word(Confidence), server_default="unknown")

    tenant: Mapped["Tenant"] = relationship(back_populates="message_events", viewonly=True)
    outbound_message: Mapped["OutboundMessage | None"] = relationship(back_populates="events", viewonly=True)
    contact_campaign: Mapped["ContactCampaign | None"] = relationship(
        primaryjoin="and_(foreign(MessageEvent.tenant_id) == ContactCampaign.tenant_id, "
        "foreign(MessageEvent.contact_campaign_id) == ContactCampaign.id)",
        back_populates="message_events",
        viewonly=True,
    )


class NewMessageEvent(TypedDict, total=False):
    """What creates a `MessageEvent`."""

    id: str
    outbound_message_id: str | None
    contact_campaign_id: str | None
    provider: Required[str]
    event_type: Required[EventType]
    event_at: Required[datetime]
    url: str | None
    ip: str | None
    user_agent: str | None
    provider_event_id: Required[str]
    payload: dict[str, Any] | None
    confidence: Confidence
    created_at: datetime
    updated_at: datetime


class InboundMessage(TenantKeyed, Base):
    """A message that came in, as received; kept when its campaign or contact goes."""

    __tablename__ = "inbound_messages"
    __table_args__ = (
        UniqueConstraint("tenant_id", "channel", "provider_message_id"),
        Index(None, "tenant_id", "from_address", "received_at"),
        Index(None, "tenant_id", "contact_campaign_id"),
        Index(None, "contact_id"),
        may_lose("contact_campaigns", "contact_campaign_id"),
        one_of("channel", Channel),
        one_of("classification", InboundClass),
        lower_case("to_address"),
        lower_case("from_address"),
    )

    contact_campaign_id: Mapped[str | None]
    contact_id: Mapped[str | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.lead_point_of_contacts.id", ondelete="SET NULL (contact_id)")
    )
    channel: Mapped[Channel] = mapped_column(Word(Channel))
    to_address: Mapped[str]
    from_address: Mapped[str]
    subject: Mapped[str | None]
    text: Mapped[str | None]
    html: Mapped[str | None]
    attachments: Mapped[list[Any] | None]
    headers: Mapped[dict[str, Any] | None]
    in_reply_to: Mapped[str | None]
    classification: Mapped[InboundClass] = mapped_column(Word(InboundClass), server_default="unknown")
    provider_message_id: Mapped[str]
    received_at: Mapped[datetime]

    tenant: Mapped["Tenant"] = relationship(back_populates="inbound_messages", viewonly=True)
    contact_campaign: Mapped["ContactCampaign | None"] = relationship(back_populates="inbound_messages", viewonly=True)
    contact: Mapped["LeadPointOfContact | None"] = relationship(back_populates="inbound_messages", viewonly=True)


class NewInboundMessage(TypedDict, total=False):
    """What creates an `InboundMessage`."""

    id: str
    contact_campaign_id: str | None
    contact_id: str | None
    channel: Required[Channel]
    to_address: Required[str]
    from_address: Required[str]
    subject: str | None
    text: str | None
    html: str | None
    attachments: list[Any] | None
    headers: dict[str, Any] | None
    in_reply_to: str | None
    classification: InboundClass
    provider_message_id: Required[str]
    received_at: Required[datetime]
    created_at: datetime
    updated_at: datetime
