"""`dripiq in-doubt`: the messages of which nobody knows whether they were taken."""

from typing import Annotated, Any

import typer

from dripiq.cli.opening import open_transaction
from dripiq.cli.output import JsonOption, note, say, show_json, show_table
from dripiq.domain.errors import NotFoundError
from dripiq.domain.states import Resolution

app = typer.Typer(help="Messages in doubt: sent or not, nobody knows.", no_args_is_help=True)

TenantOption = Annotated[
    str | None, typer.Option("--tenant", metavar="TENANT", help="Only this tenant's: its id or exact name.")
]


@app.command("list")
def list_(
    tenant: TenantOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List the messages in doubt, the oldest first: what is known of them, and what happens to them when, if nobody says anything."""
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.doubts import list_doubts

    with open_transaction() as (connection, _):
        owner = find_tenant(connection, tenant).id if tenant is not None else None
        doubts = list_doubts(connection, owner, limit + 1)
    page = doubts[:limit]
    if as_json:
        show_json({"in_doubt": page, "more": len(doubts) > limit})
        return
    show_table(
        [_shown(doubt) for doubt in page], ("id", "tenant", "to", "subject", "since", "why", "then"), title="In doubt"
    )
    if len(doubts) > limit:
        note(f"There are more: --limit {min(1000, limit * 10)} shows them.")


def _shown(doubt: dict[str, Any]) -> dict[str, Any]:
    then = "sent again" if doubt["policy"] == "resend" else "counts as sent"
    return {**doubt, "why": doubt["error_code"], "then": f"{then} at {doubt['settled_at']:%Y-%m-%d %H:%M} UTC"}


@app.command()
def resolve(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="The messages.")],
    resolution: Annotated[
        Resolution,
        typer.Option(
            "--as", help="What is true: it was sent; it was not sent, and is not to be; or send it again, knowingly."
        ),
    ],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what became of messages in doubt, all of them or none; their campaigns go on from there.

    `resend` is outside the guarantee: if the provider did take the message, its reader gets it twice.
    """
    from dripiq.engine.register import find_tenant
    from dripiq.engine.resolve import resolve

    with open_transaction() as (connection, now):
        owner = find_tenant(connection, tenant).id if tenant is not None else None
        ended = resolve(connection, ids, resolution, tenant_id=owner, now=now)
        unknown = [each for each in dict.fromkeys(ids) if each not in ended]
        if unknown:
            raise NotFoundError(
                f"No message in doubt is called {', '.join(map(repr, unknown[:5]))}{' …' if len(unknown) > 5 else ''}, so nothing was changed: "
                "`dripiq in-doubt list` shows them.",
                code="not_in_doubt",
                facts={"ids": unknown},
            )
    if as_json:
        show_json({"resolved": sorted(ended), "as": resolution})
    else:
        say(f"Doubts ended: {len(ended)} ({resolution})")
