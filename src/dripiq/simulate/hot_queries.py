"""Which statements run all the time, which index is each meant to use, and how many pages may a row cost?

The engine's and the readers' own text constants, with parameters for a sample of the tenant that has the most. `pages` is the bound on buffers per row returned
(or written): a page per index level, the row itself, and, where rows are written, their new versions and index entries. It holds for tables of any size.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection, TextClause

from dripiq.db.session import as_tenant
from dripiq.domain.contents import MAX_REFERENCES
from dripiq.repositories import (
    archive,
    campaign_reading,
    doubts,
    enrollment,
    explaining,
    intake,
    journal,
    outbox,
    previewing,
    queue,
    reaching,
    standing,
)
from dripiq.repositories.bulk_samples import Sample
from dripiq.schema.ids import new_id
from dripiq.simulate.explain import Run, explain
from dripiq.simulate.hot_parameters import (
    Parameters,
    actions,
    addresses_and_domains,
    campaign_ids,
    column,
    deliveries,
    drafts,
    events,
    facts,
    fresh_ids,
    moved_campaigns,
    moves,
    of_campaign,
    of_tenant,
    prepared,
    suppressions,
)


@dataclass(frozen=True, slots=True)
class HotQuery:
    """A statement, by the name of its constant, the indexes that it must use (`a|b`: either), the pages that a row may cost, what is executed before it,
    and whether it runs under the tenant's own role, whose policies take part in the plan."""

    name: str
    statement: TextClause
    parameters: Callable[[Sample], Parameters]
    indexes: tuple[str, ...]
    pages: float
    before: TextClause | None = None
    as_tenant: bool = False

    def run(
        self, connection: Connection, sample: Sample, *, mode: str, parents: Mapping[str, str], seconds: float = 60
    ) -> Run:
        """Execute it on the sample, as the role that it is meant for, and undo it (see `explain`)."""
        speaking = as_tenant(connection, sample.tenant_id) if self.as_tenant else nullcontext()
        with speaking:
            parameters = self.parameters(sample)
            return explain(
                connection,
                self.statement,
                parameters,
                mode=mode,
                before=self.before,
                index_parents=parents,
                seconds=seconds,
            )

    def missing(self, used: frozenset[str]) -> list[str]:
        """Which of its indexes a plan that used these did without."""
        return [wanted for wanted in self.indexes if not used.intersection(wanted.split("|"))]


def hot_queries() -> tuple[HotQuery, ...]:
    """All of them, people's first, then in the order of a message's life."""
    for_tenants = (replace(query, as_tenant=True) for query in (*_enrolling(), *_reading(), *_explaining()))
    return (*for_tenants, *_claiming(), *_sending(), *_ingesting(), *_reacting(), *_closing(), *_keeping_up())


def _enrolling() -> list[HotQuery]:
    return [
        HotQuery(
            "enrollment.READ_ENROLLABLE",
            enrollment.READ_ENROLLABLE,
            lambda s: of_tenant(s, contact_ids=column(s.campaigns, "contact_id")),
            ("pk_lead_point_of_contacts",),
            12,
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
    ]


def _claiming() -> list[HotQuery]:
    leased = "pk_scheduled_actions|ix_scheduled_actions_lease_until"
    return [
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
            (leased,),
            40,
        ),
        HotQuery(
            "queue.LOCK_LEASED",
            queue.LOCK_LEASED,
            lambda s: of_tenant(s, token=s.leased[0].job_id, ids=column(s.leased, "id"), lasting_to=s.now),
            (leased,),
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
    ]


def _sending() -> list[HotQuery]:
    return [
        HotQuery(
            "outbox.READ_SENDS",
            outbox.READ_SENDS,
            lambda s: of_tenant(s, token=s.leased[0].job_id, ids=column(s.leased, "id")),
            (
                "pk_scheduled_actions|ix_scheduled_actions_lease_until",
                "pk_contact_campaigns",
                "pk_lead_point_of_contacts",
            ),
            30,
        ),
        HotQuery(
            "outbox.READ_SUPPRESSED",
            outbox.READ_SUPPRESSED,
            lambda s: of_tenant(s, channel="email", values=addresses_and_domains(s)),
            (
                "uq_communication_suppressions_tenant_id_channel_value_type|"
                "ix_communication_suppressions_tenant_id_channel_value",
            ),
            120,  # most addresses are not suppressed: about two probes for each of 100 messages, for five rows
        ),
        HotQuery(
            "outbox.READ_VALIDATED",
            outbox.READ_VALIDATED,
            lambda s: of_tenant(s, values=column(s.campaigns, "address")),
            ("uq_email_validation_results_tenant_id_email",),
            12,
        ),
        HotQuery(
            "outbox.READ_SENT",
            outbox.READ_SENT,
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
    ]


def _ingesting() -> list[HotQuery]:
    return [
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
    ]


def _reacting() -> list[HotQuery]:
    return [
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
    ]


def _keeping_up() -> list[HotQuery]:
    doubtful = "ix_outbound_messages_status_updated_at"
    return [
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
            (doubtful,),
            8,
        ),
        HotQuery(
            "doubts.MARK_IN_DOUBT",
            doubts.MARK_IN_DOUBT,
            lambda s: of_tenant(s, before=s.now - timedelta(minutes=2), limit=500),
            (doubtful,),
            80,
        ),
        HotQuery(
            "doubts.FIND_OLD_DOUBTS", doubts.FIND_OLD_DOUBTS, lambda s: {"now": s.now, "limit": 500}, (doubtful,), 8
        ),
        HotQuery(
            "doubts.ASSUME_SENT",
            doubts.ASSUME_SENT,
            lambda s: of_tenant(s, ids=column(s.in_hand, "id", status="in_doubt"), code="assumed_sent"),
            ("pk_outbound_messages|ix_outbound_messages_status_updated_at",),
            50,
        ),
    ]


def _reading() -> list[HotQuery]:
    one = {"ix": ("ix_scheduled_actions_tenant_id_contact_campaign_id",)}
    return [
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
            lambda s: of_tenant(s, tenant_id=s.tenant_id, statuses=["paused"]),
            ("contact_campaigns_status_idx",),
            float("inf"),  # one row, for as many as are counted
        ),
        HotQuery(
            "campaign_reading.READ_ACTIONS", campaign_reading.READ_ACTIONS, lambda s: of_campaign(s), one["ix"], 16
        ),
        HotQuery(
            "campaign_reading.READ_MESSAGES",
            campaign_reading.READ_MESSAGES,
            lambda s: of_campaign(s),
            ("ix_outbound_messages_tenant_id_contact_campaign_id",),
            8,
        ),
        HotQuery(
            "campaign_reading.READ_EVENTS",
            campaign_reading.READ_EVENTS,
            lambda s: of_campaign(s),
            ("ix_message_events_tenant_id_outbound_message_id_event_at",),
            40,  # whose time is not known: every month is asked
        ),
        HotQuery(
            "campaign_reading.READ_TRANSITIONS",
            campaign_reading.READ_TRANSITIONS,
            lambda s: of_campaign(s),
            ("uq_campaign_transitions_tenant_id_contact_campaign_id_seq",),
            8,
        ),
    ]


def _closing() -> list[HotQuery]:
    """Whose an address is that is closed."""
    return [
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
    ]


def _explaining() -> list[HotQuery]:
    return [
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
    ]
