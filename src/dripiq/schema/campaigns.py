"""Where does each contact's campaign stand, which plan does it follow, what comes next, and how did it get here?"""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Required, TypedDict

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from dripiq.domain.rotation import SenderChoice
from dripiq.domain.states import ActionStatus, ActionType, CampaignStatus, Channel, PlanOrigin
from dripiq.schema.base import SCHEMA, Base, TenantKeyed, Word, belongs_to, may_lose, one_of
from dripiq.schema.messages import MessageEvent

if TYPE_CHECKING:
    from dripiq.schema.hosts import Lead, LeadPointOfContact, Tenant, User
    from dripiq.schema.messages import InboundMessage, OutboundMessage
    from dripiq.schema.senders import EmailSenderIdentity


class ContactCampaign(TenantKeyed, Base):
    """One contact's own campaign on one channel, with its own copy of the plan; only `react` moves it.

    `visit` is the number of the present visit, counted over all nodes and enrolments; `visits` counts each node's entries in this enrolment;
    `transition_seq` is the last link of its chain of transitions.
    """

    __tablename__ = "contact_campaigns"
    __table_args__ = (
        UniqueConstraint("tenant_id", "contact_id", "channel", name="contact_channel_unique"),
        Index("contact_campaigns_status_idx", "tenant_id", "status"),
        Index(None, "lead_id"),
        Index(None, "contact_id"),
        Index(None, "tenant_id", "sender_identity_id"),
        may_lose("email_sender_identities", "sender_identity_id"),
        one_of("channel", Channel),
        one_of("status", CampaignStatus),
        one_of("sender_choice", SenderChoice),
        {
            # Every move rewrites the row: room on its page, and a vacuum that does not wait for a fifth of a large table.
            "postgresql_with": {
                "fillfactor": 80,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_analyze_scale_factor": 0.02,
            }
        },
    )

    lead_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.leads.id", ondelete="CASCADE"))
    contact_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.lead_point_of_contacts.id", ondelete="CASCADE"))
    channel: Mapped[Channel] = mapped_column(Word(Channel))
    status: Mapped[CampaignStatus] = mapped_column(Word(CampaignStatus), server_default="draft")
    current_node_id: Mapped[str | None]
    visit: Mapped[int] = mapped_column(server_default="0")
    visits: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    node_entered_at: Mapped[datetime | None]
    transition_seq: Mapped[int] = mapped_column(server_default="0")
    plan_json: Mapped[dict[str, Any]]
    plan_version: Mapped[str] = mapped_column(server_default="1.0")
    plan_hash: Mapped[str]
    sender_identity_id: Mapped[str | None]
    sender_choice: Mapped[SenderChoice | None] = mapped_column(Word(SenderChoice), sort_order=92)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    last_error: Mapped[str | None]

    tenant: Mapped["Tenant"] = relationship(back_populates="contact_campaigns", viewonly=True)
    lead: Mapped["Lead"] = relationship(back_populates="contact_campaigns", viewonly=True)
    contact: Mapped["LeadPointOfContact"] = relationship(back_populates="contact_campaigns", viewonly=True)
    sender_identity: Mapped["EmailSenderIdentity | None"] = relationship(
        back_populates="contact_campaigns", viewonly=True
    )
    plan_versions: Mapped[list["CampaignPlanVersion"]] = relationship(back_populates="contact_campaign", viewonly=True)
    scheduled_actions: Mapped[list["ScheduledAction"]] = relationship(back_populates="contact_campaign", viewonly=True)
    outbound_messages: Mapped[list["OutboundMessage"]] = relationship(back_populates="contact_campaign", viewonly=True)
    inbound_messages: Mapped[list["InboundMessage"]] = relationship(back_populates="contact_campaign", viewonly=True)
    # No key stands behind this one: events are dropped by month, and outlive their campaign until then.
    message_events: Mapped[list["MessageEvent"]] = relationship(
        primaryjoin=lambda: (
            (ContactCampaign.tenant_id == foreign(MessageEvent.tenant_id))
            & (ContactCampaign.id == foreign(MessageEvent.contact_campaign_id))
        ),
        back_populates="contact_campaign",
        viewonly=True,
    )
    transitions: Mapped[list["CampaignTransition"]] = relationship(
        back_populates="contact_campaign", viewonly=True, order_by="CampaignTransition.seq"
    )


class NewContactCampaign(TypedDict, total=False):
    """What creates a `ContactCampaign`."""

    id: str
    lead_id: Required[str]
    contact_id: Required[str]
    channel: Required[Channel]
    status: CampaignStatus
    current_node_id: str | None
    visit: int
    visits: dict[str, Any]
    node_entered_at: datetime | None
    transition_seq: int
    plan_json: Required[dict[str, Any]]
    plan_version: str
    plan_hash: Required[str]
    sender_identity_id: str | None
    sender_choice: SenderChoice | None
    started_at: datetime | None
    completed_at: datetime | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime


class CampaignPlanVersion(TenantKeyed, Base):
    """A plan that a campaign followed, as it was: who wrote it, and when."""

    __tablename__ = "campaign_plan_versions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "contact_campaign_id", "version"),
        Index(None, "created_by"),
        belongs_to("contact_campaigns", "contact_campaign_id"),
        one_of("generated_by", PlanOrigin),
    )

    contact_campaign_id: Mapped[str]
    version: Mapped[str]
    plan_json: Mapped[dict[str, Any]]
    plan_hash: Mapped[str]
    generated_by: Mapped[PlanOrigin] = mapped_column(Word(PlanOrigin))
    created_by: Mapped[str | None] = mapped_column(ForeignKey(f"{SCHEMA}.users.id", ondelete="SET NULL (created_by)"))
    notes: Mapped[str | None]

    tenant: Mapped["Tenant"] = relationship(back_populates="campaign_plan_versions", viewonly=True)
    contact_campaign: Mapped["ContactCampaign"] = relationship(back_populates="plan_versions", viewonly=True)
    creator: Mapped["User | None"] = relationship(back_populates="plan_versions", viewonly=True)


class NewCampaignPlanVersion(TypedDict, total=False):
    """What creates a `CampaignPlanVersion`."""

    id: str
    contact_campaign_id: Required[str]
    version: Required[str]
    plan_json: Required[dict[str, Any]]
    plan_hash: Required[str]
    generated_by: Required[PlanOrigin]
    created_by: str | None
    notes: str | None
    created_at: datetime
    updated_at: datetime


class ScheduledAction(TenantKeyed, Base):
    """Something to do at `run_at`. While a worker holds it, it is `queued` with the lease's token (`job_id`) and end, and only then."""

    __tablename__ = "scheduled_actions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "dedupe_key"),
        Index("idx_scheduled_actions_ready", "status", "run_at", postgresql_where=text("status = 'pending'")),
        Index(None, "tenant_id", "run_at", postgresql_where=text("status = 'pending'")),
        Index(None, "lease_until", postgresql_where=text("status = 'queued'")),
        # What is held, and why: upkeep asks for it, and who lifts a reason releases it.
        Index(None, "tenant_id", "reason", postgresql_where=text("status = 'held'")),
        Index(None, "tenant_id", "contact_campaign_id"),
        belongs_to("contact_campaigns", "contact_campaign_id"),
        one_of("action_type", ActionType),
        one_of("status", ActionStatus),
        CheckConstraint(
            "(status = 'queued') = (job_id IS NOT NULL) AND (status = 'queued') = (lease_until IS NOT NULL)",
            name="lease",
        ),
        {
            "postgresql_with": {
                "fillfactor": 85,
                "autovacuum_vacuum_scale_factor": 0.01,
                "autovacuum_analyze_scale_factor": 0.02,
            }
        },
    )

    contact_campaign_id: Mapped[str]
    node_id: Mapped[str]
    visit: Mapped[int]
    action_type: Mapped[ActionType] = mapped_column(Word(ActionType))
    run_at: Mapped[datetime]
    status: Mapped[ActionStatus] = mapped_column(Word(ActionStatus), server_default="pending")
    job_id: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    dedupe_key: Mapped[str]
    reason: Mapped[str | None]
    last_error: Mapped[str | None]
    payload: Mapped[dict[str, Any] | None]

    tenant: Mapped["Tenant"] = relationship(back_populates="scheduled_actions", viewonly=True)
    contact_campaign: Mapped["ContactCampaign"] = relationship(back_populates="scheduled_actions", viewonly=True)


class NewScheduledAction(TypedDict, total=False):
    """What creates a `ScheduledAction`."""

    id: str
    contact_campaign_id: Required[str]
    node_id: Required[str]
    visit: Required[int]
    action_type: Required[ActionType]
    run_at: Required[datetime]
    status: ActionStatus
    job_id: str | None
    lease_until: datetime | None
    attempts: int
    dedupe_key: Required[str]
    reason: str | None
    last_error: str | None
    payload: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


class CampaignTransition(TenantKeyed, Base):
    """One move of a campaign, never changed afterwards; `seq` makes one chain per campaign.

    `event_ref` is the id of the event that caused it, without a key: events are dropped by month.
    """

    __tablename__ = "campaign_transitions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "contact_campaign_id", "seq"),
        Index(None, "tenant_id", "contact_campaign_id", "at"),
        belongs_to("contact_campaigns", "contact_campaign_id"),
        one_of("from_status", CampaignStatus),
        one_of("to_status", CampaignStatus),
    )

    contact_campaign_id: Mapped[str]
    seq: Mapped[int]
    from_node_id: Mapped[str | None]
    to_node_id: Mapped[str | None]
    from_status: Mapped[CampaignStatus | None] = mapped_column(Word(CampaignStatus))
    to_status: Mapped[CampaignStatus] = mapped_column(Word(CampaignStatus))
    trigger: Mapped[str]
    reason: Mapped[str | None]
    event_ref: Mapped[str | None]
    actor: Mapped[str | None]
    at: Mapped[datetime]

    tenant: Mapped["Tenant"] = relationship(back_populates="campaign_transitions", viewonly=True)
    contact_campaign: Mapped["ContactCampaign"] = relationship(back_populates="transitions", viewonly=True)


class NewCampaignTransition(TypedDict, total=False):
    """What creates a `CampaignTransition`."""

    id: str
    contact_campaign_id: Required[str]
    seq: Required[int]
    from_node_id: str | None
    to_node_id: str | None
    from_status: CampaignStatus | None
    to_status: Required[CampaignStatus]
    trigger: Required[str]
    reason: str | None
    event_ref: str | None
    actor: str | None
    at: Required[datetime]
    created_at: datetime
    updated_at: datetime
