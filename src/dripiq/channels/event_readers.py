"""Who tells of events, and how is what each of them brought read?"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from dripiq.channels import own_events, sendgrid_events, twilio_events
from dripiq.channels.provider_events import EventFault, ProviderEvent

EventReader = Callable[[bytes, datetime], tuple[list[ProviderEvent], list[EventFault]]]
"""The events of an archived delivery, of its bytes and when it came in, and what of it cannot be read. Raises InputError where nothing can."""

EVENT_READERS: Final[Mapping[str, EventReader]] = {
    sendgrid_events.PROVIDER: sendgrid_events.read_events,
    twilio_events.PROVIDER: twilio_events.read_events,
    own_events.PROVIDER: own_events.read_events,
}
"""By provider."""
TIMELESS: Final = frozenset({twilio_events.PROVIDER})
"""Those that do not say when something happened: it has the time at which it first came in."""
