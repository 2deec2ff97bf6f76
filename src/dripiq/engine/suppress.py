"""How is an address closed, from one instant on?"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.states import Channel, SuppressionScope, SuppressionSource, SuppressionType
from dripiq.engine.caller import connection_of, time_of
from dripiq.repositories.intake import Suppression, upsert_suppressions
from dripiq.repositories.sending_lock import lock_exclusive


def suppress(
    caller: Connection | Session,
    tenant_id: str,
    values: Sequence[str],
    *,
    now: datetime | None = None,
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
        now: the time (aware, UTC) at which this happens; None for the database's.
    """
    connection = connection_of(caller)
    lock_exclusive(connection, [(tenant_id, channel)])
    now = time_of(connection, now)
    wanted = [Suppression(str(channel), value, str(scope), str(kind), str(source), now) for value in values]
    upsert_suppressions(connection, tenant_id, wanted, now)
