"""Which statements take in what providers report?"""

from typing import Final

from dripiq.repositories import archive, intake
from dripiq.simulate.hot_queries.parameters import column, deliveries, events, facts, of_tenant, suppressions
from dripiq.simulate.hot_queries.query import HotQuery

INGESTING: Final = (
    HotQuery(
        "archive.FIND_TENANTS_BY_PROVIDER_ID",
        archive.FIND_TENANTS_BY_PROVIDER_ID,
        lambda s: {"provider": "sendgrid", "ids": column(s.messages, "provider_message_id")},
        ("idx_outbound_messages_provider_lookup",),
        8,
    ),
    HotQuery(
        "archive.INSERT_DELIVERIES",
        archive.INSERT_DELIVERIES,
        deliveries,
        ("uq_webhook_deliveries_tenant_id_provider_payload_hash",),
        40,
    ),
    HotQuery(
        "intake.FIND_RECEIVED_TENANTS",
        intake.FIND_RECEIVED_TENANTS,
        lambda s: {"providers": ["dripiq", "sendgrid", "twilio"], "ripe": s.now},
        ("ix_webhook_deliveries_tenant_id_received_at",),
        8,
    ),
    HotQuery(
        "intake.READ_RECEIVED",
        intake.READ_RECEIVED,
        lambda s: of_tenant(s, providers=["dripiq", "sendgrid", "twilio"], ripe=s.now, limit=50, bytes=2_000_000),
        ("ix_webhook_deliveries_tenant_id_received_at|ix_webhook_deliveries_received_at",),
        8,
    ),
    HotQuery(
        "intake.READ_MESSAGES",
        intake.READ_MESSAGES,
        lambda s: of_tenant(
            s,
            provider="sendgrid",
            ids=column(s.messages, "id"),
            provider_message_ids=column(s.messages, "provider_message_id"),
        ),
        ("pk_outbound_messages", "idx_outbound_messages_provider_lookup"),
        16,
    ),
    HotQuery(
        "intake.INSERT_EVENTS",
        intake.INSERT_EVENTS,
        events,
        ("uq_message_events_tenant_id_provider_provider_event_id_event_at",),
        60,
    ),
    HotQuery("intake.RAISE_STATUSES", intake.RAISE_STATUSES, facts, ("pk_outbound_messages",), 50),
    HotQuery(
        "intake.UPSERT_SUPPRESSIONS",
        intake.UPSERT_SUPPRESSIONS,
        suppressions,
        ("uq_communication_suppressions_tenant_id_channel_value_type",),
        40,
    ),
    HotQuery(
        "intake.FINISH_DELIVERIES",
        intake.FINISH_DELIVERIES,
        lambda s: of_tenant(
            s,
            ids=list(s.delivery_ids),
            statuses=["processed"] * len(s.delivery_ids),
            errors=[None] * len(s.delivery_ids),
        ),
        ("pk_webhook_deliveries",),
        40,
    ),
)
