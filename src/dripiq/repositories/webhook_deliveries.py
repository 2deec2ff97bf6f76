"""What did a provider tell us?"""

from dripiq.repositories.base import TenantRepository
from dripiq.schema import NewWebhookDelivery, WebhookDelivery


class WebhookDeliveryRepository(TenantRepository[WebhookDelivery, NewWebhookDelivery]):
    """A tenant's slices of webhook requests, each kept once."""

    entity = WebhookDelivery
    identity = ("provider", "payload_hash")

    def get_by_hash(self, provider: str, payload_hash: str) -> WebhookDelivery | None:
        """The slice whose bytes have that SHA-256 (hex)."""
        return self._first(WebhookDelivery.provider == provider, WebhookDelivery.payload_hash == payload_hash)
