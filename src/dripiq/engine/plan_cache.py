"""How does the engine come by a campaign's plan without parsing it for every event?

Plans are immutable and named by their hash, so parsed ones are kept, the latest used up to a bound; equal plans of different tenants are one.
"""

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection

from dripiq.domain.plan.model import Plan
from dripiq.domain.plan.parse import parse_plan
from dripiq.repositories.standing import read_plans

_CAPACITY: Final = 512
_plans: dict[str, Plan] = {}
_lock = Lock()


def plans_of(connection: Connection, tenant_id: str, campaigns: Iterable[tuple[str, str]]) -> dict[str, Plan]:
    """The plans of campaigns given as (id, plan_hash), by hash; reads only those that are not kept yet."""
    wanted = {plan_hash: campaign_id for campaign_id, plan_hash in campaigns}
    with _lock:
        found = {plan_hash: _plans.pop(plan_hash) for plan_hash in wanted if plan_hash in _plans}
        _plans.update(found)  # the latest used last
    missing = [wanted[plan_hash] for plan_hash in wanted if plan_hash not in found]
    if missing:
        found |= _keep(read_plans(connection, tenant_id, missing))
    return found


def _keep(documents: Mapping[str, dict[str, Any]]) -> dict[str, Plan]:
    parsed = {plan_hash: parse_plan(document) for plan_hash, document in documents.items()}
    with _lock:
        _plans.update({plan.plan_hash: plan for plan in parsed.values()})  # by what it is, not by what its row says
        for oldest in list(_plans)[: max(0, len(_plans) - _CAPACITY)]:
            del _plans[oldest]
    return parsed
