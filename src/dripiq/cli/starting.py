"""How does `dripiq campaign start` bring contacts into a campaign?"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dripiq.cli.output import note, progress
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
        sender: an address; None for the tenant's default sender.

    Returns:
        What `--json` prints: `plan_hash`, `sender_id`, `enrolled` (a count), `already_enrolled` (contact ids).

    Raises:
        InputError: `unknown_field`, where a template asks for what no contact or lead has.
        NotFoundError: `unknown_contacts`, or what `choose_sender` raises; nothing is to be committed then.
    """
    from dripiq.engine.choose_sender import choose_sender
    from dripiq.engine.enroll import enroll

    plan = parse_plan(document)
    _refuse_unknown_fields(connection, tenant_id, plan)
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


def warn_of_links(document: dict[str, Any]) -> None:
    """Say that links need settings, where they are not made here: the workers may have them."""
    from dripiq.config import load_settings

    if load_settings().public_url is None and any(
        name == "unsubscribe_url" for name, _ in _asked(parse_plan(document))
    ):
        note(
            "This plan uses unsubscribe_url: its mails are held wherever a worker has no DRIPIQ_PUBLIC_URL and DRIPIQ_SECRET. "
            "Set them there; `dripiq campaign resume` releases what was held."
        )


def _asked(plan: "Plan") -> set[tuple[str, str]]:
    """What templates ask for without a default, and the node that does."""
    from dripiq.domain.render import variables

    return {
        (name, node.id)
        for node in plan.nodes.values()
        for content in node.contents
        for text in (content.subject, content.body, content.html)
        if text is not None
        for name in variables(text)
    }


def _refuse_unknown_fields(connection: "Connection", tenant_id: str, plan: "Plan") -> None:
    """A name that nobody can have would hold every mail; one that only some lack holds theirs."""
    from difflib import get_close_matches

    from dripiq.repositories.enrollment import read_fields

    known = read_fields(connection, tenant_id)
    for name, node_id in sorted(_asked(plan)):
        root, _, field = name.partition(".")
        if root in known and known[root] and field.partition(".")[0] not in known[root]:
            near = get_close_matches(field, known[root], n=1)
            hint = f"did you mean {root}.{near[0]}?" if near else f"there are {', '.join(sorted(known[root]))}."
            raise InputError(
                f"The node {node_id!r} asks for {name}, which no {root} has: {hint}",
                code="unknown_field",
                facts={"variable": name, "node": node_id, "known": sorted(known[root])},
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
            f"{len(unknown)} of {len(emails)} addresses are no contact's ({', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}), "
            "so nothing was started: import them first.",
            code="unknown_contacts",
            facts={"unknown": unknown},
        )
    return [contact_id for email in emails for contact_id in found[email]]
