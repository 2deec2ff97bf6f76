"""dripiq: an outreach-campaign engine on PostgreSQL. A contact, a plan, a campaign of its own.

What an application calls, inside its own transaction::

    with Session(engine) as session, session.begin():
        ...                                             # the application's own statements
        dripiq.enroll(session, tenant_id, plan, [contact_id])

Every function takes the caller's SQLAlchemy `Connection` or `Session` and commits nothing; in async code, `await session.run_sync(...)`. `as_tenant` runs
a part of the caller's transaction under the tenant's own role, which sees nobody else's rows. Names are loaded when they are first used, so importing
`dripiq` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dripiq.db.session import as_tenant
    from dripiq.domain.errors import DripiqError
    from dripiq.domain.explanation import Explanation
    from dripiq.domain.plan.verify import check_plan
    from dripiq.domain.plan_diff import PlanDiff
    from dripiq.engine.enroll import Enrolment, enroll
    from dripiq.engine.explain import explain
    from dripiq.engine.replan import replan, roll_back
    from dripiq.engine.steer import pause, pause_sending, resume, resume_sending, stop
    from dripiq.engine.suppress import suppress

__version__ = "0.1.0"

_HOMES = {
    "DripiqError": "dripiq.domain.errors",
    "Enrolment": "dripiq.engine.enroll",
    "Explanation": "dripiq.domain.explanation",
    "PlanDiff": "dripiq.domain.plan_diff",
    "as_tenant": "dripiq.db.session",
    "check_plan": "dripiq.domain.plan.verify",
    "enroll": "dripiq.engine.enroll",
    "explain": "dripiq.engine.explain",
    "pause": "dripiq.engine.steer",
    "pause_sending": "dripiq.engine.steer",
    "replan": "dripiq.engine.replan",
    "resume": "dripiq.engine.steer",
    "resume_sending": "dripiq.engine.steer",
    "roll_back": "dripiq.engine.replan",
    "stop": "dripiq.engine.steer",
    "suppress": "dripiq.engine.suppress",
}

__all__ = [
    "DripiqError",
    "Enrolment",
    "Explanation",
    "PlanDiff",
    "as_tenant",
    "check_plan",
    "enroll",
    "explain",
    "pause",
    "pause_sending",
    "replan",
    "resume",
    "resume_sending",
    "roll_back",
    "stop",
    "suppress",
]

if not TYPE_CHECKING:  # a type checker knows the names from above, and no others

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'dripiq' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
