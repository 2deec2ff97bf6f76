"""`dripiq campaign`: start, steer and look at campaigns."""

from typing import Annotated

import typer

from dripiq.cli.contacts import read_contacts, refuse_bad_rows
from dripiq.cli.opening import database_in_use, open_transaction
from dripiq.cli.output import JsonOption, TenantOption, note, say, show_json, show_table
from dripiq.cli.plan_file import checked_plan
from dripiq.cli.previewing import preview
from dripiq.cli.steering import Verb, steer
from dripiq.domain.errors import NotFoundError

app = typer.Typer(help="Campaigns: start, steer and look at them.", no_args_is_help=True)
app.command()(preview)

IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="ID", help="The campaigns.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every campaign of the tenant that this can be done to.")]
SomeTenantOption = Annotated[
    str | None,
    typer.Option("--tenant", metavar="TENANT", help="The tenant: its id or exact name. Needed with --all."),
]
OneTenantOption = Annotated[
    str | None, typer.Option("--tenant", metavar="TENANT", help="The tenant: its id or exact name.")
]


@app.command()
def start(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan, a JSON file; - reads stdin.")],
    tenant: TenantOption,
    contacts: Annotated[
        str,
        typer.Option(
            "--contacts", metavar="all|CSV", help="All of the tenant's contacts, or a CSV file of e-mail addresses."
        ),
    ] = "all",
    sender: Annotated[
        str | None,
        typer.Option(
            "--sender",
            metavar="EMAIL",
            help="The sender. [default: the tenant's verified senders take turns by weight]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start a campaign for contacts on a plan, in one transaction: for all of them or for none.

    A contact whose campaign is not over is passed over. With faults in the plan, an address that is no contact's, or a sender that may not be used,
    nothing starts.
    """
    from dripiq.cli.starting import start_campaigns, warn_of_links
    from dripiq.db.session import as_tenant
    from dripiq.engine.register import find_tenant

    document = checked_plan(plan, quiet=as_json)
    warn_of_links(document)
    emails = None if contacts == "all" else _emails(contacts, quiet=as_json)
    with open_transaction() as (connection, now):
        owner = find_tenant(connection, tenant)
        with as_tenant(connection, owner.id):
            started = start_campaigns(connection, owner.id, document, emails, sender, now, quiet=as_json)
    if as_json:
        show_json({"tenant": {"id": owner.id, "name": owner.name}, **started})
    else:
        say(
            f"Campaigns started for {owner.name}: {started['enrolled']}"
            + (f"; contacts that have one already: {len(already)}" if (already := started["already_enrolled"]) else "")
        )


@app.command()
def pause(
    ids: IdsArgument = None, every: AllOption = False, tenant: SomeTenantOption = None, as_json: JsonOption = False
) -> None:
    """Pause campaigns: their sends are held; their timers keep their clock."""
    steer(Verb.PAUSE, ids or [], every, tenant, as_json)


@app.command()
def resume(
    ids: IdsArgument = None, every: AllOption = False, tenant: SomeTenantOption = None, as_json: JsonOption = False
) -> None:
    """Resume campaigns, and let sends that are held pass the gates again."""
    steer(Verb.RESUME, ids or [], every, tenant, as_json)


@app.command()
def stop(
    ids: IdsArgument = None, every: AllOption = False, tenant: SomeTenantOption = None, as_json: JsonOption = False
) -> None:
    """Stop campaigns for good: nothing more is sent in them."""
    steer(Verb.STOP, ids or [], every, tenant, as_json)


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The campaign.")],
    tenant: OneTenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a campaign: where it stands, what is due, what was sent, what came back, and its path."""
    from dripiq.db.session import as_tenant
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.campaign_reading import find_campaigns, read_campaign

    with open_transaction() as (connection, _):
        owner = find_tenant(connection, tenant).id if tenant is not None else None
        tenant_id = next(iter(find_campaigns(connection, [id], owner)), None)
        campaign = None
        if tenant_id is not None:
            with as_tenant(connection, tenant_id):
                campaign = read_campaign(connection, tenant_id, id)
    if campaign is None:
        raise NotFoundError(
            f"There is no campaign {id!r}: `dripiq campaign list --tenant …` shows a tenant's.",
            code="unknown_campaign",
            facts={"ids": [id]},
        )
    if as_json:
        show_json({"campaign": campaign})
        return
    parts = {
        "actions": ("run_at", "action", "node", "visit", "status", "reason", "last_error"),
        "messages": ("id", "node", "to", "subject", "variant", "status", "sent_at", "error_code", "last_error"),
        "events": ("at", "event", "node", "confidence", "url"),
        "transitions": ("seq", "at", "trigger", "from_node", "to_node", "from_status", "to_status", "reason", "actor"),
    }
    show_table(
        [{"field": name.replace("_", " "), "value": value} for name, value in campaign.items() if name not in parts],
        ("field", "value"),
        title="Campaign",
    )
    for part, columns in parts.items():
        show_table(campaign[part], columns, title=f"\n{part.capitalize()}")


@app.command("list")
def list_(
    tenant: TenantOption,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", metavar="STATUS", help="Only those: draft, active, paused, completed, stopped or error."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many.")] = 100,
    after: Annotated[str, typer.Option("--after", metavar="ID", help="Those after this id: the next page.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List a tenant's campaigns, in the order of their ids."""
    from dripiq.db.session import as_tenant
    from dripiq.domain.states import CampaignStatus
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.campaign_reading import list_campaigns

    if status is not None and status not in [*CampaignStatus]:
        raise typer.BadParameter(f"{status!r} is none of {', '.join(CampaignStatus)}.", param_hint="--status")
    with open_transaction() as (connection, _):
        owner = find_tenant(connection, tenant)
        with as_tenant(connection, owner.id):
            found = list_campaigns(connection, owner.id, status=status, after=after, limit=limit + 1)
    page, onward = found[:limit], found[limit - 1]["id"] if len(found) > limit else None
    if as_json:
        show_json({"campaigns": page, "next": onward})
        return
    show_table(page, ("id", "status", "contact", "email", "node", "next", "next_at", "held"), title="Campaigns")
    if not page:
        note(f"The database is {database_in_use()}.")
    if onward is not None:
        note(f"More: --after {onward}")


def _emails(path: str, *, quiet: bool) -> list[str]:
    """The addresses in a CSV file.

    Raises:
        InputError: what `read_contacts` raises; `bad_rows`.
    """
    contents = read_contacts(path)
    refuse_bad_rows(contents, "started: mend them", quiet=quiet)
    return [row.email for row in contents.rows]
