"""How is it written that campaigns moved?

Writes the machine's `Decision`s, hundreds of campaigns a statement: campaigns, then transitions, actions, messages. The campaigns are locked by this
transaction (`standing.lock_campaigns`).
"""

from collections.abc import Sequence
from datetime import datetime

import orjson
from sqlalchemy import Connection, text

from dripiq.domain.ids import action_key
from dripiq.domain.moves import SEND, Decision
from dripiq.domain.states import ActionStatus, CampaignStatus
from dripiq.repositories.standing import LockedCampaign
from dripiq.schema.ids import new_ids

UPDATE_CAMPAIGNS = text(
    """
    UPDATE dripiq_app.contact_campaigns AS campaign
    SET status = change.status, current_node_id = change.node_id, visit = change.visit, visits = change.visits,
        node_entered_at = change.entered_at, transition_seq = change.seq, last_error = change.last_error,
        started_at = coalesce(campaign.started_at, change.started_at), completed_at = change.completed_at, updated_at = :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:node_ids AS text[]), CAST(:visit_numbers AS int[]), CAST(:visits AS jsonb[]),
        CAST(:entered_ats AS timestamptz[]), CAST(:seqs AS int[]), CAST(:last_errors AS text[]), CAST(:started_ats AS timestamptz[]),
        CAST(:completed_ats AS timestamptz[])
    ) AS change (id, status, node_id, visit, visits, entered_at, seq, last_error, started_at, completed_at)
    WHERE campaign.tenant_id = :tenant_id AND campaign.id = change.id
    """
)

INSERT_MOVES = text(
    """
    INSERT INTO dripiq_app.campaign_transitions (
        tenant_id, id, contact_campaign_id, seq, from_node_id, to_node_id, from_status, to_status, trigger, reason, event_ref, actor, at,
        created_at, updated_at
    )
    SELECT :tenant_id, move.*, :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:campaign_ids AS text[]), CAST(:seqs AS int[]), CAST(:from_nodes AS text[]), CAST(:to_nodes AS text[]),
        CAST(:from_statuses AS text[]), CAST(:to_statuses AS text[]), CAST(:triggers AS text[]), CAST(:reasons AS text[]),
        CAST(:event_refs AS text[]), CAST(:actors AS text[]), CAST(:ats AS timestamptz[])
    ) AS move
    """
)

INSERT_ACTIONS = text(
    """
    INSERT INTO dripiq_app.scheduled_actions (
        tenant_id, id, contact_campaign_id, node_id, visit, action_type, run_at, status, reason, dedupe_key, payload, created_at, updated_at
    )
    SELECT :tenant_id, id, campaign_id, node_id, visit, type, run_at, CASE WHEN held IS NULL THEN 'pending' ELSE 'held' END, held, key,
        CASE WHEN type = 'send' THEN NULL ELSE jsonb_build_object('timer', name) END, :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:campaign_ids AS text[]), CAST(:node_ids AS text[]), CAST(:visits AS int[]), CAST(:types AS text[]),
        CAST(:names AS text[]), CAST(:run_ats AS timestamptz[]), CAST(:helds AS text[]), CAST(:keys AS text[])
    ) AS action (id, campaign_id, node_id, visit, type, name, run_at, held, key)
    ON CONFLICT (tenant_id, dedupe_key) DO NOTHING
    """
)

UPDATE_ACTIONS = text(
    """
    UPDATE dripiq_app.scheduled_actions AS action
    SET status = change.status, run_at = coalesce(change.run_at, action.run_at), reason = change.reason,
        job_id = NULL, lease_until = NULL, updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:run_ats AS timestamptz[]), CAST(:reasons AS text[]))
        AS change (id, status, run_at, reason)
    WHERE action.tenant_id = :tenant_id AND action.id = change.id
    """
)

SKIP_UNSENT = text(
    """
    UPDATE dripiq_app.outbound_messages SET status = 'skipped', error_code = 'campaign_moved_on', updated_at = :now
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[])) AND status = 'queued'
    """
)
"""A send that was prepared and is not to happen any more says so."""


Written = Sequence[tuple[LockedCampaign, Decision]]


def write_decisions(connection: Connection, tenant_id: str, decisions: Written, now: datetime) -> None:
    """Write what the machine decided: campaigns, transitions, new actions, finished and changed actions; one statement each."""
    changed = [(campaign, decision) for campaign, decision in decisions if decision.changed]
    if not changed:
        return
    _update_campaigns(connection, tenant_id, changed, now)
    _insert_moves(connection, tenant_id, changed, now)
    _update_actions(connection, tenant_id, changed, now)
    _insert_actions(connection, tenant_id, changed, now)
    unsent = [c.id for c, decision in changed if any(ref.name == SEND for ref in decision.cancel)]
    if unsent:
        connection.execute(SKIP_UNSENT, {"tenant_id": tenant_id, "ids": unsent, "now": now})


def _update_campaigns(connection: Connection, tenant_id: str, changed: Written, now: datetime) -> None:
    afters = [(campaign, decision.after, decision.moves) for campaign, decision in changed if decision.moves]
    if not afters:
        return
    failed = CampaignStatus.ERROR
    connection.execute(
        UPDATE_CAMPAIGNS,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": [c.id for c, _, _ in afters],
            "statuses": [str(after.status) for _, after, _ in afters],
            "node_ids": [after.node_id for _, after, _ in afters],
            "visit_numbers": [after.visit for _, after, _ in afters],
            "visits": [orjson.dumps(dict(after.visits)).decode() for _, after, _ in afters],
            "entered_ats": [after.entered_at for _, after, _ in afters],
            "seqs": [after.seq for _, after, _ in afters],
            "last_errors": [moves[-1].reason if after.status is failed else None for _, after, moves in afters],
            "started_ats": [next((m.at for m in moves if m.trigger == "started"), None) for _, _, moves in afters],
            "completed_ats": [moves[-1].at if after.status.is_final else None for _, after, moves in afters],
        },
    )


def _insert_moves(connection: Connection, tenant_id: str, changed: Written, now: datetime) -> None:
    moves = [(campaign.id, move) for campaign, decision in changed for move in decision.moves]
    if not moves:
        return
    connection.execute(
        INSERT_MOVES,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": new_ids(len(moves)),
            "campaign_ids": [campaign_id for campaign_id, _ in moves],
            "seqs": [m.seq for _, m in moves],
            "from_nodes": [m.from_node_id for _, m in moves],
            "to_nodes": [m.to_node_id for _, m in moves],
            "from_statuses": [str(m.from_status) for _, m in moves],
            "to_statuses": [str(m.to_status) for _, m in moves],
            "triggers": [m.trigger for _, m in moves],
            "reasons": [m.reason for _, m in moves],
            "event_refs": [m.event_ref for _, m in moves],
            "actors": [m.actor for _, m in moves],
            "ats": [m.at for _, m in moves],
        },
    )


def _insert_actions(connection: Connection, tenant_id: str, changed: Written, now: datetime) -> None:
    actions = [(campaign.id, action) for campaign, decision in changed for action in decision.schedule]
    if not actions:
        return
    connection.execute(
        INSERT_ACTIONS,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": new_ids(len(actions)),
            "campaign_ids": [campaign_id for campaign_id, _ in actions],
            "node_ids": [a.ref.node_id for _, a in actions],
            "visits": [a.ref.visit for _, a in actions],
            "types": [str(a.type) for _, a in actions],
            "names": [a.ref.name for _, a in actions],
            "run_ats": [a.run_at for _, a in actions],
            "helds": [a.held for _, a in actions],
            "keys": [action_key(campaign_id, *a.ref) for campaign_id, a in actions],
        },
    )


def _update_actions(connection: Connection, tenant_id: str, changed: Written, now: datetime) -> None:
    rows: list[tuple[str, ActionStatus, datetime | None, str | None]] = []
    for campaign, decision in changed:
        ids = campaign.action_ids
        rows += [(ids[ref], ActionStatus.COMPLETED, None, None) for ref in decision.complete]
        reason = decision.moves[-1].trigger if decision.moves else decision.verdicts[-1]
        rows += [(ids[ref], ActionStatus.CANCELED, None, str(reason)) for ref in decision.cancel]
        rows += [
            (ids[a.ref], ActionStatus.PENDING if a.held is None else ActionStatus.HELD, a.run_at, a.held)
            for a in decision.change
        ]
    if not rows:
        return
    connection.execute(
        UPDATE_ACTIONS,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": [row[0] for row in rows],
            "statuses": [str(row[1]) for row in rows],
            "run_ats": [row[2] for row in rows],
            "reasons": [row[3] for row in rows],
        },
    )
