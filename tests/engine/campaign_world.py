"""The world of `campaign_machine`: a plan with timers and a circle, a provider that answers as it likes, and what is asked of the database."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import cycle

from sqlalchemy import text

from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.domain.states import Channel
from dripiq.simulate.witnesses import ReceivedMail
from tests.engine.conftest import HandClock, email_plan

PLAN = email_plan(
    {
        "id": "intro",
        "transitions": [
            {"on": "opened", "to": "follow"},
            {"on": "no_open", "to": "bump", "after": "P1D"},
            {"on": "bounced", "to": "stop"},
        ],
    },
    {
        "id": "follow",
        "replyTo": "previous",
        "transitions": [{"on": "clicked", "to": "rest"}, {"on": "no_click", "to": "stop", "after": "PT3H"}],
    },
    {"id": "bump", "transitions": [{"on": "clicked", "to": "intro"}, {"on": "no_click", "to": "stop", "after": "P1D"}]},
    {"id": "rest", "action": "wait", "transitions": [{"on": "no_reply", "to": "bump", "after": "PT1H"}]},
    version="1.1",
    maxVisits=2,
)

ANSWERS = ("taken", "taken", "later", "refused", "silently taken", "silently not taken", "slow down")
WORDS = ("delivered", "open", "click", "bounce", "blocked", "deferred", "unsubscribe", "spamreport")
NEWLY_SENDING = text(
    """
    SELECT message.id, message.attempts, message.to_address, campaign.status,
        EXISTS (SELECT FROM dripiq_app.communication_suppressions AS s WHERE s.tenant_id = :tenant_id AND s.value = message.to_address) AS closed,
        EXISTS (SELECT FROM dripiq_app.tenant_settings AS t WHERE t.tenant_id = :tenant_id AND t.sending_paused_at IS NOT NULL) AS switched
    FROM dripiq_app.outbound_messages AS message
    JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = :tenant_id AND campaign.id = message.contact_campaign_id
    WHERE message.tenant_id = :tenant_id AND message.status = 'sending'
    """
)
OPEN = "SELECT count(*) FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id AND status NOT IN ('completed', 'stopped', 'error')"
CAMPAIGNS_OF = "SELECT id FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id AND contact_id = ANY (:people)"
ASSUMED = "SELECT id FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id AND error_code = 'assumed_sent'"


class Provider:
    """Takes mails as it likes, and knows which it took."""

    provider, channel, capacity, timeout = "sendgrid", Channel.EMAIL, 4, timedelta(seconds=30)

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.answers: Iterator[str] = cycle(["taken"])
        self.taken: list[ReceivedMail] = []

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        return [self._answer(message, next(self.answers)) for message in batch]

    def _answer(self, message: OutgoingMessage, answer: str) -> Outcome:
        if answer in ("taken", "silently taken"):
            now = self.clock.time
            mail = (message.to_address, "us@example.com", "q" + message.id, message.tenant_id, message.id, "")
            self.taken.append(ReceivedMail(now, *mail))
        match answer:
            case "taken":
                return Outcome(message.id, Verdict.ACCEPTED, "q" + message.id)
            case "later":
                return Outcome(message.id, Verdict.TEMPORARY, code="451")
            case "slow down":
                return Outcome(message.id, Verdict.TEMPORARY, code="429", retry_after=timedelta(minutes=1))
            case "refused":
                return Outcome(message.id, Verdict.PERMANENT, code="550")
        return Outcome(message.id, Verdict.UNKNOWN, code="timeout")

    async def close(self) -> None: ...
