"""Which statements does a person wait for? They run under the tenant's own role, whose policies take part in the plan."""

from typing import Final

from dripiq.repositories import campaign_reading, enrollment, explaining, previewing, senders
from dripiq.simulate.hot_queries.parameters import campaign_ids, column, drafts, fresh_ids, of_campaign, of_tenant
from dripiq.simulate.hot_queries.query import HotQuery

ENROLLING: Final = (
    HotQuery(
        "enrollment.READ_ENROLLABLE",
        enrollment.READ_ENROLLABLE,
        lambda s: of_tenant(s, contact_ids=column(s.campaigns, "contact_id")),
        ("pk_lead_point_of_contacts",),
        12,
    ),
    HotQuery(
        "senders.READ_KEPT",
        senders.READ_KEPT,
        lambda s: of_tenant(s, contact_ids=column(s.campaigns, "contact_id")),
        (
            "contact_channel_unique|ix_contact_campaigns_contact_id",
            "ix_outbound_messages_tenant_id_contact_campaign_id",
        ),
        40,
    ),
    HotQuery("enrollment.INSERT_DRAFTS", enrollment.INSERT_DRAFTS, drafts, ("contact_channel_unique",), 50),
    HotQuery(
        "enrollment.INSERT_VERSIONS",
        enrollment.INSERT_VERSIONS,
        lambda s: of_tenant(
            s,
            ids=fresh_ids(s.campaigns),
            campaign_ids=column(s.campaigns, "id"),
            plan=s.campaigns[0].plan,
            plan_hash="another",
            generated_by="manual",
            created_by=None,
        ),
        ("uq_campaign_plan_versions_tenant_id_contact_campaign_id_version",),
        20,
    ),
)

READING: Final = (
    HotQuery(
        "campaign_reading.LIST_CAMPAIGNS",
        campaign_reading.LIST_CAMPAIGNS,
        lambda s: of_tenant(s, after="k", limit=50, status=None),
        ("pk_contact_campaigns", "ix_scheduled_actions_tenant_id_contact_campaign_id"),
        40,
    ),
    HotQuery(
        "campaign_reading.COUNT_CAMPAIGNS",
        campaign_reading.COUNT_CAMPAIGNS,
        lambda s: of_tenant(s, statuses=["paused"]),
        ("contact_campaigns_status_idx",),
        float("inf"),  # one row, for as many as are counted
    ),
    HotQuery(
        "campaign_reading.READ_ACTIONS",
        campaign_reading.READ_ACTIONS,
        of_campaign,
        ("ix_scheduled_actions_tenant_id_contact_campaign_id",),
        16,
    ),
    HotQuery(
        "campaign_reading.READ_MESSAGES",
        campaign_reading.READ_MESSAGES,
        of_campaign,
        ("ix_outbound_messages_tenant_id_contact_campaign_id",),
        8,
    ),
    HotQuery(
        "campaign_reading.READ_EVENTS",
        campaign_reading.READ_EVENTS,
        of_campaign,
        ("ix_message_events_tenant_id_outbound_message_id_event_at",),
        40,  # whose time is not known: every month is asked
    ),
    HotQuery(
        "campaign_reading.READ_TRANSITIONS",
        campaign_reading.READ_TRANSITIONS,
        of_campaign,
        ("uq_campaign_transitions_tenant_id_contact_campaign_id_seq",),
        8,
    ),
)

EXPLAINING: Final = (
    HotQuery(
        "explaining.FIND_STORED_ADDRESS",
        explaining.FIND_STORED_ADDRESS,
        lambda s: of_tenant(s, email=s.campaigns[0].address),
        ("ix_lead_point_of_contacts_email_tenant_id",),
        20,
    ),
    HotQuery(
        "explaining.FIND_CAMPAIGN_CONTACT",
        explaining.FIND_CAMPAIGN_CONTACT,
        of_campaign,
        ("pk_contact_campaigns",),
        8,
    ),
    HotQuery(
        "explaining.READ_PERSON",
        explaining.READ_PERSON,
        lambda s: of_tenant(s, id=s.campaigns[0].contact_id),
        ("pk_lead_point_of_contacts",),
        12,
    ),
    HotQuery(
        "explaining.READ_CAMPAIGNS",
        explaining.READ_CAMPAIGNS,
        lambda s: of_tenant(s, contact_id=s.campaigns[0].contact_id),
        ("contact_channel_unique|ix_contact_campaigns_contact_id", "pk_leads", "uq_contact_channels_primary"),
        20,
    ),
    HotQuery(
        "explaining.READ_ACTIONS",
        explaining.READ_ACTIONS,
        lambda s: of_tenant(s, ids=campaign_ids(s)[:1]),
        ("ix_scheduled_actions_tenant_id_contact_campaign_id",),
        16,
    ),
    HotQuery(
        "previewing.READ_PEOPLE",
        previewing.READ_PEOPLE,
        lambda s: of_tenant(s, channel="email", contact_ids=column(s.campaigns, "contact_id")),
        ("pk_lead_point_of_contacts", "contact_channel_unique|ix_contact_campaigns_contact_id"),
        30,
    ),
)
