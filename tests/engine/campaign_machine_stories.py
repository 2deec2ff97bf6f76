"""Steps of `campaign_machine` that go together: drawn one by one they seldom meet, and what they find shows only where they do."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.engine.campaign_machine import Campaigns
from tests.engine.campaign_machine_draws import EVERYBODY, lateness, minutes, words


class Stories(Campaigns):
    """The same, with whole stories among its steps."""

    @rule(words=words, first=minutes, late=lateness, then=minutes)
    def go_on(self, words: list[str], first: int, late: int, then: int) -> None:
        """What begins leaves, people answer it, a worker takes note, and acts on what follows."""
        self._begin()
        self._work(self._act, None)
        self._tell(first, words, 0, late)
        self._tell(0, words, 1, late)
        self._work(self._listen, None)
        self.act(then, ["taken"])

    @rule(point=st.sampled_from(("dispatch.hand_over:SEND:after", "dispatch.record:COMMIT:before")), old=st.booleans())
    def lose_a_worker_with_mail_in_hand(self, point: str, old: bool) -> None:
        """It dies, its lease runs out, and others put right what it left; where it is old, the doubt too."""
        self._begin()
        self._work(self._act, (point, "die", EVERYBODY))
        for wait in (5, 1_500) if old else (5,):
            self.world.clock.pass_(minutes=wait)
            self._work(self._keep_up, None)
        self._work(self._act, None)
