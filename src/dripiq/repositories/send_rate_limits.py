"""How fast may a tenant send?"""

from sqlalchemy import or_

from dripiq.domain.states import Channel, LimitScope
from dripiq.repositories.base import TenantRepository
from dripiq.schema import NewSendRateLimit, SendRateLimit


class SendRateLimitRepository(TenantRepository[SendRateLimit, NewSendRateLimit]):
    """A tenant's limits; a limit without `scope_value` is for each one of its kind."""

    entity = SendRateLimit
    identity = ("channel", "scope", "scope_value")

    def get_by_scope(self, channel: Channel, scope: LimitScope, scope_value: str | None = None) -> SendRateLimit | None:
        """The limit with exactly that key."""
        return self._first(
            SendRateLimit.channel == channel,
            SendRateLimit.scope == scope,
            SendRateLimit.scope_value.is_not_distinct_from(scope_value),
        )

    def get_for(self, channel: Channel, scope: LimitScope, scope_value: str | None = None) -> SendRateLimit | None:
        """The limit that holds for a sender or domain: its own, else the one for each of its kind."""
        return self._first(
            SendRateLimit.channel == channel,
            SendRateLimit.scope == scope,
            or_(SendRateLimit.scope_value == scope_value, SendRateLimit.scope_value.is_(None)),
            order=(SendRateLimit.scope_value.asc().nulls_last(),),
        )
