"""When is a provider left alone, and who finds out whether it is back?

A provider that asks for patience (429), refuses us all (a wrong key) or fails (silence, a 5xx, nobody listening) gets a rest. Rules:

- While it lasts nothing is handed over: a call waits for its end where it has the time, and is put off where it has not.
- Afterwards one message goes alone; its answer ends the suspicion, or begins the next rest. So an outage of an hour costs a few doubts, and not
  everything that was due.
- Rests after failures double, from `FIRST_BREAK` to `LONGEST_BREAK`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

FIRST_BREAK, LONGEST_BREAK = timedelta(seconds=5), timedelta(minutes=5)

_log = logging.getLogger(__name__)


class Rest:
    """One provider's rest. All instants are on the event loop's clock."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._until = 0.0
        self._since = 0.0
        self._failures = 0
        self._suspect = False
        self._alone = asyncio.Lock()
        self.why = ""
        """What began the last rest, in a line."""

    @contextlib.asynccontextmanager
    async def turn(self, by: float) -> AsyncIterator[timedelta | None]:
        """Wait for a turn; yields None when it has come, or how long to stay away where that is later than `by`."""
        async with contextlib.AsyncExitStack() as stack:
            if self._suspect and not await self._enter_alone(stack, by):
                yield self._left()
                return
            if (
                not self._suspect
            ):  # nobody suspects it, or whoever went alone came back with an answer: all may go at once
                await stack.aclose()
            while (wait := self._until - _now()) > 0 and self._until <= by:
                await asyncio.sleep(wait)
            yield self._left() if wait > 0 else None

    def take(self, span: timedelta, why: str) -> None:
        """Leave the provider alone for `span` from now."""
        now = _now()
        if self._until <= now:
            _log.warning("%s is left alone for %s s: %s", self._provider, round(span.total_seconds()), why)
        self.why, self._suspect, self._since = why, True, now
        self._until = max(self._until, now + span.total_seconds())

    def failed(self, began: float, why: str) -> timedelta:
        """A request that began then brought no answer, or that the provider failed; returns how long it rests now.

        Of the many that fail together only the first counts.
        """
        if began >= self._since:
            self._failures += 1
            self.take(min(FIRST_BREAK * 2 ** min(self._failures - 1, 20), LONGEST_BREAK), why)
        return self._left()

    def answered(self, began: float) -> None:
        """A request that began then was answered: the provider is well."""
        if began >= self._since:
            self._failures, self._suspect = 0, False

    async def _enter_alone(self, stack: contextlib.AsyncExitStack, by: float) -> bool:
        try:
            async with asyncio.timeout_at(by):
                await stack.enter_async_context(self._alone)
        except TimeoutError:
            return False
        return True

    def _left(self) -> timedelta:
        return timedelta(seconds=max(1.0, self._until - _now()))


def _now() -> float:
    return asyncio.get_running_loop().time()
