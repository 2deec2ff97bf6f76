"""What does an HTTP answer mean for a message, whoever gives it?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import orjson

from dripiq.channels.base import Outcome, Verdict

SETUP_REST = timedelta(minutes=5)
"""How long a refusal that is about our set-up (key, account, URL) puts things off: somebody has to put it right first."""
USUAL_REST, LONGEST_REST = timedelta(minutes=1), timedelta(minutes=15)
"""What follows a 429 that names no time, and the most that one may ask for."""
_REFUSES_US = frozenset({301, 302, 307, 308, 401, 403, 404, 405, 407, 451})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        """The body as a JSON object; empty where it is none."""
        try:
            value = orjson.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer means for its message, and how long the provider is left alone for it."""

    outcome: Outcome
    rest: timedelta | None = None


def put_off(id: str, code: str, detail: str, span: timedelta) -> Outcome:
    """Surely not taken, and not for the message's sake."""
    return Outcome(id, Verdict.TEMPORARY, code=code, detail=detail, retry_after=span)


def setup_fault(id: str, code: str, detail: str, *, everyones: bool) -> Judgement:
    """A refusal of us, not of the message; where it is everyone's (a wrong key), nobody else needs to ask meanwhile."""
    return Judgement(put_off(id, code, detail, SETUP_REST), SETUP_REST if everyones else None)


def refusal_of_us(id: str, status: int, code: str, detail: str) -> Judgement:
    """What an answer means that no API at the right URL gives to the right key.

    A wrong key, account or address refuses us. 303 says that there is a result elsewhere (RFC 9110, section 15.4.4), and another 2xx that something was
    done: nobody knows what. Any other 4xx is a refusal that the message may be the cause of; it is tried again, but not for ever.
    """
    if status in _REFUSES_US:
        return setup_fault(id, code, detail, everyones=True)
    verdict = Verdict.TEMPORARY if 400 <= status < 500 else Verdict.UNKNOWN
    return Judgement(Outcome(id, verdict, code=code, detail=detail))


def too_many(id: str, answer: Answer) -> Judgement:
    """A 429 (RFC 6585, section 4): refused unseen, until the time that it names."""
    asked = _named_rest(answer.headers) or USUAL_REST
    rest = min(max(asked, timedelta(seconds=1)), LONGEST_REST)
    return Judgement(put_off(id, "429", "Too many requests: the provider asked to wait.", rest), rest)


def _named_rest(headers: Mapping[str, str]) -> timedelta | None:
    """How long from now: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), or SendGrid's `X-RateLimit-Reset` in seconds since 1970."""
    now = datetime.now(UTC)
    try:
        if (after := headers.get("Retry-After")) is not None:
            return timedelta(seconds=int(after)) if after.isdecimal() else parsedate_to_datetime(after) - now
        if (reset := headers.get("X-RateLimit-Reset")) is not None:
            return timedelta(seconds=float(reset) - now.timestamp())
    except (ValueError, TypeError, OverflowError):
        pass
    return None
