"""`dripiq suppress` and `dripiq suppressions`: to whom a tenant does not write."""

from collections.abc import Sequence
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from dripiq.cli.opening import open_database, open_transaction, read_file
from dripiq.cli.output import JsonOption, TenantOption, many, note, progress, say, show_json, show_table
from dripiq.domain.errors import InputError, NotFoundError
from dripiq.domain.states import Channel, SuppressionScope, SuppressionSource, SuppressionType

if TYPE_CHECKING:
    from dripiq.domain.suppression_list import BadEntry

app = typer.Typer(help="Suppressions: addresses and domains that a tenant does not write to.", no_args_is_help=True)

PAGE = 1_000
"""Values in one transaction: the tenant's sending waits for each."""

SHOWN = 20

ValuesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ADDRESS", help="E-mail addresses; domains with --domain.")
]
DomainOption = Annotated[bool, typer.Option("--domain", help="Whole domains are meant: example.com.")]
ChannelOption = Annotated[Channel, typer.Option("--channel", help="Which channel; sms takes numbers (+49…).")]


def suppress(
    tenant: TenantOption,
    values: ValuesArgument = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", metavar="CSV", help="Those in a file: a column email (or domain), or one a line; - reads stdin."
        ),
    ] = None,
    domain: DomainOption = False,
    reason: Annotated[SuppressionType, typer.Option("--reason", help="Why.")] = SuppressionType.MANUAL,
    channel: ChannelOption = Channel.EMAIL,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Pass over what is no address; without it, one and nothing is done.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write to these addresses no more, whether they are contacts or not; campaigns that write to them stop.

    Once it has returned, no message to them becomes `sending`; what is in a provider's hands at that moment may leave.
    """
    from dripiq.db.session import connect
    from dripiq.engine.register import find_tenant
    from dripiq.engine.suppress import suppress as suppress_values

    scope = SuppressionScope.DOMAIN if domain else SuppressionScope.ADDRESS
    noun = "domain" if domain else "number" if channel is Channel.SMS else "address"
    wanted, bad = _wanted(values or [], file, channel, scope)
    if bad and not skip_bad:
        _refuse(bad, noun, quiet=as_json)
    source = SuppressionSource.IMPORT if file is not None else SuppressionSource.MANUAL
    with open_database() as (_, database), progress("Suppressing", len(wanted), quiet=as_json) as advance:
        with connect(database.engine) as connection, connection.begin():
            owner = find_tenant(connection, tenant)
        for start in range(0, len(wanted), PAGE):
            page = wanted[start : start + PAGE]
            with connect(database.engine) as connection, connection.begin():
                suppress_values(connection, owner.id, page, channel=channel, scope=scope, kind=reason, source=source)
            advance(len(page))
    if as_json:
        done = {"suppressed": len(wanted), "scope": scope, "channel": channel, "reason": reason}
        show_json({**done, "bad": [asdict(entry) for entry in bad]})
    else:
        say(
            f"{owner.name} writes no more to {many(len(wanted), noun, 'addresses' if noun == 'address' else None)} ({reason})"
            + (f"; passed over: {len(bad)}" if bad else "")
        )


@app.command("list")
def list_(
    tenant: TenantOption,
    about: Annotated[
        str | None, typer.Option("--for", metavar="ADDRESS", help="Only what forbids writing to this address.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many.")] = 100,
    after: Annotated[
        str, typer.Option("--after", metavar="CURSOR", help="The next page, as the last one named it.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List what a tenant does not write to, and why; what has ended is left out."""
    from dripiq.domain.addresses import domain_of
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.suppressing import list_suppressions

    given = about.strip().lower() if about is not None else None
    values = [given, domain_of(given)] if given is not None else None
    place = after.rsplit("|", 2) if after else ["", "", ""]  # an address may hold one
    if len(place) != 3:
        raise typer.BadParameter(
            f"{after!r} is no place in the list: give what the page before named.", param_hint="--after"
        )
    with open_transaction() as (connection, now):
        owner = find_tenant(connection, tenant)
        found = list_suppressions(
            connection, owner.id, now=now, limit=limit + 1, values=values, after=(place[0], place[1], place[2])
        )
    page = [dict(row._mapping) for row in found[:limit]]
    onward = "|".join(page[-1][name] for name in ("value", "channel", "type")) if len(found) > limit else None
    if as_json:
        show_json({"suppressions": page, "next": onward})
        return
    columns = ("value", "scope", "channel", "type", "source", "first_seen_at", "last_seen_at", "expires_at")
    show_table(page, columns, title="Suppressions")
    if onward is not None:
        note(f"More: --after {quote(onward)}")


@app.command()
def lift(
    values: Annotated[list[str], typer.Argument(metavar="ADDRESS", help="E-mail addresses; domains with --domain.")],
    tenant: TenantOption,
    domain: DomainOption = False,
    reason: Annotated[
        list[SuppressionType] | None,
        typer.Option("--reason", help="Which suppressions end; again for each. [default: manual]"),
    ] = None,
    channel: ChannelOption = Channel.EMAIL,
    as_json: JsonOption = False,
) -> None:
    """Let suppressions end, so that the address can be written to again. Only those that somebody made by hand, unless --reason names others.

    Campaigns that have stopped stay stopped.
    """
    from dripiq.domain.suppression_list import stored_value
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.suppressing import end_suppressions, list_suppressions

    scope = SuppressionScope.DOMAIN if domain else SuppressionScope.ADDRESS
    wanted = [stored_value(value, channel, scope) for value in values]
    with open_transaction() as (connection, now):
        owner = find_tenant(connection, tenant)
        lifted = end_suppressions(connection, owner.id, channel, scope, wanted, reason or [SuppressionType.MANUAL], now)
        rows = list_suppressions(connection, owner.id, now=now, limit=1000, values=wanted)
    left = [(row.value, row.type) for row in rows if row.channel == channel and row.scope == scope]
    if not lifted:
        still = sorted({type for _, type in left})
        raise NotFoundError(
            "Nothing was lifted: "
            + (
                f"what there is are {', '.join(still)}; name it with --reason."
                if still
                else "there is no such suppression."
            ),
            code="unknown_suppression",
            facts={"left": [{"value": value, "reason": type} for value, type in left]},
        )
    if as_json:
        document = {"lifted": lifted, "left": left}
        show_json({name: [{"value": v, "reason": t} for v, t in pairs] for name, pairs in document.items()})
        return
    say(f"Lifted: {len(lifted)}")
    for value, type in left:
        say(f"{value} is still suppressed ({type}): --reason {type} lifts that too.")


def _wanted(
    given: Sequence[str], file: str | None, channel: Channel, scope: SuppressionScope
) -> "tuple[list[str], Sequence[BadEntry]]":
    from dripiq.domain.suppression_list import read_list, stored_value

    if bool(given) == (file is not None):
        raise typer.BadParameter("Name addresses, or a file of them with --file.", param_hint="ADDRESS or --file")
    if file is None:
        return list(dict.fromkeys(stored_value(value, channel, scope) for value in given)), []
    raw = read_file(file)
    if not raw.strip():
        raise InputError(f"{file}: The file is empty: write one entry a line.", code="empty_file", facts={"file": file})
    try:
        found = read_list(raw, channel, scope)
    except InputError as error:
        raise InputError(f"{file}: {error.message}", code=error.error_code, facts={"file": file}) from None
    return list(found.values), found.bad


def _refuse(bad: "Sequence[BadEntry]", noun: str, *, quiet: bool) -> None:
    if not quiet:
        for entry in bad[:SHOWN]:
            note(f"line {entry.line}: {entry.value!r} is no {noun}.")
    raise InputError(
        f"{many(len(bad), 'of the entries is', 'of the entries are')} bad, so nothing was suppressed: mend them, or pass over them with --skip-bad.",
        code="bad_rows",
        facts={"bad": [asdict(entry) for entry in bad]},
    )
