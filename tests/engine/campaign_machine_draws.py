"""What is drawn for `campaign_machine`: who does what, when a worker's step is cut in two, and what the provider answers and tells."""

from hypothesis import strategies as st

from dripiq.simulate.witnesses import Event, ReceivedMail
from tests.engine.campaign_world import ANSWERS, PEOPLE, WORDS

EVERYBODY = frozenset(range(PEOPLE))
HOLDS = ("pause", "stop", "suppress", "change address", "switch", "pause sender")
"""What must hold back what is not committed to sending yet."""
DEEDS = ("die", "die", *HOLDS, "resume", "switch back", "resume sender", "tell", "lose the lease")
STEERED = (
    "pause", "pause", "resume", "resume", "stop", "suppress", "lift", "lift", "change address", "switch", "switch back", "switch back",
    "pause sender", "resume sender", "resume sender",
)  # fmt: skip

Cut = tuple[int | str, str, frozenset[int]]
"""At which of its points a worker's step is cut in two (by number, or by name), by what, and who it is done to."""
LAST_MOMENT = "dispatch.commit:LOCK_SHARED:before"
NAMED = (
    "claim:COMMIT:after", "dispatch.prepare:READ_SENDS:after", "dispatch.prepare:COMMIT:after", LAST_MOMENT,
    "dispatch.commit:COMMIT:before", "dispatch.commit:COMMIT:after", "dispatch.hand_over:SEND:before", "dispatch.hand_over:SEND:halfway",
    "dispatch.hand_over:SEND:after", "dispatch.record:COMMIT:before", "dispatch.record:COMMIT:after", "resolve:FIND_OLD_DOUBTS:after",
)  # fmt: skip
some = st.frozensets(st.integers(0, PEOPLE - 1), min_size=1)
numbers = st.integers(1, 60)
answers = st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3)
lateness = st.sampled_from((0, 0, 1, 3_600, 7_200, 86_400))
minutes = st.sampled_from((0, 0, 0, 25, 100, 1_500))
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)


def event_of(mail: ReceivedMail, word: str, at: int, number: int) -> Event:
    """What SendGrid posts of a mail; `at` in seconds since the epoch, `number` tells it from others."""
    more = {"bounce": {"type": "bounce", "status": "5.1.1"}, "blocked": {"type": "blocked", "status": "5.7.1"}}
    return {
        "event": "bounce" if word == "blocked" else word, "timestamp": at, "sg_event_id": f"{mail.message_id}-{number}-{word}-{at}",
        "email": mail.recipient, "sg_message_id": mail.queue_id, "dripiq_tenant": mail.tenant_id, "dripiq_message": mail.message_id,
        **more.get(word, {}), **({"url": "https://example.com/"} if word == "click" else {}),
    }  # fmt: skip
