"""Which plans has a campaign followed?"""

from dripiq.repositories.base import TenantRepository
from dripiq.schema import CampaignPlanVersion, NewCampaignPlanVersion


class CampaignPlanVersionRepository(TenantRepository[CampaignPlanVersion, NewCampaignPlanVersion]):
    """The versions of the plans of a tenant's campaigns."""

    entity = CampaignPlanVersion
    identity = ("contact_campaign_id", "version")

    def get_version(self, contact_campaign_id: str, version: str) -> CampaignPlanVersion | None:
        """One version of a campaign's plan."""
        return self._first(
            CampaignPlanVersion.contact_campaign_id == contact_campaign_id, CampaignPlanVersion.version == version
        )

    def latest(self, contact_campaign_id: str) -> CampaignPlanVersion | None:
        """The version that was stored last."""
        return self._first(
            CampaignPlanVersion.contact_campaign_id == contact_campaign_id,
            order=(CampaignPlanVersion.created_at.desc(), CampaignPlanVersion.version.desc()),
        )
