"""Which statements move campaigns, and tell whose an address is that is closed?"""

from datetime import timedelta
from typing import Final

from dripiq.repositories import journal, reaching, standing
from dripiq.simulate.hot_queries.parameters import actions, campaign_ids, column, moved_campaigns, moves, of_tenant
from dripiq.simulate.hot_queries.query import HotQuery

REACTING: Final = (
    HotQuery(
        "standing.LOCK_CAMPAIGNS",
        standing.LOCK_CAMPAIGNS,
        lambda s: of_tenant(s, ids=campaign_ids(s)),
        ("pk_contact_campaigns",),
        8,
    ),
    HotQuery(
        "standing.READ_OPEN_ACTIONS",
        standing.READ_OPEN_ACTIONS,
        lambda s: of_tenant(s, ids=campaign_ids(s)),
        ("ix_scheduled_actions_tenant_id_contact_campaign_id",),
        16,
    ),
    HotQuery(
        "standing.READ_LAST_SENT",
        standing.READ_LAST_SENT,
        lambda s: of_tenant(
            s,
            ids=campaign_ids(s),
            seqs=column(s.campaigns, "transition_seq"),
            started_ats=column(s.campaigns, "started_at"),
        ),
        (
            "ix_outbound_messages_tenant_id_contact_campaign_id",
            "uq_campaign_transitions_tenant_id_contact_campaign_id_seq|ix_campaign_transitions_tenant_id_contact_campaign_id_at",
        ),
        30,
    ),
    HotQuery(
        "standing.READ_PLANS",
        standing.READ_PLANS,
        lambda s: of_tenant(s, ids=campaign_ids(s)[:1]),
        ("pk_contact_campaigns",),
        8,
    ),
    HotQuery(
        "standing.READ_RECORDED",
        standing.READ_RECORDED,
        lambda s: of_tenant(
            s, message_ids=column(s.messages, "id"), since=min(m.sent_at for m in s.messages) - timedelta(hours=1)
        ),
        (
            "ix_message_events_tenant_id_outbound_message_id_event_at",
            "uq_campaign_transitions_tenant_id_contact_campaign_id_seq",
        ),
        40,
    ),
    HotQuery("journal.UPDATE_CAMPAIGNS", journal.UPDATE_CAMPAIGNS, moved_campaigns, ("pk_contact_campaigns",), 40),
    HotQuery("journal.INSERT_MOVES", journal.INSERT_MOVES, moves, (), 30),
    HotQuery(
        "journal.INSERT_ACTIONS",
        journal.INSERT_ACTIONS,
        actions,
        ("uq_scheduled_actions_tenant_id_dedupe_key",),
        40,
    ),
    HotQuery(
        "journal.UPDATE_ACTIONS",
        journal.UPDATE_ACTIONS,
        lambda s: of_tenant(
            s,
            ids=column(s.leased, "id"),
            statuses=["completed"] * len(s.leased),
            run_ats=[None] * len(s.leased),
            reasons=[None] * len(s.leased),
        ),
        ("pk_scheduled_actions",),
        40,
    ),
    HotQuery(
        "journal.SKIP_UNSENT",
        journal.SKIP_UNSENT,
        lambda s: of_tenant(s, ids=campaign_ids(s)[:20]),
        ("ix_outbound_messages_tenant_id_contact_campaign_id",),
        400,  # of twenty campaigns' hundred messages none may be unsent
    ),
)

CLOSING: Final = (
    HotQuery(
        "reaching.FIND_STORED_OWNERS",
        reaching.FIND_STORED_OWNERS,
        lambda s: of_tenant(s, addresses=[campaign.address for campaign in s.campaigns]),
        ("ix_lead_point_of_contacts_email_tenant_id",),
        20,
    ),
    HotQuery(
        "reaching.FIND_PREFERRED",
        reaching.FIND_PREFERRED,
        lambda s: of_tenant(s, channel="email", addresses=[campaign.address for campaign in s.campaigns]),
        ("ix_contact_channels_value_channel|uq_contact_channels_tenant_id_contact_id_channel_value",),
        60,  # of 100 addresses, those that are somebody's preferred one
    ),
)
