"""Which statements put right what was left undone?"""

from datetime import timedelta
from typing import Final

from dripiq.repositories import campaign_reading, doubts
from dripiq.simulate.hot_queries.parameters import campaign_ids, column, of_tenant
from dripiq.simulate.hot_queries.query import HotQuery

_DOUBTFUL: Final = "ix_outbound_messages_status_updated_at"

KEEPING_UP: Final = (
    HotQuery(
        "campaign_reading.FIND_CAMPAIGNS",
        campaign_reading.FIND_CAMPAIGNS,
        lambda s: {"ids": campaign_ids(s)[:10], "tenant_id": s.tenant_id},
        ("pk_contact_campaigns",),
        8,
    ),
    HotQuery(
        "doubts.FIND_ORPHANS",
        doubts.FIND_ORPHANS,
        lambda s: {"before": s.now - timedelta(minutes=2)},
        (_DOUBTFUL,),
        8,
    ),
    HotQuery(
        "doubts.MARK_IN_DOUBT",
        doubts.MARK_IN_DOUBT,
        lambda s: of_tenant(s, before=s.now - timedelta(minutes=2), limit=500),
        (_DOUBTFUL,),
        80,
    ),
    HotQuery("doubts.FIND_OLD_DOUBTS", doubts.FIND_OLD_DOUBTS, lambda s: {"now": s.now, "limit": 500}, (_DOUBTFUL,), 8),
    HotQuery(
        "doubts.ASSUME_SENT",
        doubts.ASSUME_SENT,
        lambda s: of_tenant(s, ids=column(s.in_hand, "id", status="in_doubt"), code="assumed_sent"),
        ("pk_outbound_messages|ix_outbound_messages_status_updated_at",),
        50,
    ),
)
