"""How is an address closed, from one instant on?"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from dripiq.domain.states import Channel, SuppressionScope, SuppressionSource, SuppressionType
from dripiq.repositories.intake import Suppression, upsert_suppressions
from dripiq.repositories.sending_lock import lock_exclusive


def suppress(
    connection: Connection,
    tenant_id: str,
    values: Sequence[str],
    *,
    now: datetime,
    channel: Channel = Channel.EMAIL,
    scope: SuppressionScope = SuppressionScope.ADDRESS,
    kind: SuppressionType = SuppressionType.MANUAL,
    source: SuppressionSource = SuppressionSource.MANUAL,
) -> None:
    """Suppress addresses (or whole domains) of a tenant. Once the caller's COMMIT has returned, no message to them becomes `sending`; what is in
    hand-over at that moment (one sub-batch at most) may leave.

    Must be the first statement of its transaction (it takes the tenant's sending lock exclusively); until that transaction ends, the tenant's sending on
    this channel waits. So keep it short.

    Args:
        values: stored forms (`addresses.normalise_email`), or domains in lower case where `scope` is domain.
        now: the engine's time (aware, UTC).
    """
    lock_exclusive(connection, [(tenant_id, channel)])
    wanted = [Suppression(str(channel), value, str(scope), str(kind), str(source), now) for value in values]
    upsert_suppressions(connection, tenant_id, wanted, now)
