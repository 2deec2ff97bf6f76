"""What happens when a timer's time has come?

The campaigns answer it, and the leased actions are done in the same transaction; a timer that is void by then changes nothing, and is done too.
"""

from sqlalchemy import Engine

from dripiq.domain.moves import Input, TimerDue
from dripiq.domain.states import ActionStatus, ActionType
from dripiq.engine.clock import Clock
from dripiq.engine.react import react
from dripiq.repositories.queue import Lease, PutBack, put_back


def fire(database: Engine, clock: Clock, lease: Lease) -> int:
    """Hand the timers of a lease to their campaigns; how many there were."""
    timers = lease.of_type(ActionType.TIMEOUT)
    if not timers:
        return 0
    with database.begin() as connection:
        now = clock.now(connection)
        inputs: dict[str, list[Input]] = {}
        for action in timers:
            if action.timer is not None:
                due = TimerDue(action.run_at, action.node_id, action.visit, action.timer)
                inputs.setdefault(action.campaign_id, []).append(due)
        react(connection, lease.tenant_id, inputs, now)
        # What react has completed is no longer the lease's; what is left had no campaign to answer it.
        put_back(connection, lease, [PutBack(action.id, ActionStatus.CANCELED, "void") for action in timers], now)
    return len(timers)
