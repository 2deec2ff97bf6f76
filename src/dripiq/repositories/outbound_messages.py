"""What was sent, and what became of it?"""

from collections.abc import Mapping, Sequence

from dripiq.domain.errors import InputError
from dripiq.domain.states import MessageStatus
from dripiq.repositories.base import Condition, TenantRepository
from dripiq.schema import NewOutboundMessage, OutboundMessage


class OutboundMessageRepository(TenantRepository[OutboundMessage, NewOutboundMessage]):
    """A tenant's messages, one for each send. An update to a status weaker than the stored one changes nothing (`MessageStatus.rank`)."""

    entity = OutboundMessage
    identity = ("dedupe_key",)

    def get_by_dedupe_key(self, dedupe_key: str) -> OutboundMessage | None:
        """The message with that identity (`dripiq.domain.ids.send_key`)."""
        return self._first(OutboundMessage.dedupe_key == dedupe_key)

    def get_by_provider_message_id(self, provider: str, provider_message_id: str) -> OutboundMessage | None:
        """The message that a provider knows under that id; the latest, should it use an id again."""
        return self._first(
            OutboundMessage.provider == provider,
            OutboundMessage.provider_message_id == provider_message_id,
            order=(OutboundMessage.created_at.desc(), OutboundMessage.id),
        )

    def _still_hold(self, changes: Mapping[str, object]) -> Sequence[Condition]:
        if "status" not in changes:
            return ()
        try:
            status = MessageStatus(str(changes["status"]))
        except ValueError:
            words = ", ".join(MessageStatus)
            raise InputError(f"{changes['status']!r} is no status of a message: take one of {words}.") from None
        return (OutboundMessage.status.in_([known for known in MessageStatus if known.rank <= status.rank]),)
