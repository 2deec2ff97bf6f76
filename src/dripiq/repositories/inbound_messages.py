"""What did people write back?"""

from dripiq.domain.states import Channel
from dripiq.repositories.base import TenantRepository
from dripiq.schema import InboundMessage, NewInboundMessage


class InboundMessageRepository(TenantRepository[InboundMessage, NewInboundMessage]):
    """A tenant's inbound messages, each kept once however often it is fetched."""

    entity = InboundMessage
    identity = ("channel", "provider_message_id")

    def get_by_provider_message_id(self, channel: Channel, provider_message_id: str) -> InboundMessage | None:
        """The message that came in on a channel under that id."""
        return self._first(InboundMessage.channel == channel, InboundMessage.provider_message_id == provider_message_id)
