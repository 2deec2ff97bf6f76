"""Who of a tenant's senders writes to a contact?

Whoever wrote to the contact before goes on, as long as that sender may send. Else the senders take turns by their weights: the hash of the contact
decides, so that a preview says what an enrolment will do, on any machine and without a counter.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

from dripiq.domain.variants import share

MOST_WEIGHT = 1000
"""The most that a sender's weight may be; 0 keeps it out of the turns."""


class SenderChoice(StrEnum):
    """How a campaign came by its sender when it began."""

    NAMED = "named"
    """Whoever enrolled the contact named it."""
    KEPT = "kept"
    """It wrote to the contact before."""
    TURN = "turn"
    """It was its turn."""


class Turn(NamedTuple):
    """A sender that takes turns, and how often beside the others."""

    sender_id: str
    weight: int


class Chosen(NamedTuple):
    """A campaign's sender, and how it came by it."""

    sender_id: str
    choice: SenderChoice


def take_turn(contact_id: str, turns: Sequence[Turn]) -> str | None:
    """The sender whose turn it is for a contact; None where none takes turns.

    Args:
        turns: in the order of their ids.
    """
    bounds = list(accumulate(turn.weight for turn in turns))
    if not bounds or not bounds[-1]:
        return None
    return turns[bisect_right(bounds, share("sender", contact_id) * bounds[-1])].sender_id


def say_choice(choice: str | None, *, answers: bool, node_names: bool, is_default: bool) -> str:
    """Why it is this sender, as a clause; of several reasons that which decides.

    Args:
        choice: the campaign's; None where it was not written down.
        answers: it wrote the message that this one answers.
        node_names: the plan's node names it.
        is_default: the campaign has none of its own.
    """
    if answers:
        return "it wrote what this answers"
    if node_names:
        return "the plan names it"
    if is_default:
        return "the tenant's default"
    return {"kept": "it wrote to the contact before", "turn": "its turn"}.get(choice or "", "named for the campaign")
