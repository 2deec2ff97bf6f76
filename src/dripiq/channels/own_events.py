"""What have the links of our own mails told us?

Each request for one is archived as a delivery of its own, in our own form (JSON), and read like any provider's.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import orjson

from dripiq.channels.provider_events import EventFault, ProviderEvent
from dripiq.domain.attention import by_request
from dripiq.domain.errors import InputError
from dripiq.domain.events import EventType
from dripiq.domain.ids import digest

PROVIDER = "dripiq"
_LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A request for a link of a mail of ours.

    Attributes:
        event: `opened` or `clicked`.
        at: when it came, in whole seconds: the same again within one is the same.
        url: where a click leads.
        ip: whose address it came from, as PostgreSQL's `inet` takes it.
        prefetch: it says itself that nobody looks at it yet.
    """

    event: EventType
    message_id: str
    at: datetime
    url: str | None
    ip: str | None
    user_agent: str
    method: str
    prefetch: bool


def pack(seen: Seen) -> bytes:
    """A request as it is archived."""
    clipped = {
        **asdict(seen),
        "user_agent": seen.user_agent[:_LONGEST],
        "at": seen.at.astimezone(UTC).replace(microsecond=0),
    }
    return orjson.dumps(clipped)


def read_events(raw: bytes, _received_at: datetime) -> tuple[list[ProviderEvent], list[EventFault]]:
    """The event of an archived request. Raises InputError: `not_json`."""
    try:
        said = orjson.loads(raw)
        seen = Seen(**{**said, "event": EventType(said["event"]), "at": datetime.fromisoformat(said["at"])})
    except (ValueError, TypeError, KeyError):
        raise InputError("This is no request for a link of ours.", code="not_json") from None
    event = ProviderEvent(
        provider=PROVIDER,
        event_type=seen.event,
        event_at=seen.at,
        provider_event_id=digest(raw.decode()),
        message_id=seen.message_id,
        url=seen.url,
        ip=seen.ip,
        user_agent=seen.user_agent or None,
        confidence=by_request(seen.event, seen.method, seen.user_agent, is_prefetch=seen.prefetch),
        payload={"method": seen.method, "prefetch": seen.prefetch},
    )
    return [event], []
