"""How is it said to people why a message leaves or not?

A sentence or a part of one for each code that gates, actions and the machine give; times in the zone that they are meant in, with UTC beside it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from dripiq.domain.gates import Closed, Effect
from dripiq.domain.zones import wall_clock

_SAID: Final[Mapping[str, str]] = {
    "tenant_paused": "all sending of this tenant is switched off",
    "campaign_paused": "the campaign is paused",
    "campaign_moved_on": "the campaign no longer stands at this message",
    "no_address": "the contact has no address on this channel",
    "address_invalid": "the validation of its address said that it is invalid",
    "sender_missing": "there is no sender to send it from",
    "sender_unverified": "its sender is not verified",
    "sender_paused": "its sender is paused",
    "sender_paused_bounces": "its sender is paused: too many of its mails bounced",
    "sender_paused_complaints": "its sender is paused: too many recipients complained",
    "quiet_hours": "it is quiet hours",
    "send_window": "it is outside of the send window",
    "holiday": "it is a holiday",
    "limit_sender_minute": "its sender has used up what it may send in a minute",
    "limit_sender_hour": "its sender has used up what it may send in an hour",
    "limit_sender_day": "its sender has used up what it may send in a day",
    "limit_tenant_minute": "the tenant has used up what it may send in a minute",
    "limit_tenant_hour": "the tenant has used up what it may send in an hour",
    "limit_tenant_day": "the tenant has used up what it may send in a day",
    "limit_domain_minute": "the recipient's domain has had all that it may get in a minute",
    "limit_domain_hour": "the recipient's domain has had all that it may get in an hour",
    "limit_domain_day": "the recipient's domain has had all that it may get in a day",
    "in_doubt": "nobody knows whether it was handed over",
    "template_missing": "its text needs a value that the contact lacks",
    "template_syntax": "its text is malformed",
    "template_failed": "its text cannot be made",
    "no_channel": "the worker that took it up carries no such channel",
    "provider_not_ready": "its mail server or provider is away, or refuses us",
    "refused_for_now": "the provider refused it for now",
    "lease_expired": "the worker that had it was lost",
    "lease_too_short": "its worker was stopped before the hand-over",
    "not_committed": "something changed just before the hand-over",
    "sending_held_up": "somebody's open transaction holds up sending",
    "resumed_meanwhile": "the campaign was resumed",
}

_RESUME: Final = "dripiq senders resume {sender} --tenant {tenant}; it goes on by itself once another sender is its"

_HELPS: Final[Mapping[str, str]] = {
    "tenant_paused": "dripiq tenants resume {tenant} switches it on again, and releases what it held",
    "campaign_paused": "dripiq campaign resume {campaign}",
    "sender_missing": "dripiq senders add EMAIL --verified --tenant {tenant}",
    "sender_unverified": "dripiq senders add {sender} --verified --tenant {tenant}",
    "sender_paused": _RESUME,
    "sender_paused_bounces": "see to the list, then: " + _RESUME,
    "sender_paused_complaints": "see to whom you write and what, then: " + _RESUME,
    "sender_changed": "its sender is {sender} by now, and not paused: it goes on by itself",
    "template_missing": "give the contact the value (dripiq contacts import CSV --update --tenant {tenant}), then: dripiq campaign resume {campaign}",
    "template_syntax": "start the campaign anew on a plan without the fault",
    "template_failed": "see to the contact's values, then: dripiq campaign resume {campaign}",
    "no_channel": "run a worker that carries the channel, then: dripiq campaign resume {campaign}",
}


def say_code(code: str) -> str:
    """What a code means, as a clause."""
    if code.startswith("suppressed_domain_"):
        return f"its domain is suppressed ({code.removeprefix('suppressed_domain_')})"
    if code.startswith("suppressed_"):
        return f"its address is suppressed ({code.removeprefix('suppressed_')})"
    return _SAID.get(code, code.replace("_", " "))


def say_help(code: str, *, campaign: str, tenant: str, sender: str | None) -> str | None:
    """What somebody can do about a code, where anybody can."""
    advice = _HELPS.get(code)
    return None if advice is None else advice.format(campaign=campaign, tenant=tenant, sender=sender or "EMAIL")


def clock_of(zone: str) -> Callable[[datetime], str]:
    """Says instants by the clock on that zone's wall, and in UTC."""

    def say(at: datetime) -> str:
        utc = at.astimezone(UTC).replace(tzinfo=None)
        there = wall_clock(at, zone)
        if there == utc:
            return f"{utc:%a %Y-%m-%d %H:%M:%S} UTC"
        beside = f"{utc:%H:%M}" if there.date() == utc.date() else f"{utc:%Y-%m-%d %H:%M}"
        return f"{there:%a %Y-%m-%d %H:%M:%S} {zone} ({beside} UTC)"

    return say


def say_meeting(closed: Closed, say: Callable[[datetime], str]) -> str:
    """What a closed gate does with a message that meets it, as the end of a sentence that begins with the message."""
    said = say_code(closed.code)
    match closed.effect:
        case Effect.HOLD:
            return f"is held until somebody acts: {said}"
        case Effect.DROP:
            return f"is dropped: {said}"
        case Effect.STOP:
            until = f" (until {say(closed.until)}, which is too late)" if closed.until is not None else ""
            return f"stops the campaign: {said}{until}"
        case Effect.PUT_OFF:
            until = f", until {say(closed.until)}" if closed.until is not None else ""
            return f"is put off: {said}{until}"


def why_moved(trigger: str, reason: str | None) -> str:
    """What moved a campaign, in a word or two: its trigger, with the reason behind it; of a stop the reason alone, for that it is one stands beside it."""
    if reason is None or reason == trigger:
        return trigger
    return reason if trigger == "stopped" else f"{trigger}: {reason}"
