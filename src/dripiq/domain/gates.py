"""May this message leave now, and if not, why and until when?

The gates stand in one order, each with a code that people see: tenant paused, campaign active, contact reachable, suppressed (address, then domain),
validation result, sender verified, window open. The last word on suppression and on the kill switch is spoken once more when the send is committed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from dripiq.domain.moves import PAUSED, Contact
from dripiq.domain.plan.model import Plan
from dripiq.domain.states import CampaignStatus, ValidationResult, ValidationStatus
from dripiq.domain.timing import next_allowed

SENDER_RECHECK: Final = timedelta(minutes=15)
"""How long a send waits for its sender to be verified before it asks again."""

TENANT_PAUSED: Final = "tenant_paused"


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


@dataclass(frozen=True, slots=True)
class SendFacts:
    """All that the gates look at. `is_current` says that the campaign still stands at the visit of this send."""

    contact: Contact
    tenant_paused: bool
    status: CampaignStatus
    is_current: bool
    address: str | None
    suppressed_address: str | None
    suppressed_domain: str | None
    validation: ValidationResult | None
    sender: ValidationStatus | None


@dataclass(frozen=True, slots=True)
class Closed:
    """The first gate that is closed: its code, what follows, and for a put-off the time to ask again (UTC)."""

    code: str
    effect: Effect
    until: datetime | None = None


def first_closed(facts: SendFacts, plan: Plan, now: datetime) -> Closed | None:
    """The first closed gate, or None where the send may go ahead."""
    if facts.tenant_paused:
        return Closed(TENANT_PAUSED, Effect.HOLD)
    if facts.status is CampaignStatus.PAUSED and facts.is_current:
        return Closed(PAUSED, Effect.HOLD)
    if facts.status is not CampaignStatus.ACTIVE or not facts.is_current:
        return Closed("campaign_moved_on", Effect.DROP)
    if facts.address is None:
        return Closed("no_address", Effect.STOP)
    if facts.suppressed_address is not None:
        return Closed(f"suppressed_{facts.suppressed_address}", Effect.STOP)
    if facts.suppressed_domain is not None:
        return Closed(f"suppressed_domain_{facts.suppressed_domain}", Effect.STOP)
    if facts.validation is ValidationResult.INVALID:
        return Closed("address_invalid", Effect.STOP)
    if facts.sender is not ValidationStatus.VERIFIED:
        code = "sender_missing" if facts.sender is None else "sender_unverified"
        return Closed(code, Effect.PUT_OFF, now + SENDER_RECHECK)
    opens_at = next_allowed(plan, now, facts.contact)
    if opens_at > now:
        return Closed("quiet_hours", Effect.PUT_OFF, opens_at)
    return None
