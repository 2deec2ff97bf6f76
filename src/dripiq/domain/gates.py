"""May this message leave now, and if not, why and until when?

The gates stand in one order (`Gate`), and each that is closed has a code that people see. `judge` asks all of them, for who wants to know; `first_closed`
the first that is closed, which decides. The last word on suppression and on the kill switch is spoken once more when the send is committed;
limits are asked for only then, of what is ready to leave (`limited`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

from dripiq.domain.addresses import domain_of
from dripiq.domain.buckets import Bucket, find_slot
from dripiq.domain.moves import PAUSED, Contact
from dripiq.domain.plan.model import Plan
from dripiq.domain.sender_health import PAUSE_CODES, PauseReason
from dripiq.domain.states import CampaignStatus, SuppressionScope, ValidationResult, ValidationStatus
from dripiq.domain.timing import closed_by, next_allowed

SENDER_RECHECK: Final = timedelta(minutes=15)
"""How long a send waits for its sender to be verified before it asks again."""

TENANT_PAUSED: Final = "tenant_paused"
MOVED_ON: Final = "campaign_moved_on"
NO_ADDRESS: Final = "no_address"
ADDRESS_INVALID: Final = "address_invalid"
SENDER_MISSING: Final = "sender_missing"
SENDER_UNVERIFIED: Final = "sender_unverified"


class Gate(StrEnum):
    """What has to hold before a message leaves, in the order in which it is asked."""

    TENANT_SENDS = "tenant_sends"
    CAMPAIGN_ACTIVE = "campaign_active"
    CONTACT_REACHABLE = "contact_reachable"
    ADDRESS_NOT_SUPPRESSED = "address_not_suppressed"
    DOMAIN_NOT_SUPPRESSED = "domain_not_suppressed"
    ADDRESS_VALID = "address_valid"
    SENDER_VERIFIED = "sender_verified"
    SENDER_NOT_PAUSED = "sender_not_paused"
    WINDOW_OPEN = "window_open"
    LIMITS = "limits"


class Effect(StrEnum):
    """What a closed gate does with the send."""

    HOLD = "hold"
    """It waits for somebody to act."""
    PUT_OFF = "put_off"
    """It waits until a time."""
    DROP = "drop"
    """The campaign has moved on: this send is not wanted any more."""
    STOP = "stop"
    """The contact cannot or must not be written to: the campaign stops."""


class Suppression(NamedTuple):
    """One reason not to write to an address or a domain (`value`); `expires_at` None is for ever."""

    scope: str
    value: str
    type: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SendFacts:
    """All that the gates look at. `is_current` says that the campaign still stands at the visit of this send; `buckets` count it, once it is to be counted."""

    contact: Contact
    tenant_paused: bool
    status: CampaignStatus
    is_current: bool
    address: str | None
    suppressed_address: Suppression | None
    suppressed_domain: Suppression | None
    validation: ValidationResult | None
    sender: ValidationStatus | None
    sender_paused: PauseReason | None = None
    buckets: Sequence[Bucket] = ()


@dataclass(frozen=True, slots=True)
class Closed:
    """A gate that is closed: its code, what follows, and until when (UTC): for a put-off the time to ask again, for a stop the end of its reason,
    where it has one."""

    code: str
    effect: Effect
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """What one gate says; `closed` is None where it is open."""

    gate: Gate
    closed: Closed | None


def first_closed(facts: SendFacts, plan: Plan, now: datetime) -> Closed | None:
    """The first closed gate before the limits, or None where the send may go ahead. Those behind it are not asked."""
    for rule in _RULES.values():
        closed = rule(facts, plan, now)
        if closed is not None:
            return closed
    return None


def judge(facts: SendFacts, plan: Plan, now: datetime) -> tuple[GateVerdict, ...]:
    """What every gate says, in their order: the first that is closed decides (`first_closed`), the others would be met after it."""
    verdicts = [GateVerdict(gate, rule(facts, plan, now)) for gate, rule in _RULES.items()]
    return (*verdicts, GateVerdict(Gate.LIMITS, limited(facts, plan, now)))


def limited(facts: SendFacts, plan: Plan, now: datetime) -> Closed | None:
    """Whether a limit holds the send, and until when: the slot that it would book."""
    slot = find_slot(facts.buckets, now, partial(next_allowed, plan, contact=facts.contact))
    return None if slot is None else Closed(slot.key.code, Effect.PUT_OFF, slot.at)


Suppressed = Mapping[tuple[str, str], Iterable[Suppression]]
"""The suppressions known of, by (scope, value)."""


def suppressed_at(known: Suppressed, scope: SuppressionScope, value: str, at: datetime) -> Suppression | None:
    """What suppresses a value at that time: of several reasons the first by name, and the end of the last."""
    there = [each for each in known.get((scope, value), ()) if each.expires_at is None or each.expires_at > at]
    if not there:
        return None
    ends = [each.expires_at for each in there if each.expires_at is not None]
    return Suppression(scope, value, min(each.type for each in there), max(ends) if len(ends) == len(there) else None)


def suppressing(known: Suppressed, address: str | None, at: datetime) -> tuple[Suppression | None, Suppression | None]:
    """What suppresses an address at that time, itself and by its domain."""
    if address is None:
        return None, None
    return (
        suppressed_at(known, SuppressionScope.ADDRESS, address, at),
        suppressed_at(known, SuppressionScope.DOMAIN, domain_of(address), at),
    )


# ---- rules: (facts, plan, now) -> what is closed, if it is


def _tenant_sends(facts: SendFacts, _plan: Plan, _now: datetime) -> Closed | None:
    return Closed(TENANT_PAUSED, Effect.HOLD) if facts.tenant_paused else None


def _campaign_active(facts: SendFacts, _plan: Plan, _now: datetime) -> Closed | None:
    if facts.status is CampaignStatus.ACTIVE and facts.is_current:
        return None
    if facts.status is CampaignStatus.PAUSED and facts.is_current:
        return Closed(PAUSED, Effect.HOLD)
    return Closed(MOVED_ON, Effect.DROP)


def _contact_reachable(facts: SendFacts, _plan: Plan, _now: datetime) -> Closed | None:
    return Closed(NO_ADDRESS, Effect.STOP) if facts.address is None else None


def _address_not_suppressed(facts: SendFacts, _plan: Plan, _now: datetime) -> Closed | None:
    found = facts.suppressed_address
    return None if found is None else Closed(f"suppressed_{found.type}", Effect.STOP, found.expires_at)


def _domain_not_suppressed(facts: SendFacts, _plan: Plan, _now: datetime) -> Closed | None:
    found = facts.suppressed_domain
    return None if found is None else Closed(f"suppressed_domain_{found.type}", Effect.STOP, found.expires_at)


def _address_valid(facts: SendFacts, _plan: Plan, _now: datetime) -> Closed | None:
    return Closed(ADDRESS_INVALID, Effect.STOP) if facts.validation is ValidationResult.INVALID else None


def _sender_verified(facts: SendFacts, _plan: Plan, now: datetime) -> Closed | None:
    if facts.sender is ValidationStatus.VERIFIED:
        return None
    code = SENDER_MISSING if facts.sender is None else SENDER_UNVERIFIED
    return Closed(code, Effect.PUT_OFF, now + SENDER_RECHECK)


def _sender_not_paused(facts: SendFacts, _plan: Plan, _now: datetime) -> Closed | None:
    return None if facts.sender_paused is None else Closed(PAUSE_CODES[facts.sender_paused], Effect.HOLD)


def _window_open(facts: SendFacts, plan: Plan, now: datetime) -> Closed | None:
    rule = closed_by(plan, now, facts.contact)
    return None if rule is None else Closed(rule, Effect.PUT_OFF, next_allowed(plan, now, facts.contact))


_RULES: Final[Mapping[Gate, Callable[[SendFacts, Plan, datetime], Closed | None]]] = {
    Gate.TENANT_SENDS: _tenant_sends,
    Gate.CAMPAIGN_ACTIVE: _campaign_active,
    Gate.CONTACT_REACHABLE: _contact_reachable,
    Gate.ADDRESS_NOT_SUPPRESSED: _address_not_suppressed,
    Gate.DOMAIN_NOT_SUPPRESSED: _domain_not_suppressed,
    Gate.ADDRESS_VALID: _address_valid,
    Gate.SENDER_VERIFIED: _sender_verified,
    Gate.SENDER_NOT_PAUSED: _sender_not_paused,
    Gate.WINDOW_OPEN: _window_open,
}
