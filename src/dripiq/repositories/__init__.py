"""How is each table reached?

For people and programs that act for one tenant: `TenantRepository` and its thirteen, over a session and a tenant. For the engine, which works
on batches: the modules named for what they do (`queue`, `sending_lock`, …), over a connection.
"""

from dripiq.repositories.base import Page, TenantRepository
from dripiq.repositories.campaign_plan_versions import CampaignPlanVersionRepository
from dripiq.repositories.campaign_transitions import CampaignTransitionRepository
from dripiq.repositories.communication_suppressions import CommunicationSuppressionRepository
from dripiq.repositories.contact_campaigns import ContactCampaignRepository
from dripiq.repositories.contact_channels import ContactChannelRepository
from dripiq.repositories.email_sender_identities import EmailSenderIdentityRepository
from dripiq.repositories.email_validation_results import EmailValidationResultRepository
from dripiq.repositories.inbound_messages import InboundMessageRepository
from dripiq.repositories.message_events import MessageEventRepository
from dripiq.repositories.outbound_messages import OutboundMessageRepository
from dripiq.repositories.scheduled_actions import ScheduledActionRepository
from dripiq.repositories.send_rate_limits import SendRateLimitRepository
from dripiq.repositories.webhook_deliveries import WebhookDeliveryRepository

__all__ = [
    "CampaignPlanVersionRepository",
    "CampaignTransitionRepository",
    "CommunicationSuppressionRepository",
    "ContactCampaignRepository",
    "ContactChannelRepository",
    "EmailSenderIdentityRepository",
    "EmailValidationResultRepository",
    "InboundMessageRepository",
    "MessageEventRepository",
    "OutboundMessageRepository",
    "Page",
    "ScheduledActionRepository",
    "SendRateLimitRepository",
    "TenantRepository",
    "WebhookDeliveryRepository",
]
