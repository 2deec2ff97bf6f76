"""How does `dripiq campaign start` bring contacts into a campaign?"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dripiq.cli.output import progress
from dripiq.domain.errors import NotFoundError
from dripiq.domain.plan.parse import parse_plan

if TYPE_CHECKING:
    from sqlalchemy import Connection

PAGE = 1_000


def start_campaigns(
    connection: "Connection",
    tenant_id: str,
    document: dict[str, Any],
    emails: Sequence[str] | None,
    sender: str | None,
    now: datetime,
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Enrol a tenant's contacts, in the caller's transaction.

    Args:
        document: a plan without faults.
        emails: whom, in stored form; None for all.
        sender: an address; None for the tenant's default sender.

    Returns:
        What `--json` prints: `plan_hash`, `sender_id`, `enrolled` (a count), `already_enrolled` (contact ids).

    Raises:
        NotFoundError: `unknown_contacts`, or what `choose_sender` raises; nothing is to be committed then.
    """
    from dripiq.engine.choose_sender import choose_sender
    from dripiq.engine.enroll import enroll

    plan = parse_plan(document)
    sender_id = choose_sender(connection, tenant_id, plan, sender)
    contact_ids = _all(connection, tenant_id) if emails is None else _named(connection, tenant_id, emails)
    enrolled = 0
    already: list[str] = []
    with progress("Starting", len(contact_ids), quiet=quiet) as advance:
        for start in range(0, len(contact_ids), PAGE):
            batch = contact_ids[start : start + PAGE]
            outcome = enroll(connection, tenant_id, document, batch, now=now, sender_identity_id=sender_id)
            enrolled += len(outcome.enrolled)
            already += outcome.already_enrolled
            advance(len(batch))
    return {
        "plan_hash": plan.plan_hash,
        "sender_id": sender_id,
        "enrolled": enrolled,
        "already_enrolled": already,
    }


def _all(connection: "Connection", tenant_id: str) -> list[str]:
    from dripiq.repositories.enrollment import read_contacts

    found: list[str] = []
    while page := read_contacts(connection, tenant_id, after=found[-1] if found else "", limit=PAGE):
        found += page
    return found


def _named(connection: "Connection", tenant_id: str, emails: Sequence[str]) -> list[str]:
    from dripiq.repositories.campaign_reading import find_contacts

    found = find_contacts(connection, tenant_id, emails)
    unknown = [email for email in emails if email not in found]
    if unknown:
        raise NotFoundError(
            f"{len(unknown)} of {len(emails)} addresses are no contact's ({', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}), "
            "so nothing was started: import them first.",
            code="unknown_contacts",
            facts={"unknown": unknown},
        )
    return [contact_id for email in emails for contact_id in found[email]]
