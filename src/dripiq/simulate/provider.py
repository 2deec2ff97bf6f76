"""What would a provider like SendGrid tell dripiq, and how badly?

It knows nothing but the mails that SMTP delivered to it. It lets the recipients act (see `recipients`) and posts what they do to the real endpoint: signed
(ECDSA P-256 over timestamp and body), in batches, at whole seconds, as SendGrid does; and like every provider it doubles events, posts them out of order
and late, posts whole batches again, leaves ids away, and posts until it hears 2xx. Once it lets a forger try, who must hear 401.

Source: Twilio SendGrid, "Event Webhook Reference" and "Event Webhook Security Features".
"""

import asyncio
import heapq
import random
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dripiq.channels.sendgrid_events import SIGNATURE_HEADER, TIMESTAMP_HEADER
from dripiq.simulate.recipients import Deed, deeds
from dripiq.simulate.witnesses import Event, ReceivedMail

BEAT = 0.4
"""Seconds between two batches."""
BATCH = 100
"""The most events of one batch."""
A_DAY = 86_400
FORGED_ID = "forged"
"""The `sg_event_id` of the forger's event."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How badly it behaves, as probabilities: of an event to be doubled, to be late by seconds, to have no id; of a batch to be posted again; of an event to be
    told as of a day ago."""

    doubled: float = 0.08
    late: float = 0.15
    nameless: float = 0.05
    reposted: float = 0.2
    a_day_late: float = 0.0


@dataclass
class Ledger:
    """What it posted, and what it heard.

    Attributes:
        answered: every event that stood in a batch which was answered 2xx, in order, as often as it did.
        tally: batches and events by what was done to them.
        forger_heard: the status with which the forger's batch was answered.
    """

    answered: list[Event] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    forger_heard: int | None = None


class SimulatedProvider:
    """Give `accept` every mail, and let `post_until` run beside.

    Args:
        seed: decides what recipients do and which faults happen.
        key: signs what is posted; one of its own, if not given.
        people: what a recipient does with the n-th mail, given seed, address and n.
    """

    def __init__(
        self,
        seed: int,
        faults: Faults | None = None,
        key: EllipticCurvePrivateKey | None = None,
        people: Callable[[int, str, int], Iterable[Deed]] = deeds,
    ) -> None:
        self.ledger = Ledger()
        self._seed = seed
        self._people = people
        self._faults = faults or Faults()
        self._chance = random.Random(seed)  # noqa: S311 - play, not secrecy
        self._key = key or generate_private_key(SECP256R1())
        self._forged_key = generate_private_key(SECP256R1())
        self._mails: Counter[str] = Counter()
        self._due: list[tuple[float, int, Event]] = []
        self._again: list[tuple[float, int, list[Event], bytes]] = []
        self._order = count()
        self._nameless: set[tuple[object, ...]] = set()

    @property
    def verification_key(self) -> str:
        """The public key as SendGrid shows it: base64 of DER."""
        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b64encode(der).decode()

    @property
    def waiting(self) -> int:
        """How many events are still to be posted or posted again; some may not have happened yet."""
        return len(self._due) + sum(len(events) for _, _, events, _ in self._again)

    def accept(self, mail: ReceivedMail) -> None:
        """Take a mail, and decide what becomes of it."""
        now = time.time()
        self._mails[mail.recipient] += 1
        for deed in self._people(self._seed, mail.recipient, self._mails[mail.recipient]):
            happens = now + deed.after
            told = int(happens)
            if self._faults.a_day_late and self._chance.random() < self._faults.a_day_late:
                told -= A_DAY
                self.ledger.tally["events_a_day_late"] += 1
            event = self._event(mail, deed.event, told, dict(deed.fields))
            transit = self._chance.uniform(0.05, 0.5)
            if self._chance.random() < self._faults.late:
                transit += self._chance.uniform(1, 3)
                self.ledger.tally["events_late"] += 1
            self._schedule(happens + transit, event)
            if self._chance.random() < self._faults.doubled:
                self._schedule(happens + transit + self._chance.choice((0.0, 1.5)), event)
                self.ledger.tally["events_doubled"] += 1

    async def post_until(self, stop: asyncio.Event, url: str) -> None:
        """Post what is due to `url`, until `stop`."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            while not stop.is_set():
                for events, body in self._batches():
                    await self._post(client, url, events, body)
                if self.ledger.forger_heard is None and len(self.ledger.answered) > BATCH:
                    await self._forge(client, url)
                try:
                    await asyncio.wait_for(stop.wait(), BEAT)
                except TimeoutError:
                    continue

    def _event(self, mail: ReceivedMail, word: str, at: int, fields: Mapping[str, object]) -> Event:
        event: dict[str, object] = {
            "email": mail.recipient,
            "timestamp": at,
            "smtp-id": f"<{mail.smtp_id}>",
            "event": word,
            "sg_event_id": b64encode(self._chance.randbytes(16)).decode().rstrip("="),
            "sg_message_id": f"{mail.queue_id}.filterdrecv-demo-{self._chance.randrange(1000)}.0",
            "dripiq_tenant": mail.tenant_id,
            "dripiq_message": mail.message_id,
            **fields,
        }
        # Without its id an event is told from another only by what it says: two that say the same would be one.
        said = (mail.message_id, word, at, fields.get("url"))
        if self._chance.random() < self._faults.nameless and said not in self._nameless:
            self._nameless.add(said)
            self.ledger.tally["events_without_id"] += 1
            del event["sg_event_id"]
        return event

    def _schedule(self, at: float, event: Event) -> None:
        heapq.heappush(self._due, (at, next(self._order), event))

    def _batches(self) -> list[tuple[list[Event], bytes]]:
        """What is to be posted now: new batches in no order, and old ones again, byte for byte."""
        now, batches = time.time(), []
        while self._again and self._again[0][0] <= now:
            _, _, events, body = heapq.heappop(self._again)
            batches.append((events, body))
        while self._due and self._due[0][0] <= now:
            events = []
            while self._due and self._due[0][0] <= now and len(events) < BATCH:
                events.append(heapq.heappop(self._due)[2])
            self._chance.shuffle(events)
            body = orjson.dumps(events)
            batches.append((events, body))
            if self._chance.random() < self._faults.reposted:
                self._post_again(events, body, self._chance.uniform(0.5, 2.5))
                self.ledger.tally["batches_reposted"] += 1
        return batches

    def _post_again(self, events: list[Event], body: bytes, delay: float) -> None:
        heapq.heappush(self._again, (time.time() + delay, next(self._order), events, body))

    async def _post(self, client: httpx.AsyncClient, url: str, events: list[Event], body: bytes) -> None:
        self.ledger.tally["batches"] += 1
        try:
            response = await client.post(url, content=body, headers=_signed(self._key, body))
            answered = response.is_success
        except httpx.HTTPError:
            answered = False
        if answered:
            self.ledger.answered.extend(events)
        else:
            self.ledger.tally["batches_refused"] += 1
            self._post_again(events, body, 1.0)

    async def _forge(self, client: httpx.AsyncClient, url: str) -> None:
        """Somebody without the key says that a recipient has unsubscribed."""
        body = orjson.dumps([{**self.ledger.answered[0], "event": "unsubscribe", "sg_event_id": FORGED_ID}])
        try:
            response = await client.post(url, content=body, headers=_signed(self._forged_key, body))
        except httpx.HTTPError:
            return
        self.ledger.forger_heard = response.status_code


def _signed(key: EllipticCurvePrivateKey, body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    signature = key.sign(timestamp.encode() + body, ECDSA(SHA256()))
    return {
        SIGNATURE_HEADER: b64encode(signature).decode(),
        TIMESTAMP_HEADER: timestamp,
        "Content-Type": "application/json",
    }
