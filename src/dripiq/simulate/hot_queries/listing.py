"""Which are all the hot statements, and in which order are they told?"""

from dataclasses import replace

from dripiq.simulate.hot_queries import hearing, moving, people, sending, upkeep
from dripiq.simulate.hot_queries.query import HotQuery


def hot_queries() -> tuple[HotQuery, ...]:
    """All of them, people's first, then in the order of a message's life."""
    for_tenants = (replace(query, as_tenant=True) for query in (*people.ENROLLING, *people.READING, *people.EXPLAINING))
    engine = (
        *sending.CLAIMING,
        *sending.SENDING,
        *hearing.INGESTING,
        *moving.REACTING,
        *moving.CLOSING,
        *upkeep.KEEPING_UP,
    )
    return (*for_tenants, *engine)
