"""`dripiq explain`: why does this contact get mail now or not, and when will it?"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dripiq.cli.opening import open_database, read_time
from dripiq.cli.output import JsonOption, say, show_json, show_table
from dripiq.domain.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dripiq.domain.explanation import CampaignExplanation, Explanation
    from dripiq.domain.gates import Closed, GateVerdict
    from dripiq.domain.outlook import Departure, Way

Clock = Callable[[datetime], str]


def explain(
    contact: Annotated[
        str, typer.Argument(metavar="CONTACT", help="An e-mail address, a contact's id, or a campaign's.")
    ],
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", metavar="TENANT", help="The tenant: its id or exact name. [default: whose it is]"),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="TIME", help="The time to judge at, ISO 8601; UTC without an offset. [default: now]"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain why a contact gets mail now or not, every gate in its order, when the next message can leave, and the path so far.

    Writes nothing. Of a later time it says what would be then if nothing else happened until then.
    """
    from dataclasses import asdict

    from dripiq.db.session import connect
    from dripiq.engine.explain import explain as explain_contact

    judged_at = read_time(at, "--at") if at is not None else None
    with open_database() as (_, database), connect(database.engine) as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")  # all of it is of one moment
        tenant_id = _tenant(connection, tenant, contact)
        explanation = explain_contact(connection, tenant_id, contact, at=judged_at)
    if as_json:
        show_json(asdict(explanation))
    else:
        _show(explanation)


def _tenant(connection: "Connection", given: str | None, contact: str) -> str:
    """Whose the contact is: the tenant named, or the only one that has it."""
    from dripiq.domain.addresses import normalise_email
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.campaign_reading import find_campaigns
    from dripiq.repositories.explaining import find_owner

    if given is not None:
        return find_tenant(connection, given).id
    owners = {
        tenant_id for tenant_id, _ in find_owner(connection, normalise_email(contact) if "@" in contact else contact)
    }
    owners |= find_campaigns(connection, [contact]).keys() if "@" not in contact else set()
    if not owners:
        raise NotFoundError(
            f"There is no contact or campaign {contact!r}: name a contact by its address or id, or a campaign by its id.",
            code="unknown_contact",
            facts={"contact": contact},
        )
    if len(owners) > 1:
        raise InputError(
            f"{len(owners)} tenants have a contact {contact!r}: name one with --tenant ({', '.join(sorted(owners)[:10])}).",
            code="ambiguous_contact",
            facts={"contact": contact, "tenants": sorted(owners)},
        )
    return owners.pop()


def _show(explanation: "Explanation") -> None:
    from dripiq.domain.wording import clock_of

    say(explanation.why)
    if explanation.at != explanation.known_at:
        say(
            f"Judged at {clock_of('UTC')(explanation.at)}, from what is known at {clock_of('UTC')(explanation.known_at)}."
        )
    for campaign in explanation.campaigns:
        _show_campaign(campaign, clock_of(campaign.timezone))


def _show_campaign(campaign: "CampaignExplanation", clock: Clock) -> None:
    if campaign.helps is not None:
        say(f"What helps: {campaign.helps}")
    show_table(_facts(campaign, clock), ("field", "value"), title=f"\nCampaign on {campaign.channel}")
    if campaign.gates:
        rows = [_gate(verdict, clock) for verdict in campaign.gates]
        show_table(rows, ("gate", "verdict", "why", "then", "until"), title="\nGates")
    if not campaign.status.is_final:
        title = "\nWhat can happen" + (", once the message has left" if campaign.send is not None else "")
        show_table([_way(way, clock) for way in campaign.ways], ("on", "when", "to", "next_message"), title=title)
        say(f"Wherever it stands, these stop it: {', '.join(campaign.stops_on)}.")
    path = [{**_row(step), "at": clock(step.at)} for step in campaign.path]
    show_table(path, ("seq", "at", "trigger", "from_node", "to_node", "to_status", "reason", "actor"), title="\nPath")
    messages = [{**_row(m), "sent_at": clock(m.sent_at) if m.sent_at is not None else None} for m in campaign.messages]
    columns = ("id", "node", "to", "subject", "status", "sent_at", "error_code", "last_error")
    show_table(messages, columns, title="\nMessages")


def _facts(campaign: "CampaignExplanation", clock: Clock) -> list[dict[str, Any]]:
    facts: dict[str, Any] = {"id": campaign.id, "status": campaign.status, "stands at": campaign.node_id}
    if campaign.entered_at is not None:
        facts["since"] = clock(campaign.entered_at)
    if campaign.send is not None:
        facts |= {
            "message": campaign.send.node_id + (f", variant {campaign.send.variant}" if campaign.send.variant else ""),
            "from": f"{campaign.send.from_address} ({campaign.send.sender_reason})"
            if campaign.send.from_address
            else "nobody",
            "to": campaign.send.to_address or "nowhere",
            "due": clock(campaign.send.due_at),
            "state": f"{campaign.send.status}" + (f" ({campaign.send.reason})" if campaign.send.reason else ""),
        }
    if not campaign.status.is_final:
        facts["next message"] = _departure(campaign.next, clock)
    return [{"field": name, "value": value} for name, value in facts.items()]


def _departure(departure: "Departure | None", clock: Clock) -> str:
    from dripiq.domain.wording import say_code

    if departure is None:
        return "none"
    if departure.at is not None:
        return f"{departure.node_id}, {clock(departure.at)}"
    assert departure.closed is not None
    return f"{departure.node_id}, never by itself: {say_code(departure.closed.code)}"


def _gate(verdict: "GateVerdict", clock: Clock) -> dict[str, Any]:
    row = {"gate": verdict.gate.replace("_", " "), "verdict": "open" if verdict.closed is None else "CLOSED"}
    return row | (_closed(verdict.closed, clock) if verdict.closed is not None else {})


def _closed(closed: "Closed", clock: Clock) -> dict[str, Any]:
    return {
        "why": closed.code,
        "then": closed.effect.replace("_", " "),
        "until": clock(closed.until) if closed.until is not None else None,
    }


def _way(way: "Way", clock: Clock) -> dict[str, Any]:
    when = f"until {clock(way.until)}" if way.until is not None else "at any time"
    when = f"on {clock(way.at)}" if way.at is not None else when
    evidence = "" if way.min_confidence == "machine" else f" ({way.min_confidence})"
    return {"on": way.on + evidence, "when": when, "to": way.to, "next_message": _departure(way.then, clock)}


def _row(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(value)
