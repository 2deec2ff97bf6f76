"""How does a batch of messages leave through a provider's HTTP API, and what do we know of each one afterwards?

What `sendgrid` and `twilio` share; they say what a request holds and what an answer means. Rules:

- One request a message: what is not known of one request is then not known of one message.
- Until the request's body is written, every failure is surely-not-taken: a request without its body is none (RFC 9112, section 6.3). From there on
  only the provider's answer counts; no answer is unknown, and the request is never repeated (RFC 9110, section 9.2.2: POST is not idempotent).
- Half of `timeout` is for getting to that point, so that the answer, the one thing worth waiting for, always has the other half.
- Every 5xx is unknown. SendGrid says of its own that the request was valid and an error occurred while it was processed, Twilio that who repeats it
  may send twice; and a 502, 503 or 504 may come from a gateway in front of a server that has the message.
- Who asks for patience, refuses our key or fails is left alone for a time (`provider_rest`).
- Redirects are not followed: neither a message nor a key goes to a place that nobody configured.
"""

import asyncio
import contextlib
import logging
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

from dripiq.channels.base import Outcome, OutgoingMessage, Secret, Verdict, one_line
from dripiq.channels.http_answers import SETUP_REST, USUAL_REST, Answer, Judgement, put_off, too_many
from dripiq.channels.provider_rest import Rest
from dripiq.domain.errors import ConfigurationError, DripiqError
from dripiq.domain.states import Channel

KEEP_ALIVE = 5.0
"""Seconds that an idle connection is kept. Short: a request on a connection that the provider is just closing would be a doubt."""
_TEXT_LIMIT, _TEXT_PATIENCE = 65_536, 2.0
"""How many bytes of an answer's text are read, and for how many seconds: its status is known by then."""
_log = logging.getLogger(__name__)
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is POSTed for one message: the path below the API's URL, and the body."""

    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class _Key:
    """The secret as it is now, and the header that shows it."""

    secret: str
    authorization: str

    def hidden_in(self, text: str) -> str:
        """The text without either: an answer may repeat what was asked."""
        return text.replace(self.authorization.partition(" ")[2], "…").replace(self.secret, "…")


class HttpSender(ABC):
    """A `Sender` over an HTTP API with a pool of kept connections.

    Args:
        url: the API's address: https, but for this machine's own.
        secret: the key; asked for at each `send`, so that a new one takes effect.
        connections: how many requests at once, which is also the capacity.
        timeout: seconds that one `send` may take in all.
        tls_context: trust other than the system's.

    Raises:
        ConfigurationError: the URL is none or not safe; no connection; no time.
    """

    provider: str
    channel: Channel

    def __init__(
        self, url: str, secret: Secret, *, connections: int, timeout: float, tls_context: ssl.SSLContext | None
    ) -> None:
        if connections < 1 or timeout <= 0:
            raise ConfigurationError(f"{self.provider} needs at least one connection and a time-out above zero.")
        self.capacity = connections
        self.timeout = timedelta(seconds=timeout)
        self._url = _checked_url(url)
        self._secret = secret
        self._tls_context = tls_context
        self._client: httpx.AsyncClient | None = None
        self._rest = Rest(self.provider)
        self._keyless = False

    @abstractmethod
    def _request(self, message: OutgoingMessage) -> Request:
        """What to POST for a message. Raises InputError where no provider could take it."""

    @abstractmethod
    def _authorization(self, secret: str) -> str:
        """The Authorization header that shows the secret."""

    @abstractmethod
    def _judge(self, id: str, answer: Answer) -> Judgement:
        """What a 2xx, 3xx or 4xx other than 429 means for the message of that id."""

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        """Hand over the batch, a request each; see the protocol. Never raises, except for its own cancellation."""
        started = asyncio.get_running_loop().time()
        try:
            key = self._key()
        except DripiqError as error:
            if not self._keyless:
                _log.error("%s cannot be asked: %s", self.provider, error.message)
            self._keyless = True
            return [put_off(message.id, error.error_code, error.message, SETUP_REST) for message in batch]
        self._keyless = False
        waiting, outcomes = deque(batch), list[Outcome]()

        async def work_off() -> None:
            while waiting:
                outcomes.append(await self._hand_over(waiting.popleft(), key, started))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(batch), self.capacity)):
                group.create_task(work_off())
        return outcomes

    async def close(self) -> None:
        """Close the connections; the sender can be used again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _key(self) -> _Key:
        secret = self._secret.get_secret_value()
        key = _Key(secret, self._authorization(secret))
        # A library that found out later would print it.
        if not (key.authorization.isascii() and key.authorization.isprintable()):
            raise ConfigurationError(
                "The key holds characters that no key has: store it again.", code="secret_malformed"
            )
        return key

    async def _hand_over(self, message: OutgoingMessage, key: _Key, started: float) -> Outcome:
        half = self.timeout.total_seconds() / 2
        try:
            request = self._request(message)
        except DripiqError as error:
            return Outcome(message.id, Verdict.PERMANENT, code=error.error_code, detail=error.message)
        async with self._rest.turn(started + half) as stay_away:
            if stay_away is not None:
                return put_off(message.id, "provider_resting", self._rest.why, stay_away)
            progress = _Progress(started + half, started + 2 * half)
            began = asyncio.get_running_loop().time()
            answer = await self._post(request, key, progress)
            if isinstance(answer, Exception):
                return self._unanswered(message.id, answer, progress, began)
            return self._answered(message.id, answer, began, key)

    def _answered(self, id: str, answer: Answer, began: float, key: _Key) -> Outcome:
        """What the answer means, and what it says of the provider."""
        if answer.status >= 500:
            said = key.hidden_in(answer.body[:300].decode(errors="replace"))
            detail = one_line(f"The provider failed with {answer.status}: {said}")
            self._rest.failed(began, detail)
            return Outcome(id, Verdict.UNKNOWN, code=str(answer.status), detail=detail)
        judgement = too_many(id, answer) if answer.status == 429 else self._judge(id, answer)
        outcome = judgement.outcome
        if outcome.detail:
            outcome = replace(outcome, detail=key.hidden_in(outcome.detail))
        self._rest.answered(began)
        if judgement.rest is not None:
            self._rest.take(judgement.rest, f"{outcome.code}: {outcome.detail}")
        return outcome

    def _unanswered(self, id: str, error: Exception, progress: "_Progress", began: float) -> Outcome:
        """No answer came: whether the provider may have the message depends on how far the request got."""
        if isinstance(error, _TooLate):
            return Outcome(id, Verdict.TEMPORARY, code="timeout", detail="This process was away: nothing was sent.")
        timed_out = isinstance(error, (TimeoutError, httpx.TimeoutException))
        said = "no answer in time" if timed_out else str(error) or type(error).__name__
        rest = self._rest.failed(began, one_line(said))
        if progress.handed_over:
            code = "timeout" if timed_out else "disconnect"
            return Outcome(id, Verdict.UNKNOWN, code=code, detail=one_line(f"The request was sent, then: {said}."))
        detail = one_line(f"No connection to {self._url}: {said}.")
        return put_off(id, "timeout" if timed_out else "connect", detail, max(rest, USUAL_REST))

    async def _post(self, request: Request, key: _Key, progress: "_Progress") -> Answer | Exception:
        """POST once; the answer, or why there is none."""
        if self._client is None:
            self._client = self._connected()
        asked = self._client.build_request(
            "POST",
            self._url + request.path,
            content=request.body,
            headers={"Authorization": key.authorization, "Content-Type": request.content_type},
            timeout=httpx.Timeout(None, connect=progress.connect_patience()),
            extensions={"trace": progress.trace},
        )
        try:
            async with asyncio.timeout_at(progress.hand_over_by) as deadline:
                progress.extend = deadline.reschedule
                response = await self._client.send(asked, stream=True)
                try:
                    return Answer(response.status_code, response.headers, await _text_of(response))
                finally:
                    await response.aclose()
        except Exception as error:
            return error

    def _connected(self) -> httpx.AsyncClient:
        """A client that takes nothing from the environment: `dripiq.config` alone reads that."""
        return httpx.AsyncClient(
            verify=self._tls_context or ssl.create_default_context(),
            trust_env=False,
            timeout=None,  # noqa: S113 - each request has its deadlines, see _Progress
            limits=httpx.Limits(
                max_connections=self.capacity, max_keepalive_connections=self.capacity, keepalive_expiry=KEEP_ALIVE
            ),
            headers={"User-Agent": "dripiq", "Accept": "application/json"},
        )


class _TooLate(Exception):  # noqa: N818 - an outcome, not an error of the program
    """The process was frozen on its way to the hand-over: what it holds may be somebody else's by now."""


class _Progress:
    """How far one request got, as httpcore's extension `trace` tells; its instants are on the event loop's clock."""

    def __init__(self, hand_over_by: float, answer_by: float) -> None:
        self.handed_over = False
        self.hand_over_by = hand_over_by
        self.extend: Callable[[float], None] = lambda _: None
        self._answer_by = answer_by

    def connect_patience(self) -> float:
        """Seconds for each of connecting and greeting: httpcore closes a connection that it gives up itself, and loses one that is cancelled then."""
        return max(0.001, (self.hand_over_by - asyncio.get_running_loop().time()) / 2)

    async def trace(self, step: str, _info: Mapping[str, object]) -> None:
        """Told before each step; at the body's, the provider may have the message."""
        if step.endswith(".send_request_body.started"):
            if asyncio.get_running_loop().time() > self.hand_over_by:
                raise _TooLate
            self.handed_over = True
            self.extend(self._answer_by)


async def _text_of(response: httpx.Response) -> bytes:
    """The answer's text as far as it comes: the status is the answer, the text only explains."""
    body = b""
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_TEXT_PATIENCE):
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _TEXT_LIMIT:
                    break
    return body


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.username or parts.scheme not in ("https", "http"):
        raise ConfigurationError(
            "A provider's URL must look like https://api.example.com.", facts={"url": parts.hostname}
        )
    if parts.scheme == "http" and parts.hostname not in _HERE:
        raise ConfigurationError(
            f"The URL of {parts.hostname} must be https: a key and mail would cross the network for all to read.",
            facts={"url": parts.hostname},
        )
    return url.rstrip("/")
