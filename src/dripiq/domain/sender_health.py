"""Do a sender's bounces and complaints still let it go on?

Mailbox providers judge a sender by shares: Google's sender guidelines ask for fewer than 0.1 % of mails marked as spam and tell never to reach 0.3 %
(https://support.google.com/a/answer/81126); Yahoo's ask to stay below 0.3 % (https://senders.yahooinc.com/best-practices/). Amazon SES puts an account
under review at 5 % of bounces (https://docs.aws.amazon.com/ses/latest/dg/reputationdashboardmessages.html). A sender that reaches one of these is paused
before a provider shuts it out.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

LEAST_COMPLAINTS: Final = 2
"""One complaint alone is no share: at the fewest sends it would be 1 %."""


NOBODY: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
"""What a server says of a recipient that nobody is behind: no such mailbox, no such system, no address at all, moved without a trace (RFC 3463, section
3.2), no mail taken there (RFC 7505). 5.1.0 says too little; 5.1.7 and 5.1.8 speak of the sender. Refused so at the hand-over, a mail has bounced."""


class PauseReason(StrEnum):
    """Why a sender is paused."""

    MANUAL = "manual"
    BOUNCE_RATE = "bounce_rate"
    COMPLAINT_RATE = "complaint_rate"


PAUSE_CODES: Final = {
    PauseReason.MANUAL: "sender_paused",
    PauseReason.BOUNCE_RATE: "sender_paused_bounces",
    PauseReason.COMPLAINT_RATE: "sender_paused_complaints",
}
"""What explain shows of what a paused sender would send."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a sender may do to itself before it is paused.

    Attributes:
        bounce_rate, complaint_rate: shares (0 to 1) of what was sent; a sender that reaches one is paused.
        window: over how long both are counted, back from now.
        least_sends: fewer say nothing.
    """

    bounce_rate: float = 0.05
    complaint_rate: float = 0.003
    window: timedelta = timedelta(days=7)
    least_sends: int = 100

    @property
    def least_bounces(self) -> int:
        """Fewer than these are no reason at the fewest sends."""
        return max(1, int(self.bounce_rate * self.least_sends))


@dataclass(frozen=True, slots=True)
class Rates:
    """What became of a sender's mails in the window: how many left or were refused as to nobody, how many of them bounced for good (the refused ones, too), of
    how many somebody complained."""

    sent: int
    bounced: int
    complained: int

    @property
    def bounce_rate(self) -> float:
        """The share that bounced."""
        return self.bounced / self.sent if self.sent else 0.0

    @property
    def complaint_rate(self) -> float:
        """The share that was complained of."""
        return self.complained / self.sent if self.sent else 0.0


def fault_of(rates: Rates, tolerance: Tolerance) -> PauseReason | None:
    """Why a sender with these rates is to be paused; None where it goes on."""
    if rates.sent < tolerance.least_sends:
        return None
    if rates.complained >= LEAST_COMPLAINTS and rates.complaint_rate >= tolerance.complaint_rate:
        return PauseReason.COMPLAINT_RATE
    return PauseReason.BOUNCE_RATE if rates.bounced and rates.bounce_rate >= tolerance.bounce_rate else None


def say_fault(reason: PauseReason, rates: Rates, tolerance: Tolerance) -> str:
    """What it was paused for, as a sentence without its full stop."""
    days = tolerance.window / timedelta(days=1)
    over = f"{days:g} {'day' if days == 1 else 'days'}"
    if reason is PauseReason.COMPLAINT_RATE:
        share, most = rates.complaint_rate, tolerance.complaint_rate
        return (
            f"{rates.complained} complaints about {rates.sent} mails in {over}: {share:.2%}, and {most:.2%} is the most"
        )
    share, most = rates.bounce_rate, tolerance.bounce_rate
    return f"{rates.bounced} of {rates.sent} mails bounced in {over}: {share:.1%}, and {most:.1%} is the most"
