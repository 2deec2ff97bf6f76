"""Under which addresses can a contact be reached?"""

from dripiq.domain.states import Channel
from dripiq.repositories.base import TenantRepository
from dripiq.schema import ContactChannel, NewContactChannel


class ContactChannelRepository(TenantRepository[ContactChannel, NewContactChannel]):
    """The addresses and numbers of a tenant's contacts; one at most is primary for a contact and channel."""

    entity = ContactChannel
    identity = ("contact_id", "channel", "value")

    def get_by_value(self, contact_id: str, channel: Channel, value: str) -> ContactChannel | None:
        """A contact's address or number, in any case."""
        return self._first(
            ContactChannel.contact_id == contact_id,
            ContactChannel.channel == channel,
            ContactChannel.value == value.strip().lower(),
        )

    def primary(self, contact_id: str, channel: Channel) -> ContactChannel | None:
        """The address or number to use."""
        return self._first(
            ContactChannel.contact_id == contact_id, ContactChannel.channel == channel, ContactChannel.is_primary
        )
