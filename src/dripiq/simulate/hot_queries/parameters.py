"""With which values are the hot statements tried? Each function makes the parameters of one, or a part of them, from a sample of a filled database."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from dripiq.repositories.bulk_samples import Sample
from dripiq.schema.ids import new_ids

Parameters = Mapping[str, object]


def of_tenant(sample: Sample, **others: object) -> Parameters:
    """The tenant, the time, and others."""
    return {"tenant_id": sample.tenant_id, "now": sample.now, **others}


def of_campaign(sample: Sample) -> Parameters:
    """The tenant, the time, and one campaign."""
    return of_tenant(sample, id=sample.campaigns[0].id)


def column(rows: tuple[object, ...], name: str, *, status: str | None = None) -> list[object]:
    """A column of the rows, those of one status where it is given."""
    return [getattr(row, name) for row in rows if status is None or getattr(row, "status", None) == status]


def campaign_ids(sample: Sample) -> list[object]:
    """The ids of the campaigns."""
    return column(sample.campaigns, "id")


def fresh_ids(rows: tuple[object, ...]) -> list[str]:
    """A new id for each row."""
    return new_ids(len(rows))


def addresses_and_domains(sample: Sample) -> list[str]:
    """What a suppression could name: every address, and its domain."""
    addresses = [str(campaign.address) for campaign in sample.campaigns]
    return [*addresses, *(address.partition("@")[2] for address in addresses)]


def drafts(sample: Sample) -> Parameters:
    """For `INSERT_DRAFTS`."""
    return of_tenant(
        sample,
        channel="sms",  # these contacts' e-mail campaigns are open
        plan=sample.campaigns[0].plan,
        plan_version="1.0",
        plan_hash=sample.campaigns[0].plan_hash,
        sender_ids=column(sample.campaigns, "sender_identity_id"),
        choices=["turn"] * len(sample.campaigns),
        ids=fresh_ids(sample.campaigns),
        contact_ids=column(sample.campaigns, "contact_id"),
    )


def prepared(sample: Sample) -> Parameters:
    """For `INSERT_PREPARED`."""
    count = len(sample.campaigns)
    return of_tenant(
        sample,
        channel="email",
        provider="smtp",
        ids=fresh_ids(sample.campaigns),
        campaign_ids=campaign_ids(sample),
        contact_ids=column(sample.campaigns, "contact_id"),
        node_ids=["intro"] * count,
        visits=[99] * count,
        sender_ids=column(sample.campaigns, "sender_identity_id"),
        to_addresses=column(sample.campaigns, "address"),
        subjects=["A question"] * count,
        bodies=["Hello {{ contact.name }}"] * count,
        rendered_bodies=["Hello you"] * count,
        rendered_htmls=[None] * count,
        variants=[None] * count,
        smtp_ids=fresh_ids(sample.campaigns),
        scheduled_ats=[sample.now] * count,
        dedupe_keys=fresh_ids(sample.campaigns),
    )


def deliveries(sample: Sample) -> Parameters:
    """For `INSERT_DELIVERIES`."""
    count = 50
    return {
        "provider": "sendgrid",
        "now": sample.now,
        "tenant_ids": [sample.tenant_id] * count,
        "ids": new_ids(count),
        "raws": [b'[{"event": "open"}]'] * count,
        "fit": [True] * count,
        "hashes": new_ids(count),
    }


def events(sample: Sample) -> Parameters:
    """For `INSERT_EVENTS`: one more of each message."""
    messages = sample.messages
    count = len(messages)
    return of_tenant(
        sample,
        ids=fresh_ids(messages),
        message_ids=column(messages, "id"),
        campaign_ids=column(messages, "contact_campaign_id"),
        providers=["sendgrid"] * count,
        types=["opened"] * count,
        ats=[sample.now - timedelta(minutes=1)] * count,
        urls=[None] * count,
        ips=["192.0.2.7"] * count,
        user_agents=["Mozilla/5.0"] * count,
        event_ids=fresh_ids(messages),
        payloads=['{"event": "open"}'] * count,
        confidences=["human"] * count,
    )


def facts(sample: Sample) -> Parameters:
    """For `RAISE_STATUSES`."""
    count = len(sample.messages)
    ranked = [
        "queued",
        "sending",
        "in_doubt",
        "skipped",
        "sent",
        "deferred",
        "failed",
        "blocked",
        "delivered",
        "bounced",
    ]
    return of_tenant(
        sample,
        ranked=ranked,
        ids=column(sample.messages, "id"),
        statuses=["bounced"] * count,
        ats=[sample.now] * count,
        provider_message_ids=[None] * count,
    )


def suppressions(sample: Sample) -> Parameters:
    """For `UPSERT_SUPPRESSIONS`."""
    count = len(sample.campaigns)
    return of_tenant(
        sample,
        ids=fresh_ids(sample.campaigns),
        channels=["email"] * count,
        values=column(sample.campaigns, "address"),
        scopes=["address"] * count,
        types=["unsubscribe"] * count,
        sources=["link"] * count,
        seen_ats=[sample.now] * count,
    )


def moved_campaigns(sample: Sample) -> Parameters:
    """For `UPDATE_CAMPAIGNS`."""
    count = len(sample.campaigns)
    at: list[datetime] = [sample.now] * count
    return of_tenant(
        sample,
        ids=campaign_ids(sample),
        statuses=["active"] * count,
        node_ids=["bump"] * count,
        visit_numbers=[99] * count,
        visits=['{"bump": 2}'] * count,
        entered_ats=at,
        seqs=[99] * count,
        last_errors=[None] * count,
        started_ats=at,
        completed_ats=[None] * count,
    )


def moves(sample: Sample) -> Parameters:
    """For `INSERT_MOVES`."""
    count = len(sample.campaigns)
    return of_tenant(
        sample,
        ids=fresh_ids(sample.campaigns),
        campaign_ids=campaign_ids(sample),
        seqs=[99] * count,
        from_nodes=["intro"] * count,
        to_nodes=["bump"] * count,
        from_statuses=["active"] * count,
        to_statuses=["active"] * count,
        triggers=["opened"] * count,
        reasons=[None] * count,
        event_refs=fresh_ids(sample.campaigns),
        actors=[None] * count,
        ats=[sample.now] * count,
    )


def actions(sample: Sample) -> Parameters:
    """For `INSERT_ACTIONS`."""
    count = len(sample.campaigns)
    return of_tenant(
        sample,
        ids=fresh_ids(sample.campaigns),
        campaign_ids=campaign_ids(sample),
        node_ids=["bump"] * count,
        visits=[99] * count,
        types=["send"] * count,
        names=["send"] * count,
        run_ats=[sample.now] * count,
        helds=[None] * count,
        keys=fresh_ids(sample.campaigns),
    )
