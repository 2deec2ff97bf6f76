"""Which actions are due, who holds them, and how do they come back?

A claim is a lease: a token and an end. Every later statement about a claimed action names the token, so a worker that lost its lease changes nothing.
Claims are made tenant by tenant: it is fair, and the only form of SKIP LOCKED that a sharded cluster allows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from dripiq.domain.states import ActionType
from dripiq.schema.ids import new_id

FIND_DUE_TENANTS = text(
    """
    WITH RECURSIVE tenant (tenant_id, run_at) AS (
        (
            SELECT tenant_id, run_at FROM dripiq_app.scheduled_actions
            WHERE status = 'pending' ORDER BY tenant_id, run_at LIMIT 1
        )
        UNION ALL
        SELECT next.tenant_id, next.run_at
        FROM tenant
        CROSS JOIN LATERAL (
            SELECT tenant_id, run_at FROM dripiq_app.scheduled_actions
            WHERE status = 'pending' AND tenant_id > tenant.tenant_id ORDER BY tenant_id, run_at LIMIT 1
        ) AS next
    )
    SELECT tenant_id FROM tenant WHERE run_at <= :now
    """
)
"""A loose index scan: one probe per tenant that has pending work, however much it has."""

FIND_NEXT_DUE = text("SELECT run_at FROM dripiq_app.scheduled_actions WHERE status = 'pending' ORDER BY run_at LIMIT 1")

KEEP_TO_OWN_QUEUE = text("SELECT set_config('cpu_index_tuple_cost', '1', true)")
"""Comes before `CLAIM_DUE`, for its transaction. A tenant that has most of the pending rows is found soonest, PostgreSQL thinks, in everybody's queue
(`idx_scheduled_actions_ready`); where that tenant's are the last due, it wades through all the others'. With index entries dear, it takes the index that
holds the fewest of them: the tenant's own.
"""

CLAIM_DUE = text(
    """
    UPDATE dripiq_app.scheduled_actions AS action
    SET status = 'queued', job_id = :token, lease_until = :lease_until, attempts = attempts + 1, reason = NULL, updated_at = :now
    WHERE action.tenant_id = :tenant_id
      AND action.id = ANY (ARRAY(
          SELECT id FROM dripiq_app.scheduled_actions
          WHERE tenant_id = :tenant_id AND status = 'pending' AND run_at <= :now
          ORDER BY run_at
          LIMIT :limit
          FOR UPDATE SKIP LOCKED
      ))
    RETURNING action.id, action.contact_campaign_id, action.node_id, action.visit, action.action_type, action.run_at,
        action.payload ->> 'timer' AS timer
    """
)
"""ARRAY, so that what is due is chosen once: under IN, PostgreSQL may choose anew for each row, passing over what it has taken, and exceed the limit."""

PUT_BACK = text(
    """
    UPDATE dripiq_app.scheduled_actions AS action
    SET status = change.status, run_at = coalesce(change.run_at, action.run_at), reason = change.reason,
        last_error = coalesce(change.last_error, action.last_error), job_id = NULL, lease_until = NULL, updated_at = :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:run_ats AS timestamptz[]), CAST(:reasons AS text[]), CAST(:errors AS text[])
    ) AS change (id, status, run_at, reason, last_error)
    WHERE action.tenant_id = :tenant_id AND action.id = change.id
      AND ((action.status = 'queued' AND action.job_id = :token) OR (:settles_doubt AND action.status = 'held' AND action.reason = 'in_doubt'))
    RETURNING action.id
    """
)

LOCK_LEASED = text(
    """
    SELECT id FROM dripiq_app.scheduled_actions
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[])) AND status = 'queued' AND job_id = :token AND lease_until > :lasting_to
    ORDER BY id
    FOR NO KEY UPDATE
    """
)
"""After this, a stop or pause of these campaigns waits for the transaction's end, and one that came first is seen."""

FIND_EXPIRED_TENANTS = text(
    "SELECT DISTINCT tenant_id FROM dripiq_app.scheduled_actions WHERE status = 'queued' AND lease_until < :now"
)

EXPIRE_LEASES = text(
    """
    WITH expired AS (
        SELECT action.id, message.status = 'sending' AS in_hand
        FROM dripiq_app.scheduled_actions AS action
        LEFT JOIN dripiq_app.outbound_messages AS message
            ON message.tenant_id = :tenant_id AND message.contact_campaign_id = action.contact_campaign_id
            AND message.node_id = action.node_id AND message.visit = action.visit AND action.action_type = 'send'
        WHERE action.tenant_id = :tenant_id AND action.status = 'queued' AND action.lease_until < :now
        ORDER BY action.id
        LIMIT :limit
        FOR NO KEY UPDATE OF action SKIP LOCKED
    )
    UPDATE dripiq_app.scheduled_actions AS action
    SET status = CASE WHEN expired.in_hand THEN 'held' ELSE 'pending' END,
        reason = CASE WHEN expired.in_hand THEN 'in_doubt' ELSE 'lease_expired' END,
        job_id = NULL, lease_until = NULL, updated_at = :now
    FROM expired
    WHERE action.tenant_id = :tenant_id AND action.id = expired.id AND action.status = 'queued' AND action.lease_until < :now
    RETURNING action.id, action.status
    """
)
"""What nobody holds any more goes back; what may have been handed over waits for evidence."""

RELEASE_HELD = text(
    """
    WITH held AS MATERIALIZED (
        SELECT id FROM dripiq_app.scheduled_actions
        WHERE tenant_id = :tenant_id AND status = 'held' AND reason = :reason
        ORDER BY id
        FOR NO KEY UPDATE
    )
    UPDATE dripiq_app.scheduled_actions AS action
    SET status = 'pending', reason = NULL, updated_at = :now
    FROM held
    WHERE action.tenant_id = :tenant_id AND action.id = held.id
    """
)
"""Locked in the order of their ids, as by who locks campaigns with their actions."""


@dataclass(frozen=True, slots=True)
class ClaimedAction:
    """One action that this process holds."""

    id: str
    campaign_id: str
    node_id: str
    visit: int
    type: ActionType
    run_at: datetime
    timer: str | None


@dataclass(frozen=True, slots=True)
class Lease:
    """What was claimed of one tenant in one go.

    Attributes:
        token: names the lease in every later statement.
        until: its end, by the engine's clock (UTC).
        expires: its end by the process's monotonic clock, in seconds; a hand-over that could last longer does not start.
    """

    tenant_id: str
    token: str
    until: datetime
    expires: float
    actions: tuple[ClaimedAction, ...]

    def of_type(self, *types: ActionType) -> tuple[ClaimedAction, ...]:
        """The actions of these types."""
        return tuple(action for action in self.actions if action.type in types)


@dataclass(frozen=True, slots=True)
class PutBack:
    """How one claimed action goes back: to a later time, or held for a reason. `run_at` None keeps its time."""

    action_id: str
    status: str
    reason: str | None
    run_at: datetime | None = None
    last_error: str | None = None


def find_due_tenants(connection: Connection, now: datetime) -> list[str]:
    """The tenants with an action due at `now`, sorted; takes no lock."""
    return list(connection.execute(FIND_DUE_TENANTS, {"now": now}).scalars())


def find_next_due(connection: Connection) -> datetime | None:
    """When the earliest pending action of all is due; None without any."""
    found: datetime | None = connection.execute(FIND_NEXT_DUE).scalar()
    return found


def claim_due(
    connection: Connection, tenant_id: str, *, now: datetime, until: datetime, expires: float, limit: int
) -> Lease:
    """Lease at most `limit` due actions of a tenant until `until`; actions that others are claiming are passed over."""
    token = new_id()
    connection.execute(KEEP_TO_OWN_QUEUE)
    rows = connection.execute(
        CLAIM_DUE, {"tenant_id": tenant_id, "token": token, "lease_until": until, "now": now, "limit": limit}
    )
    actions = tuple(
        ClaimedAction(r.id, r.contact_campaign_id, r.node_id, r.visit, ActionType(r.action_type), r.run_at, r.timer)
        for r in rows
    )
    return Lease(tenant_id, token, until, expires, actions)


def put_back(
    connection: Connection, lease: Lease, changes: Sequence[PutBack], now: datetime, *, settles_doubt: bool = False
) -> set[str]:
    """Give claimed actions back; the ids of those that the lease still held.

    Args:
        settles_doubt: also those that are held in doubt by now: who knows how the hand-over ended knows more than the doubt.
    """
    if not changes:
        return set()
    rows = connection.execute(
        PUT_BACK,
        {
            "tenant_id": lease.tenant_id,
            "token": lease.token,
            "settles_doubt": settles_doubt,
            "now": now,
            "ids": [c.action_id for c in changes],
            "statuses": [c.status for c in changes],
            "run_ats": [c.run_at for c in changes],
            "reasons": [c.reason for c in changes],
            "errors": [c.last_error for c in changes],
        },
    )
    return set(rows.scalars())


def lock_leased(connection: Connection, lease: Lease, action_ids: Iterable[str], lasting_to: datetime) -> set[str]:
    """Lock the actions that the lease still holds, and will hold at `lasting_to`."""
    rows = connection.execute(
        LOCK_LEASED,
        {"tenant_id": lease.tenant_id, "ids": list(action_ids), "token": lease.token, "lasting_to": lasting_to},
    )
    return set(rows.scalars())


def find_expired_tenants(connection: Connection, now: datetime) -> list[str]:
    """The tenants with leases that have run out."""
    return sorted(connection.execute(FIND_EXPIRED_TENANTS, {"now": now}).scalars())


def expire_leases(connection: Connection, tenant_id: str, now: datetime, limit: int) -> int:
    """Take back a tenant's leases that have run out; how many."""
    return len(connection.execute(EXPIRE_LEASES, {"tenant_id": tenant_id, "now": now, "limit": limit}).all())


def release_held(connection: Connection, tenant_id: str, reason: str, now: datetime) -> int:
    """Let everything that a tenant's actions are held for `reason` become due again; how many."""
    return connection.execute(RELEASE_HELD, {"tenant_id": tenant_id, "reason": reason, "now": now}).rowcount
