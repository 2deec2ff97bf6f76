"""Which campaign does a contact have?"""

from dripiq.domain.states import Channel
from dripiq.repositories.base import TenantRepository
from dripiq.schema import ContactCampaign, NewContactCampaign


class ContactCampaignRepository(TenantRepository[ContactCampaign, NewContactCampaign]):
    """A tenant's campaigns; one for each contact and channel. Where it stands (status, node, visit) is moved by the engine alone."""

    entity = ContactCampaign
    identity = ("contact_id", "channel")

    def get_by_contact(self, contact_id: str, channel: Channel) -> ContactCampaign | None:
        """The campaign of a contact on a channel."""
        return self._first(ContactCampaign.contact_id == contact_id, ContactCampaign.channel == channel)
