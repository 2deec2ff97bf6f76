"""Where may a process die, and what if it does just there?

Every statement of every stage is a point with a name, and so are the COMMITs and the hand-over. `DRIPIQ_FAULT` makes a process kill (SIGKILL) or freeze
(SIGSTOP) itself at one of them, so that tests can show what the database holds then, and what others make of it. Nothing is watched unless it is set.

A point is `STAGE:STATEMENT:before` or `…:after`: the stage as `docs/faults.md` lists them, the statement by the name of its constant, `COMMIT`, or `SEND`,
which also has a `halfway`. After a statement it has been executed, and is not committed.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import FrameType
from typing import Any, Final

from sqlalchemy import Connection, Engine, TextClause, event

from dripiq.channels.base import Outcome, OutgoingMessage, Sender
from dripiq.domain.errors import ConfigurationError
from dripiq.domain.states import Channel

Reached = Callable[[str], None]
"""Told of each point, by its name, when the process comes to it."""

_FAULT = re.compile(r"([a-z_.]+:[A-Z_ ]+:(?:before|halfway|after))(?::([1-9][0-9]{0,6}))?=(kill|freeze)")
_ENGINE: Final = "dripiq.engine."
_STEPS: Final = {
    "_prepare": "prepare",
    "_commit": "commit",
    "_commit_part": "commit",
    "_record": "record",
}
"""The stages within dispatch, by the function of `dispatch.hand_over` that is their transaction."""


class Deed(StrEnum):
    """What the process does to itself."""

    KILL = "kill"
    FREEZE = "freeze"
    """Until somebody sends it SIGCONT."""


@dataclass(frozen=True, slots=True)
class Fault:
    """At which point, when the process comes to it for the `nth` time, which deed."""

    point: str
    nth: int
    deed: Deed

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read `POINT[:NTH]=kill|freeze`.

        Raises:
            ConfigurationError: `fault`, saying the form.
        """
        found = _FAULT.fullmatch(text)
        if found is None:
            raise ConfigurationError(
                "DRIPIQ_FAULT is not of the form STAGE:STATEMENT:before|after[:NTH]=kill|freeze, as in "
                "dispatch.commit:COMMIT_TO_SEND:after:3=kill. It is for tests: leave it unset.",
                code="fault",
            )
        return cls(found[1], int(found[2] or 1), Deed(found[3]))

    def trigger(self) -> Reached:
        """What does the deed when its point is reached for the nth time."""
        lock, times = threading.Lock(), 0

        def reached(point: str) -> None:
            nonlocal times
            if point != self.point:
                return
            with lock:
                times += 1
                due = times == self.nth
            if due:
                os.kill(os.getpid(), signal.SIGKILL if self.deed is Deed.KILL else signal.SIGSTOP)

        return reached


def watch_statements(engine: Engine, reached: Reached) -> None:
    """Tell of every statement and COMMIT of this engine that a stage makes; of others' not."""
    names = _Names()
    here = threading.local()  # a COMMIT belongs to the last stage that made a statement of its transaction

    def before(_c: Connection, _cursor: Any, sql: str, _p: Any, context: Any, _many: bool) -> None:
        here.stage = _stage_of(sys._getframe())
        if here.stage is not None:
            here.commits = here.stage
            here.statement = names.of(context, sql)
            reached(f"{here.stage}:{here.statement}:before")

    def after(_c: Connection, _cursor: Any, _sql: str, _p: Any, _context: Any, _many: bool) -> None:
        if here.stage is not None:
            reached(f"{here.stage}:{here.statement}:after")

    do_commit = engine.dialect.do_commit

    def commit(connection: Any) -> None:
        stage = getattr(here, "commits", None)
        here.commits = None
        if stage is not None:
            reached(f"{stage}:COMMIT:before")
        do_commit(connection)
        if stage is not None:
            reached(f"{stage}:COMMIT:after")

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    engine.dialect.do_commit = commit  # type: ignore[method-assign, assignment]  # there is no event after a COMMIT


def watch_senders(senders: Mapping[Channel, Sender], reached: Reached) -> dict[Channel, Sender]:
    """The same senders, that tell before, halfway through and after each hand-over of a sub-batch."""
    return {channel: _Watched(sender, reached) for channel, sender in senders.items()}


class _Watched:
    """A sender whose hand-overs are points."""

    def __init__(self, sender: Sender, reached: Reached) -> None:
        self._sender = sender
        self._reached = reached
        self.provider: str = sender.provider
        self.channel: Channel = sender.channel
        self.capacity: int = sender.capacity
        self.timeout: timedelta = sender.timeout

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        self._reached("dispatch.hand_over:SEND:before")
        half = len(batch) // 2
        outcomes = await self._sender.send(batch[:half]) if half else []
        if half:
            self._reached("dispatch.hand_over:SEND:halfway")
        outcomes += await self._sender.send(batch[half:])
        self._reached("dispatch.hand_over:SEND:after")
        return outcomes

    async def close(self) -> None:
        await self._sender.close()


class _Names:
    """The names of statements: those of the constants that hold them."""

    def __init__(self) -> None:
        self._by_text: dict[str, str] = {}

    def of(self, context: Any, sql: str) -> str:
        """A statement's name; of one that is no constant (DDL with a name in it), its first word."""
        statement = getattr(getattr(context, "compiled", None), "statement", None)
        if isinstance(statement, TextClause):
            if statement.text not in self._by_text:
                self._by_text |= _constants()
            if statement.text in self._by_text:
                return self._by_text[statement.text]
        return re.split(r"\W", sql.strip(), maxsplit=1)[0].upper()


def _constants() -> dict[str, str]:
    return {
        value.text: name.lstrip("_")
        for module_name, module in list(sys.modules.items())
        if module_name.startswith("dripiq.")
        for name, value in list(vars(module).items())
        if isinstance(value, TextClause) and name.isupper()
    }


def _stage_of(frame: FrameType | None) -> str | None:
    """Whose work this is: the outermost of the engine's functions that are under way in this thread."""
    found: FrameType | None = None
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_ENGINE) and module != __name__:
            found = frame
        frame = frame.f_back
    if found is None:
        return None
    stage: str = found.f_globals["__name__"].removeprefix(_ENGINE)
    if stage == "dispatch.hand_over":
        return f"dispatch.{_STEPS.get(found.f_code.co_name, 'hand_over')}"
    return stage
