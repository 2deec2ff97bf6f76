"""What is to happen in a campaign, and when?"""

from dripiq.repositories.base import TenantRepository
from dripiq.schema import NewScheduledAction, ScheduledAction


class ScheduledActionRepository(TenantRepository[ScheduledAction, NewScheduledAction]):
    """A tenant's scheduled actions. Leases are the queue's: see `dripiq.repositories.queue`."""

    entity = ScheduledAction
    identity = ("dedupe_key",)

    def get_by_dedupe_key(self, dedupe_key: str) -> ScheduledAction | None:
        """The action with that identity (`dripiq.domain.ids.action_key`)."""
        return self._first(ScheduledAction.dedupe_key == dedupe_key)
