"""What is assumed of every contact in a preview?"""

from datetime import timedelta
from enum import StrEnum
from typing import Final

REACTION: Final = timedelta(hours=1)
"""How long after a message a contact does what is assumed of it."""


class Assumption(StrEnum):
    """What each contact does with every message, `REACTION` after it left."""

    SILENCE = "silence"
    OPENS = "opens"
    CLICKS = "clicks"
    REPLIES = "replies"
