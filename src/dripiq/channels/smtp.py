"""How does a batch of mail leave over SMTP, and what do we know of each one afterwards?

Rules:

- Before the mail itself is written, every failure is surely-not-taken: temporary, or permanent where the server said 5xx.
- Once it is written only the server's reply counts: 2xx accepted, 4xx temporary, 5xx permanent; no reply (time-out, connection lost) is
  unknown, and the mail is never written a second time.
- Half of `timeout` is for getting to that point, so that the reply, the one thing worth waiting for, always has the other half.
- What is wrong with our set-up or the way there (connection, TLS, login, 421) is temporary: it says nothing about the mail, which is not given up for it.
  A server that is silent or cannot be reached is left alone for a time (`provider_rest`).
"""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import aiosmtplib

from dripiq.channels.base import Outcome, OutgoingMessage, Secret, Verdict, one_line
from dripiq.channels.http_answers import SETUP_REST, USUAL_REST, put_off
from dripiq.channels.mime import build
from dripiq.channels.provider_rest import Rest
from dripiq.channels.smtp_line import Line, NotOpened, NotTaken, Security, Server, code_of, refusal
from dripiq.domain.errors import ConfigurationError, InputError
from dripiq.domain.states import Channel, SuppressionType

__all__ = ["Security", "SmtpSender"]

_QUEUED_AS = re.compile(r"queued as:? <?([^\s<>]{1,200})", re.IGNORECASE)
"""Postfix, SendGrid and their like name the mail so; SendGrid's name is the first part of its events' `sg_message_id`."""


class SmtpSender:
    """A `Sender` over a pool of persistent SMTP connections, each opened when first needed.

    A cancelled `send` returns nothing, and cuts the connections that it used: what it was given is in doubt.

    Args:
        security: how connections are protected; certificates are always verified.
        username, password: given together, or not at all.
        connections: how many at once, which is also the capacity.
        timeout: seconds that one `send` may take in all.
        hostname: our name in EHLO.
        tls_context: trust other than the system's.

    Raises:
        ConfigurationError: a user name without a password or the reverse; no connection; no time.
    """

    channel = Channel.EMAIL

    def __init__(
        self,
        host: str,
        port: int,
        *,
        hostname: str,
        security: Security = Security.STARTTLS,
        username: str | None = None,
        password: Secret | None = None,
        connections: int = 10,
        timeout: float = 30.0,
        provider: str = "smtp",
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        if (username is None) != (password is None):
            raise ConfigurationError("SMTP needs both a user name and a password, or neither: set the other one too.")
        if connections < 1 or timeout <= 0:
            raise ConfigurationError("SMTP needs at least one connection and a time-out above zero.")
        self.provider = provider
        self.capacity = connections
        self.timeout = timedelta(seconds=timeout)
        if tls_context is None and security is not Security.NONE:
            tls_context = ssl.create_default_context()
        server = Server(host, port, hostname, security, username, password, tls_context)
        self._rest = Rest(f"{host}:{port}")
        self._lines = [Line(server) for _ in range(connections)]
        # Last in, first out: a light load keeps few connections warm instead of letting all of them go stale.
        self._free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
        for line in self._lines:
            self._free.put_nowait(line)

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        """Hand over the batch, one mail per connection at a time; see the protocol. Never raises, except for its own cancellation."""
        started = asyncio.get_running_loop().time()
        waiting = deque(batch)
        outcomes: list[Outcome] = []
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(batch), self.capacity)):
                group.create_task(self._work_off(waiting, outcomes, started))
        return outcomes

    async def close(self) -> None:
        """Take leave of the server on every open connection; the sender can be used again."""
        await asyncio.gather(*(line.close() for line in self._lines))

    async def _work_off(self, waiting: deque[OutgoingMessage], outcomes: list[Outcome], started: float) -> None:
        while waiting:
            outcomes.append(await self._hand_over(waiting.popleft(), started))

    async def _hand_over(self, message: OutgoingMessage, started: float) -> Outcome:
        try:
            mail = build(message)
        except InputError as error:
            return Outcome(message.id, Verdict.PERMANENT, code=error.error_code, detail=error.message)
        half = self.timeout.total_seconds() / 2
        async with self._rest.turn(started + half) as stay_away:
            if stay_away is not None:
                return put_off(message.id, "provider_resting", self._rest.why, stay_away)
            try:
                async with asyncio.timeout_at(started + half):
                    line = await self._free.get()
            except TimeoutError:
                return put_off(message.id, "timeout", "No connection became free in time.", USUAL_REST)
            began = asyncio.get_running_loop().time()
            try:
                outcome = await _converse(line, message, mail, started + half, started + 2 * half)
            except NotTaken as failure:
                return self._not_taken(message.id, failure, began)
            except BaseException:
                line.drop()
                raise
            finally:
                self._free.put_nowait(line)
            if outcome.code == "timeout":
                self._rest.failed(began, outcome.detail or "")
            else:
                self._rest.answered(began)
            return outcome

    def _not_taken(self, id: str, failure: NotTaken, began: float) -> Outcome:
        if isinstance(failure, NotOpened):
            rest = self._rest.failed(began, f"{failure.code}: {failure.detail}")
            return put_off(id, failure.code, failure.detail, max(rest, USUAL_REST))
        self._rest.answered(began)
        if failure.ours:
            return put_off(id, failure.code, failure.detail, SETUP_REST)
        closes = SuppressionType.BOUNCE if failure.to_nobody else None
        return Outcome(id, failure.verdict, code=failure.code, detail=failure.detail, closes=closes)


async def _converse(
    line: Line, message: OutgoingMessage, mail: bytes, hand_over_by: float, answer_by: float
) -> Outcome:
    """One mail on one line; both instants are on the event loop's clock."""
    try:
        async with asyncio.timeout_at(hand_over_by):
            await line.begin(message.from_address, message.to_address, len(mail))
        # A process that was frozen until now must not send what somebody else may have taken over.
        late = asyncio.get_running_loop().time() > hand_over_by
    except TimeoutError:
        late = True
    if late:
        opening = line.opening
        line.drop()
        silent = "The server did not ask for the mail in time."
        raise NotOpened("timeout", silent) if opening else NotTaken(Verdict.TEMPORARY, "timeout", silent)
    try:
        async with asyncio.timeout_at(answer_by):
            reply = await line.finish(mail)
    except NotTaken:
        raise
    except TimeoutError:
        line.drop()
        return Outcome(
            message.id, Verdict.UNKNOWN, code="timeout", detail="The server did not answer after the mail was sent."
        )
    except Exception as error:
        line.drop()
        return Outcome(message.id, Verdict.UNKNOWN, code="disconnect", detail=one_line(str(error)))
    return _judged(message.id, reply)


def _judged(id: str, reply: aiosmtplib.SMTPResponse) -> Outcome:
    """What the reply to the final dot means; one out of the protocol means nothing."""
    detail = one_line(reply.message)
    if reply.code // 100 == 2:
        queued = _QUEUED_AS.search(reply.message)
        return Outcome(id, Verdict.ACCEPTED, queued[1] if queued else None, code_of(reply), detail)
    verdict, code = refusal(reply) if reply.code // 100 in (4, 5) else (Verdict.UNKNOWN, code_of(reply))
    return Outcome(id, verdict, code=code, detail=detail)
