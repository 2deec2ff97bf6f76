"""How does a person take hold of what runs: pause, resume or stop a campaign, or a tenant's sending as a whole?"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.gates import TENANT_PAUSED
from dripiq.domain.moves import Decision, Pause, Resume, Stop
from dripiq.domain.states import Channel
from dripiq.engine.caller import connection_of, time_of
from dripiq.engine.react import react
from dripiq.repositories.archive import notify_work
from dripiq.repositories.kill_switch import switch_sending
from dripiq.repositories.queue import release_held
from dripiq.repositories.sending_lock import lock_exclusive


def pause(
    caller: Connection | Session,
    tenant_id: str,
    campaign_ids: Sequence[str],
    *,
    now: datetime | None = None,
    actor: str | None = None,
) -> dict[str, Decision]:
    """Pause campaigns: their sends are held, their timers keep their clock. Works in the caller's transaction; campaigns that do not exist are left out."""
    connection, now = _place(caller, now)
    return react(connection, tenant_id, {campaign_id: [Pause(now, actor)] for campaign_id in campaign_ids}, now)


def resume(
    caller: Connection | Session,
    tenant_id: str,
    campaign_ids: Sequence[str],
    *,
    now: datetime | None = None,
    actor: str | None = None,
) -> dict[str, Decision]:
    """Resume campaigns, and let sends that are held for a reason of their own pass the gates again; what is in doubt stays held."""
    connection, now = _place(caller, now)
    decisions = react(connection, tenant_id, {campaign_id: [Resume(now, actor)] for campaign_id in campaign_ids}, now)
    notify_work(connection)
    return decisions


def stop(
    caller: Connection | Session,
    tenant_id: str,
    campaign_ids: Sequence[str],
    *,
    now: datetime | None = None,
    reason: str = "stopped_by_operator",
    actor: str | None = None,
) -> dict[str, Decision]:
    """Stop campaigns for good. Once the caller has committed, none of their messages becomes `sending`."""
    connection, now = _place(caller, now)
    return react(connection, tenant_id, {campaign_id: [Stop(now, reason, actor)] for campaign_id in campaign_ids}, now)


def pause_sending(caller: Connection | Session, tenant_id: str, *, reason: str, now: datetime | None = None) -> None:
    """The kill switch: once the caller has committed, no message of the tenant becomes `sending`.

    Must be the first statement of its transaction; see `suppress` for what it waits for and holds up.
    """
    connection = connection_of(caller)
    lock_exclusive(connection, [(tenant_id, channel) for channel in Channel])
    now = time_of(connection, now)
    switch_sending(connection, tenant_id, paused_at=now, reason=reason, now=now)


def resume_sending(caller: Connection | Session, tenant_id: str, *, now: datetime | None = None) -> int:
    """Turn the kill switch back, and let the sends that it held pass the gates again; how many."""
    connection = connection_of(caller)
    lock_exclusive(connection, [(tenant_id, channel) for channel in Channel])
    now = time_of(connection, now)
    switch_sending(connection, tenant_id, paused_at=None, reason=None, now=now)
    released = release_held(connection, tenant_id, TENANT_PAUSED, now)
    notify_work(connection)
    return released


def _place(caller: Connection | Session, now: datetime | None) -> tuple[Connection, datetime]:
    connection = connection_of(caller)
    return connection, time_of(connection, now)
