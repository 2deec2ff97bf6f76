"""`dripiq tenants`: who is there, somebody new, and the kill switch."""

from dataclasses import asdict
from shlex import quote
from typing import Annotated

import typer

from dripiq.cli.opening import database_in_use, open_sending, open_transaction
from dripiq.cli.output import JsonOption, note, say, show_json, show_table

_SENDING = {"sending_paused_at": None, "sending_paused_reason": None}

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant: its id or exact name.")]

app = typer.Typer(help="Tenants: those for whom campaigns run.", no_args_is_help=True)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the tenants, by name, and whose sending is switched off."""
    from dripiq.repositories.kill_switch import find_paused
    from dripiq.repositories.registration import list_tenants

    with open_transaction() as (connection, _):
        paused = find_paused(connection)
        tenants = [asdict(tenant) | paused.get(tenant.id, _SENDING) for tenant in list_tenants(connection)]
    if as_json:
        show_json({"tenants": tenants})
    else:
        show_table(tenants, ("id", "name", "sending_paused_at", "sending_paused_reason"), title="Tenants")
        if not tenants:
            note(f"The database is {database_in_use()}.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; no two tenants share one.")],
    as_json: JsonOption = False,
) -> None:
    """Make a tenant."""
    from dripiq.engine.register import register_tenant

    with open_transaction() as (connection, _):
        tenant = register_tenant(connection, name)
    if as_json:
        show_json({"tenant": asdict(tenant)})
    else:
        say(f"Tenant {tenant.name} has the id {tenant.id}")


@app.command()
def pause(
    tenant: TenantArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; shown by list.")] = "by hand",
    as_json: JsonOption = False,
) -> None:
    """The kill switch: once it has returned, no message of the tenant becomes `sending`. Timers and events go on; what comes due is held."""
    from dripiq.engine.steer import pause_sending

    with open_sending(tenant) as (connection, tenant_id):
        pause_sending(connection, tenant_id, reason=reason)
    if as_json:
        show_json({"tenant_id": tenant_id, "sending": "paused", "reason": reason})
    else:
        say(
            f"All sending of {tenant} is switched off ({reason}). dripiq tenants resume {quote(tenant)} switches it on again."
        )


@app.command()
def resume(tenant: TenantArgument, as_json: JsonOption = False) -> None:
    """Turn the kill switch back, and let what it held pass the gates again. Nothing happens where it was not on."""
    from dripiq.engine.steer import resume_sending

    with open_sending(tenant) as (connection, tenant_id):
        released = resume_sending(connection, tenant_id)
    if as_json:
        show_json({"tenant_id": tenant_id, "sending": "on", "released": released})
    else:
        say(f"{tenant} sends; messages released: {released}")
