"""Which statements put right what was left undone?"""

from datetime import timedelta
from typing import Final

from dripiq.domain.sender_health import LEAST_COMPLAINTS, NOBODY, PAUSE_CODES, Tolerance
from dripiq.repositories import campaign_reading, doubts, held, senders
from dripiq.repositories.bulk_samples import Sample
from dripiq.simulate.hot_queries.parameters import Parameters, campaign_ids, column, of_tenant
from dripiq.simulate.hot_queries.query import HotQuery

_DOUBTFUL: Final = "ix_outbound_messages_status_updated_at"

_PAUSES: Final = sorted(PAUSE_CODES.values())
_AS_MANY_AS_BOUNCED: Final = float("inf")
"""A row for a tenant or a sender, for as many mails and bounces as they had."""


def _of_late(sample: Sample) -> Parameters:
    return of_tenant(sample, since=sample.now - Tolerance().window, nobody=sorted(NOBODY))


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
    HotQuery(
        "senders.FIND_TROUBLED_TENANTS",
        senders.FIND_TROUBLED_TENANTS,
        lambda s: {
            **_of_late(s),
            "least_bounces": Tolerance().least_bounces,
            "least_complaints": LEAST_COMPLAINTS,
        },
        (
            "ix_outbound_messages_tenant_id_updated_at",
            "ix_message_events_tenant_id_event_type_event_at|idx_message_events_tenant_event_time",
        ),
        _AS_MANY_AS_BOUNCED,
    ),
    HotQuery(
        "senders.READ_RATES",
        senders.READ_RATES,
        _of_late,
        ("ix_outbound_messages_tenant_id_created_at",),
        _AS_MANY_AS_BOUNCED,
    ),
    HotQuery(
        "held.FIND_HOLDING_TENANTS",
        held.FIND_HOLDING_TENANTS,
        lambda s: {"reasons": _PAUSES},
        ("ix_scheduled_actions_tenant_id_reason",),
        20,
    ),
    HotQuery(
        "held.READ_HELD_NODES",
        held.READ_HELD_NODES,
        lambda s: of_tenant(s, reasons=_PAUSES),
        ("ix_scheduled_actions_tenant_id_reason",),
        20,
    ),
)
