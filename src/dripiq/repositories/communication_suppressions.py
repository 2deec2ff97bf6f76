"""To whom must a tenant not write?"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, func, or_

from dripiq.domain.addresses import domain_of
from dripiq.domain.states import Channel, SuppressionScope, SuppressionType
from dripiq.repositories.base import TenantRepository
from dripiq.repositories.sending_lock import lock_exclusive
from dripiq.schema import CommunicationSuppression, NewCommunicationSuppression

_Row = CommunicationSuppression


class CommunicationSuppressionRepository(TenantRepository[CommunicationSuppression, NewCommunicationSuppression]):
    """A tenant's suppressions: one for each value and type on a channel.

    Every write takes the tenant's sending lock, and holds up its sending until the transaction ends: **make it the transaction's first
    statement**, and commit soon. Once that COMMIT has returned, no further message to what is suppressed is handed to a provider.
    """

    entity = CommunicationSuppression
    identity = ("channel", "value", "type")

    def get_by_value(self, channel: Channel, value: str, type: SuppressionType) -> CommunicationSuppression | None:
        """The suppression of an address or domain for one reason, expired or not."""
        return self._first(_Row.channel == channel, _Row.value == value.strip().lower(), _Row.type == type)

    def is_suppressed(self, channel: Channel, address: str, *, now: datetime | None = None) -> bool:
        """Whether anything forbids writing to an address; see `in_force`."""
        return bool(self.in_force(channel, address, now=now))

    def in_force(
        self, channel: Channel, address: str, *, now: datetime | None = None
    ) -> Sequence[CommunicationSuppression]:
        """What forbids writing to an address: suppressions of it or of its domain that have not expired, of the address first.

        Args:
            channel: the channel that would be used.
            address: an address in any case; on SMS a number.
            now: the time to judge by (with its zone); the database's where it is not given.
        """
        stored = address.strip().lower()
        itself = and_(_Row.scope == SuppressionScope.ADDRESS, _Row.value == stored)
        domain = and_(_Row.scope == SuppressionScope.DOMAIN, _Row.value == domain_of(stored))
        lasting = or_(_Row.expires_at.is_(None), _Row.expires_at > (func.now() if now is None else now))
        return self._all(_Row.channel == channel, or_(itself, domain), lasting, order=(_Row.scope, _Row.type))

    def _before_write(self, rows: Sequence[Mapping[str, object]] | None) -> None:
        # A row changed by its id may be of any channel, and to look first would make the lock come second.
        channels = tuple(Channel) if rows is None else tuple(str(row["channel"]) for row in rows)
        known = [channel for channel in Channel if channel in channels]
        lock_exclusive(self._session.connection(), [(self.tenant_id, channel) for channel in known])
