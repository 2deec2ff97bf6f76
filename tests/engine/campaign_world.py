"""The world of `campaign_machine`: a plan with windows, timers and a circle, four people of whom two share an address, a neighbour, and a provider that
answers as it likes."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.domain.limits import Period
from dripiq.domain.states import Channel, LimitScope, SuppressionType
from dripiq.engine.limit import set_limit
from dripiq.engine.pause_sender import weigh_sender
from dripiq.simulate.witnesses import ReceivedMail
from tests.engine.conftest import HandClock, World, email_plan, settle_tenant

PEOPLE = 4
SENDER = "sender@example.com"
MOST_AN_HOUR = 3
"""Where the tenant is limited at all."""

PLAN = email_plan(
    {
        "id": "intro",
        "transitions": [
            {"on": "opened", "to": "follow", "within": "PT3H"},
            {"on": "no_open", "to": "bump", "after": "P1D"},
            {"on": "bounced", "to": "stop"},
        ],
    },
    {
        "id": "follow",
        "replyTo": "previous",
        "transitions": [{"on": "clicked", "to": "rest"}, {"on": "no_click", "to": "stop", "after": "PT3H"}],
    },
    {
        "id": "bump",
        "transitions": [
            {"on": "clicked", "to": "intro"},
            {"on": "no_open", "to": "rest", "after": "PT20M"},
            {"on": "no_click", "to": "stop", "after": "P1D"},
        ],
    },
    {"id": "rest", "action": "wait", "transitions": [{"on": "no_reply", "to": "bump", "after": "PT1H"}]},
    version="1.1",
    maxVisits=2,
)

ANSWERS = (
    "taken", "taken", "taken", "later", "refused", "refused for good", "silently taken", "silently not taken", "slow down",
)  # fmt: skip
WORDS = ("delivered", "open", "open", "click", "click", "bounce", "blocked", "deferred", "unsubscribe", "spamreport")
CLOSING = ("bounce", "unsubscribe", "spamreport")
"""The words that close an address."""


def settle_neighbour(engine: Engine) -> str:
    """A tenant whose people have the same addresses, and whose campaigns nobody works: nothing that others do may reach them. Its id."""
    neighbour = World(engine, Path())
    neighbour.tenant_id, _, neighbour.contacts = settle_tenant(engine, PEOPLE, "Neighbour")
    neighbour.execute(
        "UPDATE dripiq_app.email_sender_identities SET from_email = 'neighbour@example.com' WHERE tenant_id = :tenant_id"
    )
    neighbour.enroll(PLAN)
    return neighbour.tenant_id


def settle_world(engine: Engine, *, limited: bool, takes_turns: bool) -> World:
    """A tenant of its own, whose last contact has the first one's address.

    Args:
        limited: whether no more than `MOST_AN_HOUR` may leave.
        takes_turns: whether contacts are dealt to the sender, or the campaigns stand at the tenant's default one.
    """
    world = World(engine, Path())
    world.tenant_id, world.sender_id, world.contacts = settle_tenant(engine, PEOPLE)
    world.execute(
        "UPDATE dripiq_app.lead_point_of_contacts SET email = 'c1@example.com' WHERE tenant_id = :tenant_id AND id = :id",
        id=world.contacts[-1],
    )
    with engine.begin() as connection:
        if limited:
            maxima = {Period.HOUR: MOST_AN_HOUR}
            set_limit(connection, world.tenant_id, LimitScope.TENANT, maxima=maxima, now=world.clock.time)
        if not takes_turns:
            weigh_sender(connection, world.tenant_id, SENDER, 0, now=world.clock.time)
    return world


class Provider:
    """Takes mails as it likes, and knows which it took."""

    provider, channel, timeout = "sendgrid", Channel.EMAIL, timedelta(seconds=30)
    capacity = 2 * PEOPLE  # one sub-batch holds all: with two lanes at once, no two runs were the same

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.answers: Sequence[str] = ["taken"]
        self.taken: list[ReceivedMail] = []
        self.closed: list[str] = []
        """Addresses that it has said to be no good, until somebody takes note."""

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        # Each contact has an answer of its own, whatever the order that their ids give them.
        return [self._answer(m, self.answers[int((m.subject or "0")[-1]) % len(self.answers)]) for m in batch]

    def _answer(self, message: OutgoingMessage, answer: str) -> Outcome:
        if answer in ("taken", "silently taken"):
            now = self.clock.time
            mail = (message.to_address, message.from_address, "q" + message.id, message.tenant_id, message.id, "")
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
            case "refused for good":
                self.closed.append(message.to_address)
                return Outcome(message.id, Verdict.PERMANENT, code="550 5.1.1", closes=SuppressionType.BOUNCE)
        return Outcome(message.id, Verdict.UNKNOWN, code="timeout")

    async def close(self) -> None: ...
