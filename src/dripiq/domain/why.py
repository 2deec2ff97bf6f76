"""Why does a campaign send now, or why not? One sentence, and what helps."""

from collections.abc import Callable, Sequence
from datetime import datetime

from dripiq.domain.explanation import CampaignExplanation, PendingSend, Prospect, Step
from dripiq.domain.gates import Closed, Effect
from dripiq.domain.moves import IN_DOUBT
from dripiq.domain.outlook import Departure, Way
from dripiq.domain.states import CampaignStatus
from dripiq.domain.wording import say_code, say_help, say_meeting

Clock = Callable[[datetime], str]


def why_contact(who: str, campaigns: Sequence[CampaignExplanation]) -> str:
    """One sentence for a contact with none, one or several campaigns."""
    if not campaigns:
        return f"{who} has no campaign, so nothing is to be sent: `dripiq campaign start` begins one."
    if len(campaigns) == 1:
        return campaigns[0].why
    return f"{who} has {len(campaigns)} campaigns. " + " ".join(
        f"{each.channel.upper()}: {each.why}" for each in campaigns
    )


def why_campaign(
    status: CampaignStatus,
    prospect: Prospect,
    closed: Closed | None,
    send: PendingSend | None,
    following: Departure | None,
    ways: Sequence[Way],
    path: Sequence[Step],
    at: datetime,
    say: Clock,
) -> str:
    """One sentence on a campaign, at the time `at`."""
    if status.is_final:
        return _over(status, path, say)
    if status is CampaignStatus.DRAFT:
        return "The campaign is a draft: nothing is sent before it is started."
    if send is None:
        return _waits(following, ways, at, say)
    message = f"The message of {send.node_id!r}"
    match prospect:
        case Prospect.SENDS:
            return f"{message} leaves as soon as a worker takes it up: it is due, and every gate is open."
        case Prospect.IN_HAND:
            return f"{message} is in a worker's hands."
        case Prospect.HELD:
            return f"{message} is held: {say_code(send.reason or 'held')}{_detail(send)}."
        case Prospect.NOT_DUE:
            return f"{message} is not due before {say(send.due_at)}{_after_that(send, following, say)}."
        case _:
            assert closed is not None
            return f"{message} {say_meeting(closed, say)}{_after_put_off(closed, following, say)}."


def _over(status: CampaignStatus, path: Sequence[Step], say: Clock) -> str:
    end = next((step for step in reversed(path) if step.to_status is status), None)
    how = {CampaignStatus.COMPLETED: "came to its end", CampaignStatus.STOPPED: "was stopped"}.get(
        status, "ended with an error"
    )
    if end is None:
        return f"The campaign {how}: nothing more is sent."
    cause = end.reason if end.reason is not None else end.trigger
    return f"The campaign {how} on {say(end.at)} ({say_code(cause)}): nothing more is sent."


def _waits(following: Departure | None, ways: Sequence[Way], at: datetime, say: Clock) -> str:
    events = [way.on for way in ways if way.at is None]
    timers = [way for way in ways if way.at is not None]
    waits = f"The campaign waits for {' or '.join(events)}" if events else "The campaign waits"
    if not timers:
        return f"{waits}: nothing is to be sent before that."
    first = timers[0]
    assert first.at is not None
    if first.at <= at:
        waits, until = f"The campaign's timer {first.on} is due", f"since {say(first.at)}"
    else:
        until = f"until {say(first.at)}"
    if following is None:
        return f"{waits} {until}, and ends then: no message is to come unless something happens."
    return f"{waits} {until}; then {_leaves(following, say)}."


def _leaves(departure: Departure, say: Clock) -> str:
    message = f"the message of {departure.node_id!r}"
    if departure.at is not None:
        return f"{message} can leave, on {say(departure.at)} at the earliest"
    assert departure.closed is not None
    return f"{message} {say_meeting(departure.closed, say)}"


def _after_that(send: PendingSend, following: Departure | None, say: Clock) -> str:
    put_off = f" ({say_code(send.reason)})" if send.reason is not None else ""
    if following is None or following.at == send.due_at:
        return put_off
    if following.at is not None:
        return f"{put_off}, and can leave on {say(following.at)}"
    assert following.closed is not None
    return f"{put_off}, and then {say_meeting(following.closed, say)}"


def _after_put_off(closed: Closed, following: Departure | None, say: Clock) -> str:
    if closed.effect is not Effect.PUT_OFF or following is None or following.at == closed.until:
        return ""
    if following.at is not None:
        return f"; it can leave on {say(following.at)}"
    assert following.closed is not None
    return "" if following.closed.code == closed.code else f"; then it {say_meeting(following.closed, say)}"


def _detail(send: PendingSend) -> str:
    return f" ({send.last_error.rstrip('.')})" if send.last_error and send.reason != "campaign_paused" else ""


def helps_with(
    closed: Closed | None, following: Departure | None, *, campaign: str, tenant: str, sender: str | None, doubt: str
) -> str | None:
    """What somebody can do where the next message does not leave by itself; `doubt` says what ends one."""
    met = closed if closed is not None and closed.effect is not Effect.PUT_OFF else None
    met = met or (following.closed if following is not None else None)
    if met is None:
        return None
    return doubt if met.code == IN_DOUBT else say_help(met.code, campaign=campaign, tenant=tenant, sender=sender)
