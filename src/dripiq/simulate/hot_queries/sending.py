"""Which statements take a message from the queue to its provider?"""

from datetime import timedelta
from typing import Final

from dripiq.domain.contents import MAX_REFERENCES
from dripiq.repositories import outbox, preparing, queue
from dripiq.schema.ids import new_id
from dripiq.simulate.hot_queries.parameters import addresses_and_domains, campaign_ids, column, of_tenant, prepared
from dripiq.simulate.hot_queries.query import HotQuery

_LEASED: Final = "pk_scheduled_actions|ix_scheduled_actions_lease_until"

CLAIMING: Final = (
    HotQuery(
        "queue.FIND_DUE_TENANTS",
        queue.FIND_DUE_TENANTS,
        lambda s: {"now": s.now},
        ("ix_scheduled_actions_tenant_id_run_at",),
        8,
    ),
    HotQuery("queue.FIND_NEXT_DUE", queue.FIND_NEXT_DUE, lambda s: {}, ("idx_scheduled_actions_ready",), 8),
    HotQuery(
        "queue.CLAIM_DUE",
        queue.CLAIM_DUE,
        lambda s: of_tenant(s, token=new_id(), lease_until=s.now + timedelta(minutes=2), limit=100),
        ("ix_scheduled_actions_tenant_id_run_at",),
        40,
        before=queue.KEEP_TO_OWN_QUEUE,
    ),
    HotQuery(
        "queue.PUT_BACK",
        queue.PUT_BACK,
        lambda s: of_tenant(
            s,
            token=s.leased[0].job_id,
            settles_doubt=False,
            ids=column(s.leased, "id"),
            statuses=["pending"] * len(s.leased),
            run_ats=[s.now] * len(s.leased),
            reasons=["quiet_hours"] * len(s.leased),
            errors=[None] * len(s.leased),
        ),
        (_LEASED,),
        40,
    ),
    HotQuery(
        "queue.LOCK_LEASED",
        queue.LOCK_LEASED,
        lambda s: of_tenant(s, token=s.leased[0].job_id, ids=column(s.leased, "id"), lasting_to=s.now),
        (_LEASED,),
        8,
    ),
    HotQuery(
        "queue.FIND_EXPIRED_TENANTS",
        queue.FIND_EXPIRED_TENANTS,
        lambda s: {"now": s.now},
        ("ix_scheduled_actions_lease_until",),
        8,
    ),
    HotQuery(
        "queue.EXPIRE_LEASES",
        queue.EXPIRE_LEASES,
        lambda s: of_tenant(s, limit=500),
        ("ix_scheduled_actions_lease_until", "ix_outbound_messages_tenant_id_contact_campaign_id"),
        60,
    ),
)

SENDING: Final = (
    HotQuery(
        "preparing.READ_SENDS",
        preparing.READ_SENDS,
        lambda s: of_tenant(s, token=s.leased[0].job_id, ids=column(s.leased, "id")),
        (
            "pk_scheduled_actions|ix_scheduled_actions_lease_until",
            "pk_contact_campaigns",
            "pk_lead_point_of_contacts",
        ),
        30,
    ),
    HotQuery(
        "preparing.READ_SUPPRESSED",
        preparing.READ_SUPPRESSED,
        lambda s: of_tenant(s, channel="email", values=addresses_and_domains(s)),
        (
            "uq_communication_suppressions_tenant_id_channel_value_type|"
            "ix_communication_suppressions_tenant_id_channel_value",
        ),
        120,  # most addresses are not suppressed: about two probes for each of 100 messages, for five rows
    ),
    HotQuery(
        "preparing.READ_VALIDATED",
        preparing.READ_VALIDATED,
        lambda s: of_tenant(s, values=column(s.campaigns, "address")),
        ("uq_email_validation_results_tenant_id_email",),
        12,
    ),
    HotQuery(
        "preparing.READ_SENT",
        preparing.READ_SENT,
        lambda s: of_tenant(s, ids=campaign_ids(s), most=MAX_REFERENCES),
        ("ix_outbound_messages_tenant_id_contact_campaign_id", "pk_contact_campaigns"),
        16,
    ),
    HotQuery(
        "outbox.INSERT_PREPARED",
        outbox.INSERT_PREPARED,
        prepared,
        ("uq_outbound_messages_tenant_id_dedupe_key",),
        50,
    ),
    HotQuery(
        "outbox.COMMIT_TO_SEND",
        outbox.COMMIT_TO_SEND,
        lambda s: of_tenant(s, channel="email", ids=column(s.in_hand, "id", status="queued")),
        ("pk_outbound_messages", "pk_contact_campaigns"),
        70,
    ),
    HotQuery(
        "outbox.RECORD_ACCEPTED",
        outbox.RECORD_ACCEPTED,
        lambda s: of_tenant(
            s,
            ids=column(s.in_hand, "id", status="sending"),
            attempts=column(s.in_hand, "attempts", status="sending"),
            provider_message_ids=[new_id() for _ in column(s.in_hand, "id", status="sending")],
        ),
        ("pk_outbound_messages",),
        50,
    ),
    HotQuery(
        "outbox.RECORD_REFUSED",
        outbox.RECORD_REFUSED,
        lambda s: of_tenant(
            s,
            ids=(sending := column(s.in_hand, "id", status="sending")),
            attempts=column(s.in_hand, "attempts", status="sending"),
            statuses=["failed"] * len(sending),
            codes=["550"] * len(sending),
            details=["no such user"] * len(sending),
            used=[True] * len(sending),
        ),
        ("pk_outbound_messages|ix_outbound_messages_status_updated_at",),
        50,
    ),
)
