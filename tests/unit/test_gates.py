"""What every gate says, and that the first closed one decides."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dripiq.domain.buckets import HORIZON, Bucket
from dripiq.domain.gates import (
    SENDER_RECHECK,
    Closed,
    Effect,
    Gate,
    SendFacts,
    Suppression,
    first_closed,
    judge,
    limited,
    suppressing,
)
from dripiq.domain.limits import Key, Period
from dripiq.domain.moves import Contact
from dripiq.domain.plan.parse import parse_plan
from dripiq.domain.sender_health import PauseReason
from dripiq.domain.states import CampaignStatus, LimitScope, ValidationResult, ValidationStatus

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MIDNIGHT = NOON.replace(hour=0)
PLAN = parse_plan(
    {
        "version": "1.0",
        "timezone": "UTC",
        "quietHours": {"start": "21:00", "end": "07:00"},
        "startNodeId": "intro",
        "nodes": [{"id": "intro", "channel": "email", "action": "send", "subject": "Hello", "body": "Hello"}],
    }
)
FREE = SendFacts(
    contact=Contact("c"),
    tenant_paused=False,
    status=CampaignStatus.ACTIVE,
    is_current=True,
    address="ann@example.com",
    suppressed_address=None,
    suppressed_domain=None,
    validation=None,
    sender=ValidationStatus.VERIFIED,
)
MONDAY = NOON + timedelta(days=5)

NONE_LEFT = Bucket(Key(LimitScope.TENANT, "", Period.HOUR), 0)

CLOSING: dict[Gate, tuple[dict[str, Any], Closed]] = {
    Gate.TENANT_SENDS: ({"tenant_paused": True}, Closed("tenant_paused", Effect.HOLD)),
    Gate.CAMPAIGN_ACTIVE: ({"status": CampaignStatus.PAUSED}, Closed("campaign_paused", Effect.HOLD)),
    Gate.CONTACT_REACHABLE: ({"address": None}, Closed("no_address", Effect.STOP)),
    Gate.ADDRESS_NOT_SUPPRESSED: (
        {"suppressed_address": Suppression("address", "ann@example.com", "manual", MONDAY)},
        Closed("suppressed_manual", Effect.STOP, MONDAY),
    ),
    Gate.DOMAIN_NOT_SUPPRESSED: (
        {"suppressed_domain": Suppression("domain", "example.com", "blocked")},
        Closed("suppressed_domain_blocked", Effect.STOP),
    ),
    Gate.ADDRESS_VALID: ({"validation": ValidationResult.INVALID}, Closed("address_invalid", Effect.STOP)),
    Gate.SENDER_VERIFIED: ({"sender": None}, Closed("sender_missing", Effect.PUT_OFF, MIDNIGHT + SENDER_RECHECK)),
    Gate.SENDER_NOT_PAUSED: (
        {"sender_paused": PauseReason.BOUNCE_RATE},
        Closed("sender_paused_bounces", Effect.HOLD),
    ),
    Gate.LIMITS: ({"buckets": [NONE_LEFT]}, Closed("limit_tenant_hour", Effect.PUT_OFF, MIDNIGHT + HORIZON)),
}
"""What closes each gate but the window, which midnight closes."""

AT_SEVEN = Closed("quiet_hours", Effect.PUT_OFF, MIDNIGHT.replace(hour=7))


def test_with_nothing_in_its_way_every_gate_is_open() -> None:
    verdicts = judge(FREE, PLAN, NOON)
    assert [verdict.gate for verdict in verdicts] == [*Gate]
    assert [verdict.closed for verdict in verdicts] == [None] * len(Gate)
    assert first_closed(FREE, PLAN, NOON) is None


@given(st.sets(st.sampled_from([*CLOSING])), st.sampled_from([NOON, MIDNIGHT]))
def test_every_closed_gate_is_told_and_the_first_decides(closing: set[Gate], at: datetime) -> None:
    facts = FREE
    for gate in closing:
        facts = replace(facts, **CLOSING[gate][0])
    verdicts = judge(facts, PLAN, at)
    assert {v.gate for v in verdicts if v.closed is not None} == closing | (
        {Gate.WINDOW_OPEN} if at == MIDNIGHT else set()
    )
    assert first_closed(facts, PLAN, at) == next((v.closed for v in verdicts[:-1] if v.closed is not None), None)
    assert limited(facts, PLAN, at) == verdicts[-1].closed


@pytest.mark.parametrize("gate", CLOSING)
def test_a_closed_gate_says_its_code_what_follows_and_until_when(gate: Gate) -> None:
    changes, closed = CLOSING[gate]
    told = {verdict.gate: verdict.closed for verdict in judge(replace(FREE, **changes), PLAN, MIDNIGHT)}
    assert (told[gate], told[Gate.WINDOW_OPEN]) == (closed, AT_SEVEN)


@pytest.mark.parametrize("status", [s for s in CampaignStatus if s.is_final or s is CampaignStatus.DRAFT])
def test_a_campaign_that_is_over_or_elsewhere_drops_the_send(status: CampaignStatus) -> None:
    dropped = Closed("campaign_moved_on", Effect.DROP)
    assert first_closed(replace(FREE, status=status), PLAN, NOON) == dropped
    for elsewhere in (CampaignStatus.ACTIVE, CampaignStatus.PAUSED):
        assert first_closed(replace(FREE, status=elsewhere, is_current=False), PLAN, NOON) == dropped


@pytest.mark.parametrize("status", [ValidationStatus.PENDING, ValidationStatus.FAILED])
def test_a_sender_that_is_not_verified_is_asked_for_again(status: ValidationStatus) -> None:
    closed = first_closed(replace(FREE, sender=status), PLAN, NOON)
    assert closed == Closed("sender_unverified", Effect.PUT_OFF, NOON + SENDER_RECHECK)


def test_of_several_reasons_in_force_the_first_by_name_is_told_and_the_last_end() -> None:
    reasons = [
        Suppression("address", "ann@example.com", "unsubscribe", NOON + timedelta(days=1)),
        Suppression("address", "ann@example.com", "bounce", NOON + timedelta(days=3)),
        Suppression("address", "ann@example.com", "blocked", NOON),
    ]
    known = {
        ("address", "ann@example.com"): reasons,
        ("domain", "example.com"): [Suppression("domain", "example.com", "manual")],
    }
    by_address, by_domain = suppressing(known, "ann@example.com", NOON)
    assert by_address == Suppression("address", "ann@example.com", "bounce", NOON + timedelta(days=3))
    assert by_domain == Suppression("domain", "example.com", "manual", None)
    assert suppressing(known, "ann@example.com", NOON + timedelta(days=3))[0] is None
    assert suppressing(known, None, NOON) == (None, None)
