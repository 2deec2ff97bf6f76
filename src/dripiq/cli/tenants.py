"""`dripiq tenants`: who is there, and somebody new."""

from dataclasses import asdict
from typing import Annotated

import typer

from dripiq.cli.opening import database_in_use, open_transaction
from dripiq.cli.output import JsonOption, note, say, show_json, show_table

app = typer.Typer(help="Tenants: those for whom campaigns run.", no_args_is_help=True)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the tenants, by name."""
    from dripiq.repositories.registration import list_tenants

    with open_transaction() as (connection, _):
        tenants = [asdict(tenant) for tenant in list_tenants(connection)]
    if as_json:
        show_json({"tenants": tenants})
    else:
        show_table(tenants, ("id", "name"), title="Tenants")
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
