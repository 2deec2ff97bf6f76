"""How did a campaign get where it stands?"""

from collections.abc import Sequence

from dripiq.repositories.base import AppendRepository
from dripiq.schema import CampaignTransition, NewCampaignTransition


class CampaignTransitionRepository(AppendRepository[CampaignTransition, NewCampaignTransition]):
    """The moves of a tenant's campaigns: added and read, never changed."""

    entity = CampaignTransition
    identity = ("contact_campaign_id", "seq")

    def chain(self, contact_campaign_id: str) -> Sequence[CampaignTransition]:
        """All moves of a campaign, first to last."""
        return self._all(CampaignTransition.contact_campaign_id == contact_campaign_id, order=(CampaignTransition.seq,))
