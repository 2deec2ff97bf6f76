"""`dripiq quarantine`: what providers told us that no tenant could be found for."""

from typing import Annotated, Any

import typer

from dripiq.cli.opening import open_database, open_transaction
from dripiq.cli.output import JsonOption, many, note, progress, say, show_json, show_table
from dripiq.domain.errors import InputError, NotFoundError

app = typer.Typer(help="What no tenant could be found for: look at it, and say whose it is.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List what is in quarantine, the oldest first: from whom, since when, and why."""
    from dripiq.repositories.quarantined import list_quarantined

    with open_transaction() as (connection, _):
        found = list_quarantined(connection, limit + 1)
    page = found[:limit]
    if as_json:
        show_json({"quarantine": page, "more": len(found) > limit})
        return
    show_table(page, ("id", "provider", "received_at", "reason", "bytes"), title="Quarantine")
    if len(found) > limit:
        note(f"There is more: --limit {min(1000, limit * 10)} shows it.")


@app.command()
def show(
    quarantine_id: Annotated[str, typer.Argument(metavar="ID", help="As listed.")],
    as_json: JsonOption = False,
) -> None:
    """Show a part of a request: its events, each with the tenant that it names and the provider's id of its message."""
    from dripiq.repositories.quarantined import read_quarantined

    with open_transaction() as (connection, _):
        row = read_quarantined(connection, quarantine_id)
    if row is None:
        raise NotFoundError(
            f"Nothing in quarantine is called {quarantine_id!r}: `dripiq quarantine list` shows what there is.",
            code="not_quarantined",
            facts={"ids": [quarantine_id]},
        )
    try:
        events = _events_of(row.provider, row.raw)
    except InputError as error:
        note(f"Its events cannot be read ({error.error_code}).")
        events = []
    if as_json:
        head = {name: getattr(row, name) for name in ("id", "provider", "received_at", "reason", "payload_hash")}
        show_json({**head, "bytes": len(row.raw), "events": events})
        return
    say(
        f"{row.provider}, received {row.received_at:%Y-%m-%d %H:%M:%S} UTC: {row.reason}, {len(row.raw):,} bytes, {many(len(events), 'event')}"
    )
    rows = []
    for each in events:
        said = each["event"] if isinstance(each["event"], dict) else {}
        what = said.get("event") or said.get("MessageStatus") or said.get("Body")
        rows.append({**each, "event": what, "address": said.get("email") or said.get("To")})
    show_table(rows, ("event", "address", "tenant", "provider_message_id"), title="Events")


def _events_of(provider: str, raw: bytes) -> list[dict[str, Any]]:
    """The events of a part of a request as they came, each with the tenant that it names and the provider's id of its message."""
    from dripiq.channels import sendgrid_events, twilio_events
    from dripiq.channels.sendgrid_request import jsonb_safe
    from dripiq.channels.twilio_request import unpack

    if provider == twilio_events.PROVIDER:
        routing = twilio_events.routing_of(raw)
        form = jsonb_safe(dict(unpack(raw)[1]))
        return [{"tenant": routing.tenant_id, "provider_message_id": routing.sid, "event": form}]
    values = [element.value for element in sendgrid_events.split_events(raw)]
    return [
        {"tenant": tenant, "provider_message_id": message, "event": jsonb_safe(value)}
        for value in values
        for tenant, message in [sendgrid_events.routing_of(value)]
    ]


@app.command()
def route(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="As listed.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Whose they are: its id or exact name.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Look again for the tenant of each event whose tenant was not found.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make what is in quarantine its tenant's: named with --tenant, all ids or none; or found again by what the events say, with --all.

    It is then worked like any other delivery. What names a tenant that is none of ours is only ever routed by name.
    """
    if every == bool(ids) or bool(ids) != (tenant is not None):
        raise InputError(
            "Name what to route and whose it is (ID… --tenant TENANT), or say --all.", code="which_quarantined"
        )
    routed, stored, left = _route_all(quiet=as_json) if every else (*_route_named(ids or [], tenant or ""), None)
    if as_json:
        show_json({"routed": routed, "stored": stored, **({} if left is None else {"left": left})})
        return
    rest = "" if left is None else f"; left: {left}"
    say(f"Routed: {routed}, as {many(stored, 'new delivery', 'new deliveries')}{rest}")


def _route_named(ids: list[str], tenant: str) -> tuple[int, int]:
    from dripiq.engine.register import find_tenant
    from dripiq.engine.route import route as route_to

    with open_transaction() as (connection, _):
        owner = find_tenant(connection, tenant)
        return len(set(ids)), route_to(connection, ids, owner.id)


def _route_all(*, quiet: bool) -> tuple[int, int, int]:
    from dripiq.db.session import connect
    from dripiq.engine.route import route_again
    from dripiq.engine.slices import UNKNOWN_TENANT
    from dripiq.repositories.quarantined import count_quarantined

    routed = stored = 0
    with open_database() as (_, database):
        with connect(database.engine) as connection:
            total = count_quarantined(connection, UNKNOWN_TENANT)
        with progress("Routing", total, quiet=quiet) as advance:
            last: str | None = ""
            while last is not None:
                done = route_again(database.engine, last)
                routed, stored, last = routed + done.emptied, stored + done.stored, done.last
                advance(done.looked_at)
        with connect(database.engine) as connection:
            return routed, stored, count_quarantined(connection, UNKNOWN_TENANT)
