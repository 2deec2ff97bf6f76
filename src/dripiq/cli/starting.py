"""How does `dripiq campaign start` bring contacts into a campaign?"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dripiq.cli.output import many, note, progress
from dripiq.domain.errors import InputError, NotFoundError
from dripiq.domain.plan.parse import parse_plan

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dripiq.domain.plan.model import Plan

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
        sender: an address; None: the tenant's senders take turns by weight.

    Returns:
        What `--json` prints: `plan_hash`, `sender_id`, `enrolled` (a count), `already_enrolled` (contact ids).

    Raises:
        InputError: `unknown_variable`, where a template asks for what no contact or lead has.
        NotFoundError: `unknown_contacts`, or what `choose_sender` raises; nothing is to be committed then.
    """
    from dripiq.engine.choose_sender import choose_sender
    from dripiq.engine.enroll import enroll

    plan = parse_plan(document)
    sender_id = choose_sender(connection, tenant_id, plan, sender)
    contact_ids = _all(connection, tenant_id) if emails is None else _named(connection, tenant_id, emails)
    enrolled: list[str] = []
    already: list[str] = []
    with progress("Starting", len(contact_ids), quiet=quiet) as advance:
        for start in range(0, len(contact_ids), PAGE):
            batch = contact_ids[start : start + PAGE]
            outcome = enroll(connection, tenant_id, document, batch, now=now, sender_identity_id=sender_id)
            enrolled += outcome.enrolled
            already += outcome.already_enrolled
            advance(len(batch))
    _check_variables(
        connection, tenant_id, plan, enrolled
    )  # of those who start: what the others lack is nothing of this
    return {
        "plan_hash": plan.plan_hash,
        "sender_id": sender_id,
        "enrolled": len(enrolled),
        "already_enrolled": already,
    }


def warn_of_links(document: dict[str, Any]) -> None:
    """Say that links need settings, where they are not made here: the workers may have them."""
    from dripiq.config.environment import load_settings

    if load_settings().public_url is None and _uses_links(parse_plan(document)):
        note(
            "This plan uses unsubscribe_url: its mails are held wherever a worker has no DRIPIQ_PUBLIC_URL and DRIPIQ_SECRET. "
            "Set them there; `dripiq campaign resume` releases what was held."
        )


def _uses_links(plan: "Plan") -> bool:
    from dripiq.domain.render import variables

    contents = [content for node in plan.nodes.values() for content in node.contents]
    texts = [text for content in contents for text in (content.subject, content.body, content.html) if text is not None]
    return any("unsubscribe_url" in variables(text) for text in texts)


def _check_variables(connection: "Connection", tenant_id: str, plan: "Plan", contact_ids: Sequence[str]) -> None:
    """A name that nobody can have would hold every mail, and nothing starts; one that only some lack holds theirs, and is noted.

    Raises:
        InputError: `unknown_variable`, with all of them as faults.
    """
    from dataclasses import asdict

    from dripiq.domain.plan.faults import FaultCode
    from dripiq.domain.plan.variables import Listed, variable_faults
    from dripiq.repositories.enrollment import read_records

    def people() -> Iterator[Listed]:
        for start in range(0, len(contact_ids), PAGE):
            for row in read_records(connection, tenant_id, contact_ids[start : start + PAGE]):
                yield Listed(row.contact.get("email") or row.id, row.contact, row.lead)

    faults = variable_faults(plan, people())
    unknown = [fault for fault in faults if fault.code is FaultCode.UNKNOWN_VARIABLE]
    if unknown:
        raise InputError(
            f"Nothing was started: {unknown[0].path}: {unknown[0].message}",
            code=str(FaultCode.UNKNOWN_VARIABLE),
            facts={"faults": [asdict(fault) for fault in unknown]},
        )
    for fault in faults:
        note(f"{fault.path}: {fault.message}")
    if faults:
        note(
            "Their messages are held when they come due; `dripiq contacts import CSV --update` and `dripiq campaign resume` mend that."
        )


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
            f"{len(unknown)} of {many(len(emails), 'address', 'addresses')} {'is' if len(unknown) == 1 else 'are'} no contact's "
            f"({', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}), "
            "so nothing was started: import them first.",
            code="unknown_contacts",
            facts={"unknown": unknown},
        )
    return [contact_id for email in emails for contact_id in found[email]]
