"""What may become of a mail at a provider that behaves badly, and how often?"""

import random
from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of one mail."""

    TAKEN = "taken"
    REFUSED = "refused"
    """Not taken, and said: 451, or 429 with `X-RateLimit-Reset`."""
    FAILED = "failed"
    """An error that says nothing (421 and the line is closed, or 500): not taken."""
    FAILED_TAKEN = "failed_taken"
    """The same over HTTP, and taken; over SMTP as `UNANSWERED`."""
    HUNG = "hung"
    """Never answered, and not taken."""
    UNANSWERED = "unanswered"
    """Taken, and never answered."""
    CUT = "cut"
    """The connection is closed in the middle of DATA, or of the request's body; not taken."""
    DROPPED = "dropped"
    """Taken, and the connection is closed instead of an answer."""


@dataclass(frozen=True, slots=True)
class Malice:
    """How often what becomes of a mail, as probabilities; what is left is taken and said so."""

    refused: float = 0.03
    failed: float = 0.02
    hung: float = 0.01
    unanswered: float = 0.02
    cut: float = 0.02
    dropped: float = 0.02

    @property
    def badly(self) -> float:
        """How often a mail is not simply taken; no more than 1 makes sense."""
        return self.refused + self.failed + self.hung + self.unanswered + self.cut + self.dropped

    def fate(self, chance: random.Random) -> Fate:
        """What becomes of the next mail."""
        drawn = chance.random()
        for fate, probability in (
            (Fate.REFUSED, self.refused),
            (Fate.FAILED, self.failed / 2),
            (Fate.FAILED_TAKEN, self.failed / 2),
            (Fate.HUNG, self.hung),
            (Fate.UNANSWERED, self.unanswered),
            (Fate.CUT, self.cut),
            (Fate.DROPPED, self.dropped),
        ):
            if drawn < probability:
                return fate
            drawn -= probability
        return Fate.TAKEN


TAKING = frozenset({Fate.TAKEN, Fate.FAILED_TAKEN, Fate.UNANSWERED, Fate.DROPPED})
"""The fates of mails that the provider has taken, whatever it answers."""
