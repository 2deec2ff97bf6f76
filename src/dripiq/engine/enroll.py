"""How does a contact come into a campaign?

Joins the caller's transaction: the campaign, its plan's version, its first transition and its first action are there when the caller commits, or not at
all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.moves import Start
from dripiq.domain.plan.verify import check_plan
from dripiq.domain.states import PlanOrigin
from dripiq.engine.caller import connection_of, time_of
from dripiq.engine.choose_sender import refuse_unknown_senders, share_out
from dripiq.engine.react import react
from dripiq.repositories.archive import notify_work
from dripiq.repositories.enrollment import (
    insert_drafts,
    insert_versions,
    lock_enrolled,
    read_enrollable,
    restart_campaigns,
)

BATCH = 1_000
"""Contacts in one statement."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What became of each contact.

    Attributes:
        enrolled: the campaign's id, by contact id.
        already_enrolled: contacts whose campaign on this channel is not in a final state.
        unknown: ids that are no contacts of this tenant.
    """

    enrolled: dict[str, str]
    already_enrolled: tuple[str, ...]
    unknown: tuple[str, ...]


def enroll(
    caller: Connection | Session,
    tenant_id: str,
    plan: dict[str, Any],
    contact_ids: Sequence[str],
    *,
    now: datetime | None = None,
    sender_identity_id: str | None = None,
    generated_by: PlanOrigin = PlanOrigin.MANUAL,
    created_by: str | None = None,
) -> Enrolment:
    """Give contacts a campaign of their own that follows `plan`, and start it.

    Args:
        caller: the caller's connection or session, in its transaction; nothing is committed here.
        plan: the plan's JSON document.
        contact_ids: any number; a repeated id counts once.
        now: the time (aware, UTC) at which this happens; None for the database's.
        sender_identity_id: the tenant's sender; None for those that take turns (`share_out`).
        created_by: the id of the user who does this.

    Raises:
        PlanError: the plan has faults; nothing is written.
        NotFoundError: `unknown_sender`: this tenant has no such sender.
    """
    checked = check_plan(plan)
    connection = connection_of(caller)
    now = time_of(connection, now)
    refuse_unknown_senders(connection, tenant_id, checked, sender_identity_id)
    channel = checked.nodes[checked.start_node_id].channel
    stored = (plan, checked.version, checked.plan_hash)
    wanted = sorted(
        set(contact_ids)
    )  # rows are inserted in this order by everybody, so that no two wait for each other
    before = lock_enrolled(connection, tenant_id, channel, wanted)
    enrolled: dict[str, str] = {}
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        senders = share_out(connection, tenant_id, checked, batch, sender_identity_id)
        fresh: dict[str, str] = {}
        if new := [c for c in batch if c not in before]:
            fresh |= insert_drafts(connection, tenant_id, channel, new, stored, senders, now)
        if ended := {c: before[c][0] for c in batch if c in before and before[c][1].is_final}:
            fresh |= restart_campaigns(connection, tenant_id, ended, stored, senders, now)
        if fresh:
            insert_versions(connection, tenant_id, list(fresh.values()), stored, generated_by, created_by, now)
            react(connection, tenant_id, {campaign_id: [Start(now, created_by)] for campaign_id in fresh.values()}, now)
            enrolled |= fresh
    if enrolled:
        notify_work(connection)
    others = [contact_id for contact_id in dict.fromkeys(contact_ids) if contact_id not in enrolled]
    known = read_enrollable(connection, tenant_id, others) if others else set()
    return Enrolment(enrolled, tuple(c for c in others if c in known), tuple(c for c in others if c not in known))
