"""Whom does a campaign belong to, and whom does it write to?

These four tables are the host application's. Where it has them, they are adopted as they are: only the columns that adoption checks for are
loaded with an entity; the others exist in dripiq's own baseline, and are loaded when they are asked for.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dripiq.schema.base import SCHEMA, Base
from dripiq.schema.ids import new_id

if TYPE_CHECKING:
    from dripiq.schema.campaigns import CampaignPlanVersion, CampaignTransition, ContactCampaign, ScheduledAction
    from dripiq.schema.contacts import CommunicationSuppression, ContactChannel, EmailValidationResult
    from dripiq.schema.engine import SendRateBucket, TenantSettings
    from dripiq.schema.messages import InboundMessage, MessageEvent, OutboundMessage
    from dripiq.schema.senders import EmailSenderIdentity, SenderAccount, SendRateLimit
    from dripiq.schema.webhooks import WebhookDelivery


class HostStamped:
    """When a row of dripiq's own baseline came and when it last changed."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=90, deferred=True)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.now(), sort_order=91, deferred=True
    )


class Tenant(HostStamped, Base):
    """A customer of the host application; everything in a campaign belongs to exactly one."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id, sort_order=-1)
    name: Mapped[str] = mapped_column(deferred=True)

    leads: Mapped[list["Lead"]] = relationship(back_populates="tenant", viewonly=True)
    settings: Mapped["TenantSettings | None"] = relationship(back_populates="tenant", viewonly=True)
    sender_accounts: Mapped[list["SenderAccount"]] = relationship(back_populates="tenant", viewonly=True)
    rate_buckets: Mapped[list["SendRateBucket"]] = relationship(back_populates="tenant", viewonly=True)
    email_sender_identities: Mapped[list["EmailSenderIdentity"]] = relationship(back_populates="tenant", viewonly=True)
    contact_campaigns: Mapped[list["ContactCampaign"]] = relationship(back_populates="tenant", viewonly=True)
    campaign_plan_versions: Mapped[list["CampaignPlanVersion"]] = relationship(back_populates="tenant", viewonly=True)
    scheduled_actions: Mapped[list["ScheduledAction"]] = relationship(back_populates="tenant", viewonly=True)
    outbound_messages: Mapped[list["OutboundMessage"]] = relationship(back_populates="tenant", viewonly=True)
    message_events: Mapped[list["MessageEvent"]] = relationship(back_populates="tenant", viewonly=True)
    webhook_deliveries: Mapped[list["WebhookDelivery"]] = relationship(back_populates="tenant", viewonly=True)
    inbound_messages: Mapped[list["InboundMessage"]] = relationship(back_populates="tenant", viewonly=True)
    communication_suppressions: Mapped[list["CommunicationSuppression"]] = relationship(
        back_populates="tenant", viewonly=True
    )
    send_rate_limits: Mapped[list["SendRateLimit"]] = relationship(back_populates="tenant", viewonly=True)
    email_validation_results: Mapped[list["EmailValidationResult"]] = relationship(
        back_populates="tenant", viewonly=True
    )
    contact_channels: Mapped[list["ContactChannel"]] = relationship(back_populates="tenant", viewonly=True)
    campaign_transitions: Mapped[list["CampaignTransition"]] = relationship(back_populates="tenant", viewonly=True)


class User(HostStamped, Base):
    """A person who works with the host application; may own sender identities in several tenants."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id, sort_order=-1)
    email: Mapped[str] = mapped_column(deferred=True)
    name: Mapped[str] = mapped_column(deferred=True)

    sender_identities: Mapped[list["EmailSenderIdentity"]] = relationship(back_populates="user", viewonly=True)
    plan_versions: Mapped[list["CampaignPlanVersion"]] = relationship(back_populates="creator", viewonly=True)


class Lead(HostStamped, Base):
    """A company or account that a tenant wants to win."""

    __tablename__ = "leads"
    __table_args__ = (Index(None, "tenant_id"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id, sort_order=-1)
    tenant_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.tenants.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(deferred=True)

    tenant: Mapped["Tenant"] = relationship(back_populates="leads", viewonly=True)
    contacts: Mapped[list["LeadPointOfContact"]] = relationship(back_populates="lead", viewonly=True)
    contact_campaigns: Mapped[list["ContactCampaign"]] = relationship(back_populates="lead", viewonly=True)


class LeadPointOfContact(HostStamped, Base):
    """A person at a lead. `external_ref` is the key under which another system knows them; `timezone` an IANA name."""

    __tablename__ = "lead_point_of_contacts"
    __table_args__ = (
        UniqueConstraint("tenant_id", "external_ref"),
        Index(None, "lead_id"),
        Index(None, "email", "tenant_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id, sort_order=-1)
    tenant_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.tenants.id", ondelete="CASCADE"), deferred=True)
    lead_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.leads.id", ondelete="CASCADE"))
    external_ref: Mapped[str | None] = mapped_column(deferred=True)
    name: Mapped[str]
    email: Mapped[str | None]
    timezone: Mapped[str | None] = mapped_column(deferred=True)

    lead: Mapped["Lead"] = relationship(back_populates="contacts", viewonly=True)
    contact_campaigns: Mapped[list["ContactCampaign"]] = relationship(back_populates="contact", viewonly=True)
    outbound_messages: Mapped[list["OutboundMessage"]] = relationship(back_populates="contact", viewonly=True)
    inbound_messages: Mapped[list["InboundMessage"]] = relationship(back_populates="contact", viewonly=True)
    email_validation_results: Mapped[list["EmailValidationResult"]] = relationship(
        back_populates="contact", viewonly=True
    )
    channels: Mapped[list["ContactChannel"]] = relationship(back_populates="contact", viewonly=True)
