"""Who does what with a mail?

Made-up people, whose habits follow from a seed and their address alone: the same seed gives the same person, whatever else happens. What one does
with a mail is a list of `Deed`s with delays; the provider turns them into webhooks.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that happens to a mail.

    Attributes:
        after: seconds after the provider accepted the mail.
        event: SendGrid's word for it.
        fields: what else the event says.
    """

    after: float
    event: str
    fields: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Habits:
    """What becomes of mail to one person, as probabilities where they are numbers.

    Attributes:
        mailbox: "good", "gone" (bounces for good), "full" (refused for now and for all attempts), or "slow" (deferred at first).
        protected: a machine opens every mail at once, before its reader does (Apple's Mail Privacy Protection does).
        images: whether opens are seen at all; a reader without images may still click.
    """

    mailbox: str
    opens: float
    clicks: float
    complains: float
    leaves: float
    protected: bool
    images: bool


def habits_of(seed: int, address: str) -> Habits:
    """The habits of the person behind an address."""
    chance = random.Random(f"{seed}:{address}")  # noqa: S311 - play, not secrecy
    mailbox = chance.choices(("good", "gone", "full", "slow"), (88, 5, 2, 5))[0]
    opens, clicks = chance.choices(((0.05, 0.0), (0.55, 0.3), (0.95, 0.65)), (30, 40, 30))[0]
    return Habits(
        mailbox, opens, clicks,
        complains=0.02, leaves=0.06, protected=chance.random() < 0.08, images=chance.random() < 0.85,
    )  # fmt: skip


def deeds(seed: int, address: str, count: int) -> list[Deed]:
    """What happens to the `count`-th mail (from 1) to an address, in the order of time.

    A mailbox that is gone or full bounces; every other mail is delivered, and then perhaps opened, clicked, complained of or unsubscribed from.
    """
    habits = habits_of(seed, address)
    chance = random.Random(f"{seed}:{address}:{count}")  # noqa: S311 - play, not secrecy
    return sorted(_deeds(habits, chance), key=lambda deed: deed.after)


def _deeds(habits: Habits, chance: random.Random) -> Iterator[Deed]:
    arrives = chance.uniform(0.2, 1.5)
    if habits.mailbox == "gone":
        reason = "550 5.1.1 The email account that you tried to reach does not exist."
        yield Deed(arrives, "bounce", (("type", "bounce"), ("status", "5.1.1"), ("reason", reason)))
        return
    if habits.mailbox == "full":
        reason = "552 5.2.2 The mailbox is full."
        yield Deed(arrives, "bounce", (("type", "blocked"), ("status", "5.2.2"), ("reason", reason)))
        return
    if habits.mailbox == "slow":
        yield Deed(arrives, "deferred", (("response", "451 4.7.1 Greylisted, try again later"), ("attempt", "1")))
        arrives += chance.uniform(0.5, 1.5)
    yield Deed(arrives, "delivered", (("response", "250 2.0.0 OK"),))
    if habits.protected:
        yield Deed(arrives + 0.3, "open", (*_reader(chance), ("sg_machine_open", True)))
    if chance.random() < habits.opens:
        yield from _reading(habits, chance, arrives)


def _reading(habits: Habits, chance: random.Random, arrives: float) -> Iterator[Deed]:
    """A person reads: mostly soon, sometimes too late for the plan."""
    reads = arrives + (chance.uniform(12, 16) if chance.random() < 0.06 else chance.uniform(0.5, 6.5))
    reader = _reader(chance)
    if habits.images:
        yield Deed(reads, "open", reader)
    if chance.random() < habits.complains:
        yield Deed(reads + 0.5, "spamreport")
    elif chance.random() < habits.leaves:
        yield Deed(reads + chance.uniform(0.5, 2), "unsubscribe", reader)
    elif chance.random() < habits.clicks:
        clicks = reads + chance.uniform(0.3, 5)
        page = chance.choice(("pricing", "case-study", "book-a-call"))
        yield Deed(clicks, "click", (*reader, ("url", f"https://www.example.com/{page}")))
        if chance.random() < 0.15:
            yield Deed(clicks + 1.2, "click", (*reader, ("url", "https://www.example.com/about")))


def _reader(chance: random.Random) -> tuple[tuple[str, object], ...]:
    """Where from and with what: addresses are those set aside for documentation (RFC 5737)."""
    agent = chance.choice(("Mozilla/5.0 (Macintosh)", "Mozilla/5.0 (Windows NT 10.0)", "Mozilla/5.0 (iPhone)"))
    return ("ip", f"203.0.113.{chance.randrange(1, 255)}"), ("useragent", agent)
