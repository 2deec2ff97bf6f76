"""`dripiq limits`: how much may leave in a minute, an hour and a day."""

from typing import Annotated, Any

import typer

from dripiq.cli.opening import open_transaction
from dripiq.cli.output import JsonOption, TenantOption, say, show_json, show_table
from dripiq.domain.states import Channel, LimitScope

app = typer.Typer(
    help="Limits: how much may leave in a minute, an hour and a day, over any window.", no_args_is_help=True
)

ScopeArgument = Annotated[
    LimitScope, typer.Argument(metavar="SCOPE", help="What is counted: sender, tenant, or (recipient) domain.")
]
ValueOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="VALUE",
        help="One sender, by id or address, or one domain. [default: each one has this limit of its own]",
    ),
]
ChannelOption = Annotated[Channel, typer.Option("--channel", help="Which channel.")]


@app.command("list")
def list_(tenant: TenantOption, as_json: JsonOption = False) -> None:
    """List what a tenant has said, and the defaults of what it has not."""
    from dripiq.domain.limits import DEFAULTS
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.limits import list_limits

    with open_transaction() as (connection, _):
        owner = find_tenant(connection, tenant)
        shown = [_shown(row) for row in list_limits(connection, owner.id)]
    said = {(each["channel"], each["scope"]) for each in shown if each["for"] is None}
    for channel in Channel:
        for scope in LimitScope:
            if (channel, scope) not in said:
                maxima = {f"per_{period}": most for period, most in DEFAULTS[scope].items()}
                shown.append({**_NOTHING, "channel": str(channel), "scope": str(scope), **maxima, "is_default": True})
    shown.sort(key=lambda each: (each["channel"], each["scope"], each["for"] or ""))
    if as_json:
        show_json({"limits": shown})
    else:
        show_table(shown, tuple(_NOTHING), title="Limits")


@app.command("set")
def set_(
    scope: ScopeArgument,
    tenant: TenantOption,
    value: ValueOption = None,
    per_minute: Annotated[int | None, typer.Option("--per-minute", metavar="N", help="At most so many.")] = None,
    per_hour: Annotated[int | None, typer.Option("--per-hour", metavar="N", help="At most so many.")] = None,
    per_day: Annotated[int | None, typer.Option("--per-day", metavar="N", help="At most so many in 24 hours.")] = None,
    ramp_start: Annotated[
        int | None, typer.Option("--ramp-start", metavar="N", help="Begin with so many a day, from now on.")
    ] = None,
    ramp_days: Annotated[
        int, typer.Option("--ramp-days", metavar="DAYS", min=1, help="Double them every so many days, up to --per-day.")
    ] = 3,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Nothing limits this scope.")] = False,
    channel: ChannelOption = Channel.EMAIL,
    as_json: JsonOption = False,
) -> None:
    """Say how much may leave, in the place of what was said before of the same scope; holds for what is sent from now on."""
    from dripiq.domain.errors import InputError
    from dripiq.domain.limits import Period
    from dripiq.engine.limit import set_limit
    from dripiq.engine.register import find_tenant

    given = {Period.MINUTE: per_minute, Period.HOUR: per_hour, Period.DAY: per_day}
    maxima = {period: most for period, most in given.items() if most is not None}
    if unlimited and (maxima or ramp_start):
        raise InputError("--unlimited or how much may leave: one or the other, not both.", code="limit")
    if not (unlimited or maxima or ramp_start):
        raise InputError("Say how much with --per-minute, --per-hour or --per-day, or say --unlimited.", code="limit")
    with open_transaction() as (connection, now):
        owner = find_tenant(connection, tenant)
        ramp = None
        if ramp_start is not None:
            ramp = {"start": ramp_start, "double_every_days": ramp_days, "started_at": now.isoformat()}
        value = set_limit(connection, owner.id, scope, value, maxima=maxima, ramp=ramp, channel=channel, now=now)
    numbers = {f"per_{period}": most for period, most in maxima.items()}
    limit = {**_NOTHING, "channel": str(channel), "scope": str(scope), "for": value, **numbers, "ramp": ramp}
    if as_json:
        show_json({"limit": limit})
    else:
        said = (
            ", ".join(f"{most:,} {'an' if period is Period.HOUR else 'a'} {period}" for period, most in maxima.items())
            or "unlimited"
        )
        say(f"{owner.name}, {channel}, {_whom(scope, value)}: {said}")


@app.command()
def clear(
    scope: ScopeArgument,
    tenant: TenantOption,
    value: ValueOption = None,
    channel: ChannelOption = Channel.EMAIL,
    as_json: JsonOption = False,
) -> None:
    """Forget what was said of a scope: the default holds again, or what is said of each one."""
    from dripiq.engine.limit import clear_limit
    from dripiq.engine.register import find_tenant

    with open_transaction() as (connection, _):
        owner = find_tenant(connection, tenant)
        value = clear_limit(connection, owner.id, scope, value, channel=channel)
    if as_json:
        show_json({"cleared": {"channel": str(channel), "scope": str(scope), "for": value}})
    else:
        say(f"{owner.name}, {channel}, {_whom(scope, value)}: as if nothing had been said")


_NOTHING: dict[str, Any] = {
    "channel": None, "scope": None, "for": None, "per_minute": None, "per_hour": None, "per_day": None, "ramp": None, "is_default": False,
}  # fmt: skip


def _shown(row: Any) -> dict[str, Any]:
    return {
        "channel": row.channel,
        "scope": row.scope,
        "for": row.scope_value,
        "per_minute": row.max_per_minute,
        "per_hour": row.max_per_hour,
        "per_day": row.max_per_day,
        "ramp": row.ramp,
        "is_default": False,
    }


def _whom(scope: LimitScope, value: str | None) -> str:
    return str(scope) if scope is LimitScope.TENANT else f"{scope} {value}" if value is not None else f"each {scope}"
