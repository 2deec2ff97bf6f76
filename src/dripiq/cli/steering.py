"""How do `dripiq campaign pause`, `resume` and `stop` take hold of campaigns?

Campaigns named by id: all of them, or none where one does not exist. With `--all`: a thousand at a time, each in a transaction of its own, so that the
engine is never held up for long; running it again goes on where it ended.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from dripiq.cli.opening import open_database
from dripiq.cli.output import progress, say, show_json
from dripiq.domain.errors import NotFoundError
from dripiq.domain.states import CampaignStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

PAGE = 1_000


class Verb(StrEnum):
    """What is done to campaigns."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


STEERABLE = {
    Verb.PAUSE: (CampaignStatus.ACTIVE,),
    Verb.RESUME: (CampaignStatus.ACTIVE, CampaignStatus.PAUSED),  # an active one may have sends that are held
    Verb.STOP: (CampaignStatus.DRAFT, CampaignStatus.ACTIVE, CampaignStatus.PAUSED),
}
"""The statuses that `--all` looks for."""

DONE = {Verb.PAUSE: "paused", Verb.RESUME: "resumed", Verb.STOP: "stopped"}


def steer(verb: Verb, ids: Sequence[str], every: bool, tenant: str | None, as_json: bool) -> None:
    """Do it, and print how many campaigns changed, and what the machine made of each (`moved`, `not_applicable`, …)."""
    if bool(ids) == every:
        raise typer.BadParameter("Name campaigns by id, or use --all with --tenant.", param_hint="ID or --all")
    if every and tenant is None:
        raise typer.BadParameter("--all needs --tenant: whose campaigns?", param_hint="--tenant")
    verdicts: Counter[str] = Counter()
    changed = 0
    with open_database() as (_, database):
        work = _all_of(database.engine, verb, tenant or "", as_json) if every else _named(database.engine, ids, tenant)
        for connection, tenant_id, batch in work:
            for was_changed, verdict in _apply(connection, verb, tenant_id, batch):
                changed += was_changed
                verdicts[verdict] += 1
    unchanged = verdicts.total() - changed
    if as_json:
        show_json({"action": verb, "changed": changed, "unchanged": unchanged, "verdicts": dict(verdicts)})
        return
    say(f"Campaigns {DONE[verb]}: {changed}" + (f"; left as they were: {unchanged}" if unchanged else ""))


Work = Iterator[tuple["Connection", str, Sequence[str]]]


def _named(engine: "Engine", ids: Sequence[str], tenant: str | None) -> Work:
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.campaign_reading import find_campaigns

    with engine.begin() as connection:
        owner = find_tenant(connection, tenant).id if tenant is not None else None
        found = find_campaigns(connection, ids, owner)
        unknown = sorted(set(ids) - {campaign_id for found_ids in found.values() for campaign_id in found_ids})
        if unknown:
            raise NotFoundError(
                f"There {'is no campaign' if len(unknown) == 1 else 'are no campaigns'} {', '.join(map(repr, unknown[:5]))}"
                f"{' …' if len(unknown) > 5 else ''}, so nothing was changed.",
                code="unknown_campaign",
                facts={"ids": unknown},
            )
        for tenant_id, campaign_ids in found.items():
            yield connection, tenant_id, campaign_ids


def _all_of(engine: "Engine", verb: Verb, tenant: str, as_json: bool) -> Work:
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.campaign_reading import count_campaigns, page_ids

    with engine.begin() as connection:
        tenant_id = find_tenant(connection, tenant).id
        total = count_campaigns(connection, tenant_id, STEERABLE[verb])
    after = ""
    with progress(verb.capitalize(), total, quiet=as_json) as advance:
        while True:
            with engine.begin() as connection:
                page = page_ids(connection, tenant_id, STEERABLE[verb], after=after, limit=PAGE)
                if not page:
                    return
                yield connection, tenant_id, page
            after = page[-1]
            advance(len(page))


def _apply(connection: "Connection", verb: Verb, tenant_id: str, ids: Sequence[str]) -> Iterator[tuple[bool, str]]:
    from dripiq import as_tenant, pause, resume, stop

    who = operator()
    with as_tenant(connection, tenant_id):
        if verb is Verb.PAUSE:
            decisions = pause(connection, tenant_id, ids, actor=who)
        elif verb is Verb.RESUME:
            decisions = resume(connection, tenant_id, ids, actor=who)
        else:
            decisions = stop(connection, tenant_id, ids, actor=who)
    return ((decision.changed, str(decision.verdicts[-1])) for decision in decisions.values())


def operator() -> str:
    """Who does this, for the campaign's path: the account that the command runs under."""
    import os
    import pwd

    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"
