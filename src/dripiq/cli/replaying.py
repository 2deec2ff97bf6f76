"""`dripiq replay`: what would be different if the archive were normalised again?"""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dripiq.cli.opening import open_database, read_time
from dripiq.cli.output import JsonOption, many, note, progress, say, show_json, show_table

if TYPE_CHECKING:
    from dripiq.engine.replay import Report, Scope

_COUNTED = ("deliveries", "waiting", "readable", "refused", "dropped", "unproven", "differing", "campaigns")


def replay(
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="TIME", help="What was received from then on, ISO 8601; UTC without an offset."
        ),
    ],
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="What was received before then. [default: now]")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Only this tenant's: its id or exact name.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write what is missing; without it, it is only shown.")
    ] = False,
    move_campaigns: Annotated[
        bool, typer.Option("--move-campaigns", help="Let campaigns answer the events that were missing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Normalise the archive of webhooks again: shows which events, statuses and suppressions are missing, and writes them only with --apply.

    Nothing that is stored is overwritten: an event that the archive says otherwise is reported.
    """
    from dripiq.db.session import connect
    from dripiq.engine.clock import DatabaseClock
    from dripiq.engine.register import find_tenant
    from dripiq.engine.replay import Scope, plan_replay
    from dripiq.engine.replay import replay as replay_tenant

    start, clock = read_time(since, "--since"), DatabaseClock()
    with open_database() as (_, database):
        with connect(database.engine) as connection:
            owner = find_tenant(connection, tenant).id if tenant is not None else None
            now = clock.now(connection)
            end = min(read_time(until, "--until"), now) if until is not None else now
            scope, archived = plan_replay(connection, Scope(start, end, apply=apply, move=move_campaigns), owner)
        total = sum(each.deliveries for each in archived)
        with progress("Writing" if apply else "Looking", total, quiet=as_json) as advance:
            reports = [replay_tenant(database.engine, clock, each, scope, advance) for each in archived]
    if as_json:
        show_json(_document(scope, reports))
    else:
        _show(scope, reports)


def _document(scope: "Scope", reports: "list[Report]") -> dict[str, Any]:
    return {
        "since": scope.since,
        "until": scope.until,
        "applied": scope.apply,
        "campaigns_moved": scope.apply and scope.move,
        "tenants": [
            {
                "tenant": report.tenant_id,
                **{name: getattr(report, name) for name in _COUNTED},
                **{name: dict(getattr(report, name)) for name in ("events", "statuses", "suppressions")},
                "examples": [
                    {"id": each.event_id, "provider_event_id": each.provider_event_id, "fields": each.fields}
                    for each in report.examples
                ],
            }
            for report in reports
        ],
    }


def _show(scope: "Scope", reports: "list[Report]") -> None:
    rows = [
        {
            "tenant": report.tenant_id,
            **{name: getattr(report, name) for name in _COUNTED},
            **{name: _counts(getattr(report, name)) for name in ("events", "statuses", "suppressions")},
        }
        for report in reports
    ]
    columns = ("tenant", "deliveries", "readable", "events", "statuses", "suppressions", "unproven", "differing")
    show_table(rows, columns, title="Written" if scope.apply else "Missing")
    for report in reports:
        for each in report.examples:
            said = "; ".join(
                f"{name} is {stored}, and by the archive {now}" for name, (stored, now) in each.fields.items()
            )
            say(f"Differs, and stays: event {each.event_id} ({report.tenant_id}): {said}")
    _explain(Counter({name: sum(getattr(report, name) for report in reports) for name in _COUNTED}), scope)


def _explain(total: Counter[str], scope: "Scope") -> None:
    """What the numbers do not say by themselves."""
    if total["waiting"]:
        note(f"Left to the worker, who has not worked them yet: {many(total['waiting'], 'delivery', 'deliveries')}.")
    if total["dropped"]:
        note(f"Of months that are not kept, and so staying away: {many(total['dropped'], 'event')}.")
    if total["refused"]:
        note(
            f"Refused by the database for what they say, and left as they are: {many(total['refused'], 'delivery', 'deliveries')}."
        )
    if total["unproven"] and not scope.move:
        note(
            f"Accepted, without their campaigns knowing it: {many(total['unproven'], 'message')}. --move-campaigns tells them."
        )
    if scope.move:
        say(
            f"Campaigns told: {total['campaigns']}"
            if scope.apply
            else f"Campaigns that would be told: {total['campaigns']}"
        )
    if not scope.apply:
        say("Nothing was changed; --apply writes what is missing.")


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items())) or "0"
