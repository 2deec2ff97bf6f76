"""Tenant B, with a repository of its own, tries every method on what belongs to tenant A.

The methods are found by reflection: a new one without a case here fails the test. Each is called with what makes it succeed for A, so that a
refusal is a refusal and not a typo.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import inspect, text

from dripiq.domain.errors import NotFoundError
from dripiq.domain.states import Channel
from dripiq.repositories import (
    CampaignPlanVersionRepository,
    CampaignTransitionRepository,
    CommunicationSuppressionRepository,
    ContactCampaignRepository,
    ContactChannelRepository,
    EmailSenderIdentityRepository,
    EmailValidationResultRepository,
    InboundMessageRepository,
    MessageEventRepository,
    OutboundMessageRepository,
    ScheduledActionRepository,
    SendRateLimitRepository,
    WebhookDeliveryRepository,
)
from dripiq.repositories.base import AppendRepository, Page

Kind = type[AppendRepository[Any, Any]]
Case = Callable[[Any, Any], object]
"""Calls a method of a repository with what fits a row of A's."""

NOT_ABOUT_ROWS = {"entity", "identity", "tenant_id"}

COMMON: dict[str, Case] = {
    "get": lambda repository, row: repository.get(row.id),
    "list": lambda repository, row: repository.list(id=row.id),
    "count": lambda repository, row: repository.count(id=row.id),
    "create": lambda repository, row: repository.create(as_new(row)),
    "create_many": lambda repository, row: repository.create_many([as_new(row)]),
    "get_or_create": lambda repository, row: repository.get_or_create(as_new(row))[0],
    "update": lambda repository, row: repository.update(row.id, {"updated_at": row.created_at}),
    "delete": lambda repository, row: repository.delete(row.id),
}
LOOK_UPS: dict[Kind, dict[str, Case]] = {
    EmailSenderIdentityRepository: {
        "get_by_from_email": lambda repository, row: repository.get_by_from_email(row.from_email),
        "default_for": lambda repository, row: repository.default_for(row.user_id),
    },
    ContactCampaignRepository: {
        "get_by_contact": lambda repository, row: repository.get_by_contact(row.contact_id, row.channel),
    },
    CampaignPlanVersionRepository: {
        "get_version": lambda repository, row: repository.get_version(row.contact_campaign_id, row.version),
        "latest": lambda repository, row: repository.latest(row.contact_campaign_id),
    },
    ScheduledActionRepository: {
        "get_by_dedupe_key": lambda repository, row: repository.get_by_dedupe_key(row.dedupe_key),
    },
    OutboundMessageRepository: {
        "get_by_dedupe_key": lambda repository, row: repository.get_by_dedupe_key(row.dedupe_key),
        "get_by_provider_message_id": lambda repository, row: repository.get_by_provider_message_id(
            row.provider, row.provider_message_id
        ),
    },
    MessageEventRepository: {
        "get_by_provider_event": lambda repository, row: repository.get_by_provider_event(
            row.provider, row.provider_event_id
        ),
    },
    WebhookDeliveryRepository: {
        "get_by_hash": lambda repository, row: repository.get_by_hash(row.provider, row.payload_hash),
    },
    InboundMessageRepository: {
        "get_by_provider_message_id": lambda repository, row: repository.get_by_provider_message_id(
            row.channel, row.provider_message_id
        ),
    },
    CommunicationSuppressionRepository: {
        "get_by_value": lambda repository, row: repository.get_by_value(row.channel, row.value, row.type),
        "is_suppressed": lambda repository, row: repository.is_suppressed(row.channel, row.value),
        "in_force": lambda repository, row: repository.in_force(row.channel, row.value),
    },
    SendRateLimitRepository: {
        "get_by_scope": lambda repository, row: repository.get_by_scope(row.channel, row.scope, row.scope_value),
        "get_for": lambda repository, row: repository.get_for(row.channel, row.scope, row.scope_value),
    },
    EmailValidationResultRepository: {
        "get_by_email": lambda repository, row: repository.get_by_email(row.email),
    },
    ContactChannelRepository: {
        "get_by_value": lambda repository, row: repository.get_by_value(row.contact_id, row.channel, row.value),
        "primary": lambda repository, row: repository.primary(row.contact_id, Channel.EMAIL),
    },
    CampaignTransitionRepository: {
        "chain": lambda repository, row: repository.chain(row.contact_campaign_id),
    },
}
SINGULAR: dict[Kind, dict[str, Any]] = {
    EmailSenderIdentityRepository: {"is_default": True},
    ContactChannelRepository: {"is_primary": True},
}
"""What a row needs so that every look-up finds it."""


def as_new(row: Any) -> dict[str, Any]:
    """What would create the same row again, but for its id."""
    columns = (c.name for c in inspect(type(row)).local_table.columns)
    values = {name: getattr(row, name) for name in columns if name not in {"tenant_id", "id"}}
    return {name: value for name, value in values.items() if value is not None}


def methods_of(kind: Kind) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")} - NOT_ABOUT_ROWS


def rows_in(answer: object) -> Sequence[object]:
    """The rows that an answer shows."""
    if isinstance(answer, Page):
        return answer.items
    if isinstance(answer, (bool, int)):
        return [answer] if answer else []
    return answer if isinstance(answer, Sequence) else [answer] if answer is not None else []


def everything_of(home: Any) -> list[str]:
    """All that a tenant has in the campaign tables, as text."""
    return [
        str(row)
        for kind in LOOK_UPS
        for row in home.session.execute(
            text(
                f"SELECT to_jsonb(t) FROM {inspect(kind.entity).local_table.fullname} AS t WHERE tenant_id = :tenant_id ORDER BY id"
            ),
            {"tenant_id": home.tenant_id},
        ).scalars()
    ]


def test_every_method_of_every_repository_has_a_case(kind: Kind) -> None:
    common = methods_of(kind) & COMMON.keys()
    assert methods_of(kind) == common | LOOK_UPS[kind].keys()


def test_the_cases_find_the_row_for_its_own_tenant(kind: Kind, home: Any) -> None:
    row = home.row(kind, **SINGULAR.get(kind, {}))
    reads = {name: COMMON[name] for name in ("get", "list", "count", "get_or_create")} | LOOK_UPS[kind]
    for name, case in reads.items():
        shown = rows_in(case(home.repository(kind), row))
        assert list(shown) in ([row], [True]), name


def test_no_method_shows_or_changes_another_tenants_row(kind: Kind, home: Any, neighbour: Any) -> None:
    row = home.row(kind, **SINGULAR.get(kind, {}))
    theirs = neighbour.repository(kind)
    untouched = everything_of(home)
    for name in sorted(methods_of(kind)):
        case = (COMMON | LOOK_UPS[kind])[name]
        shown: Sequence[object] = []
        with suppress(NotFoundError):
            shown = rows_in(case(theirs, row))
        if name in {"create", "create_many", "get_or_create"}:
            assert [made.tenant_id for made in shown] == [neighbour.tenant_id] * len(shown), name  # type: ignore[attr-defined]
            for made in shown:  # B may have an equal row of its own; what follows must not meet it
                home.session.delete(made)
            home.session.flush()
        else:
            assert list(shown) == [], name
        assert everything_of(home) == untouched, name


@pytest.mark.parametrize("name", ["get", "update", "delete"])
def test_a_row_loaded_by_one_tenant_in_a_session_is_not_there_for_another(name: str, home: Any, neighbour: Any) -> None:
    """The session's identity map is shared; the repositories over it are not."""
    row = home.row(ContactCampaignRepository)
    assert not COMMON[name](neighbour.repository(ContactCampaignRepository), row)
    assert home.repository(ContactCampaignRepository).get(row.id) is row


def test_rows_of_both_tenants_with_one_id_stay_apart(kind: Kind, home: Any, neighbour: Any) -> None:
    ours = home.row(kind)
    theirs = neighbour.row(kind, id=ours.id)
    assert neighbour.repository(kind).get(ours.id) is theirs
    if kind is not CampaignTransitionRepository:
        untouched = everything_of(home)
        assert neighbour.repository(kind).update(ours.id, {"updated_at": ours.created_at}) is theirs
        assert neighbour.repository(kind).delete(ours.id)
        assert everything_of(home) == untouched
    assert home.repository(kind).get(ours.id) is ours
