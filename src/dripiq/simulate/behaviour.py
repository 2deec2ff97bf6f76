"""What does a simulated recipient do with a mail?

Made-up people whose every deed follows from seed, address, node and visit: nothing else decides it, neither the order of work nor what others do. So two
plans, or two versions of one, meet the same people. The rates are assumptions, to be replaced by one's own.

- A mailbox that is gone is gone for every mail; whether machines open a recipient's mail at once is the recipient's habit, too. All else is decided mail
  by mail.
- Each rate is a share of the mails delivered, and holds exactly on average. Who clicks, replies, leaves or complains has read the mail; `open` says how much
  of the reading is seen.
- Delays are medians: half come sooner. One in ten takes more than four times as long.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Final

from dripiq.domain.errors import InputError
from dripiq.domain.plan.durations import format_duration, parse_duration
from dripiq.domain.plan.faults import did_you_mean
from dripiq.simulate.recipients import Deed

REPLY: Final = "reply"
"""The deed that SendGrid has no word for."""

_SHAPE: Final = 1.5
_RAREST: Final = 0.995


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How likely people are to do what, as shares from 0 to 1, and how long half of them take for it.

    Attributes:
        bounce: recipients whose mailbox is gone.
        soft_bounce: mails that a mailbox refuses this once (full, greylisted for too long).
        open: delivered mails that are read and seen to be read.
        machine_open: recipients whose mail a machine opens at once, before they do (Apple's Mail Privacy Protection).
        click, reply, unsubscribe, complaint: delivered mails that this is done to.
        open_after: from delivery to reading.
        click_after, reply_after, leave_after: from reading to each; leaving is to unsubscribe or to complain.
    """

    bounce: float = 0.02
    soft_bounce: float = 0.01
    open: float = 0.40
    machine_open: float = 0.15
    click: float = 0.08
    reply: float = 0.04
    unsubscribe: float = 0.005
    complaint: float = 0.001
    open_after: timedelta = timedelta(hours=3)
    click_after: timedelta = timedelta(minutes=2)
    reply_after: timedelta = timedelta(hours=1)
    leave_after: timedelta = timedelta(minutes=1)

    def as_json(self) -> dict[str, Any]:
        """Rates as numbers, delays as ISO 8601 durations."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: format_duration(value) if isinstance(value, timedelta) else value for name, value in values}


def read_behaviour(document: Mapping[str, Any]) -> Behaviour:
    """The behaviour that a JSON object describes, in the form of `Behaviour.as_json`; what it leaves out is as usual.

    Raises:
        InputError: `behaviour`: an unknown name, a rate that is no number from 0 to 1, or a delay that is no duration.
    """
    known = {field.name: field.type for field in fields(Behaviour)}
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            raise _refused(name, f"is unknown{did_you_mean(name, known)}")
        found[name] = _delay(name, value) if name.endswith("_after") else _rate(name, value)
    return Behaviour(**found)


def of_texts(behaviour: Behaviour) -> Behaviour:
    """The same people with text messages: nobody sees those opened or clicked, and there is nowhere to complain."""
    return replace(behaviour, open=0.0, machine_open=0.0, click=0.0, complaint=0.0)


def deeds(behaviour: Behaviour, seed: int, address: str, node_id: str, visit: int) -> list[Deed]:
    """What comes of one mail, in the order of time; times are seconds after its hand-over."""
    return sorted(_deeds(behaviour, _luck(seed, address), _luck(seed, address, node_id, visit)), key=lambda d: d.after)


def _deeds(behaviour: Behaviour, person: list[float], mail: list[float]) -> Iterator[Deed]:
    gone, guarded, *_ = person
    arrival, full, interest, read_luck, click_luck, reply, reply_luck, leave = mail
    arrives = 1 + 29 * arrival
    if gone < behaviour.bounce:
        yield Deed(arrives, "bounce", (("type", "bounce"), ("status", "5.1.1")))
        return
    if full < behaviour.soft_bounce:
        yield Deed(arrives, "bounce", (("type", "blocked"), ("status", "5.2.2")))
        return
    yield Deed(arrives, "delivered")
    if guarded < behaviour.machine_open:
        yield Deed(arrives + 60 * read_luck, "open", (("sg_machine_open", True),))
    leaving = behaviour.complaint + behaviour.unsubscribe
    readers = max(behaviour.open, behaviour.click, behaviour.reply, leaving)
    if interest >= readers:
        return
    read = arrives + _delayed(behaviour.open_after, read_luck)
    if interest < behaviour.open:
        yield Deed(read, "open")
    if interest < behaviour.click:
        url = "https://www.example.com/"
        yield Deed(read + _delayed(behaviour.click_after, click_luck), "click", (("url", url),))
    if reply < behaviour.reply / readers:
        yield Deed(read + _delayed(behaviour.reply_after, reply_luck), REPLY)
    if leave < leaving / readers:
        word = "spamreport" if leave < behaviour.complaint / readers else "unsubscribe"
        yield Deed(read + _delayed(behaviour.leave_after, click_luck), word)


def _luck(*parts: object) -> list[float]:
    """Eight numbers from 0 up to, not including, 1, that the parts decide; the same on every machine."""
    noise = hashlib.sha256("\x00".join(map(str, parts)).encode()).digest()
    return [int.from_bytes(noise[at : at + 4]) / 2**32 for at in range(0, 32, 4)]


def _delayed(median: timedelta, luck: float) -> float:
    """A delay in seconds: log-logistic, so that a few take much longer than most; the longest is some thirty times the median."""
    at_most = min(luck, _RAREST)
    odds: float = at_most / (1 - at_most)
    return float(median.total_seconds() * odds ** (1 / _SHAPE))


def _rate(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _refused(name, "must be a number from 0 to 1")
    return float(value)


def _delay(name: str, value: object) -> timedelta:
    if not isinstance(value, str):
        raise _refused(name, 'must be a duration such as "PT3H"')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise _refused(name, f"is no duration: {error}") from None


def _refused(name: str, reason: str) -> InputError:
    return InputError(f"Behaviour: {name!r} {reason}.", code="behaviour", facts={"name": name})
