"""What happened to a message?"""

from datetime import datetime

from dripiq.repositories.base import TenantRepository
from dripiq.schema import MessageEvent, NewMessageEvent


class MessageEventRepository(TenantRepository[MessageEvent, NewMessageEvent]):
    """A tenant's events, stored by the month of `event_at`: who knows that time saves the look into every month."""

    entity = MessageEvent
    identity = ("provider", "provider_event_id", "event_at")

    def get_by_provider_event(
        self, provider: str, provider_event_id: str, event_at: datetime | None = None
    ) -> MessageEvent | None:
        """The event that a provider knows under that id.

        Args:
            event_at: its own time (with its zone), part of the key; without it the earliest of that id, in whatever month.
        """
        same_time = () if event_at is None else (MessageEvent.event_at == event_at,)
        return self._first(
            MessageEvent.provider == provider,
            MessageEvent.provider_event_id == provider_event_id,
            *same_time,
            order=(MessageEvent.event_at,),
        )
