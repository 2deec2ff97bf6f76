"""Which tables are there, and what do their rows look like?

Entities (`ContactCampaign`) are what is read, `New…` dictionaries what creates one: their required keys are the columns without a default,
and `tenant_id` is not among them, for a repository is made for one tenant and supplies it.
"""

from dripiq.schema.base import SCHEMA, Base
from dripiq.schema.campaigns import (
    CampaignPlanVersion,
    CampaignTransition,
    ContactCampaign,
    NewCampaignPlanVersion,
    NewCampaignTransition,
    NewContactCampaign,
    NewScheduledAction,
    ScheduledAction,
)
from dripiq.schema.contacts import (
    CommunicationSuppression,
    ContactChannel,
    EmailValidationResult,
    NewCommunicationSuppression,
    NewContactChannel,
    NewEmailValidationResult,
)
from dripiq.schema.engine import SendRateBucket, TenantSettings, WebhookQuarantine
from dripiq.schema.hosts import Lead, LeadPointOfContact, Tenant, User
from dripiq.schema.messages import (
    InboundMessage,
    MessageEvent,
    NewInboundMessage,
    NewMessageEvent,
    NewOutboundMessage,
    OutboundMessage,
)
from dripiq.schema.senders import (
    EmailSenderIdentity,
    NewEmailSenderIdentity,
    NewSendRateLimit,
    SenderAccount,
    SendRateLimit,
)
from dripiq.schema.webhooks import NewWebhookDelivery, WebhookDelivery

__all__ = [
    "SCHEMA",
    "Base",
    "CampaignPlanVersion",
    "CampaignTransition",
    "CommunicationSuppression",
    "ContactCampaign",
    "ContactChannel",
    "EmailSenderIdentity",
    "EmailValidationResult",
    "InboundMessage",
    "Lead",
    "LeadPointOfContact",
    "MessageEvent",
    "NewCampaignPlanVersion",
    "NewCampaignTransition",
    "NewCommunicationSuppression",
    "NewContactCampaign",
    "NewContactChannel",
    "NewEmailSenderIdentity",
    "NewEmailValidationResult",
    "NewInboundMessage",
    "NewMessageEvent",
    "NewOutboundMessage",
    "NewScheduledAction",
    "NewSendRateLimit",
    "NewWebhookDelivery",
    "OutboundMessage",
    "ScheduledAction",
    "SendRateBucket",
    "SendRateLimit",
    "SenderAccount",
    "Tenant",
    "TenantSettings",
    "User",
    "WebhookDelivery",
    "WebhookQuarantine",
]
