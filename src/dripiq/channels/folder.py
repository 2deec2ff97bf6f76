"""How does mail leave into a folder, so that one can look at it and count it?

For development and proofs. Each message becomes `<folder>/<tenant>/<id>.eml`, whole or not at all; handing over the same id again makes
`<id>.2.eml` and so on, so that a duplicate is seen and not overwritten. A process may be killed at any point without a half-written `.eml`;
files are not synced to the disk, so a power cut may lose the last ones.
"""

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.channels.mime import build
from dripiq.domain.errors import InputError
from dripiq.domain.states import Channel

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class FolderSender:
    """A `Sender` that writes to `folder`, which is made when it is missing; any number of processes may share it."""

    provider = "folder"
    channel = Channel.EMAIL

    def __init__(self, folder: Path, *, capacity: int = 200, timeout: float = 30.0) -> None:
        self.folder = folder
        self.capacity = capacity
        self.timeout = timedelta(seconds=timeout)

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        """Write the batch in a thread; what a stuck disk has not confirmed within `timeout` is unknown, for the thread cannot be stopped."""
        outcomes: list[Outcome] = []
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                await asyncio.to_thread(self._write_all, list(batch), outcomes)
        except TimeoutError:
            known = list(outcomes)
            told = {outcome.id for outcome in known}
            late = [message.id for message in batch if message.id not in told]
            return known + [
                Outcome(id, Verdict.UNKNOWN, code="timeout", detail="The disk did not answer.") for id in late
            ]
        return outcomes

    async def close(self) -> None:
        """Nothing is kept open."""

    def _write_all(self, batch: list[OutgoingMessage], outcomes: list[Outcome]) -> None:
        outcomes.extend(self._write(message) for message in batch)

    def _write(self, message: OutgoingMessage) -> Outcome:
        for name in (message.tenant_id, message.id):
            if not _FILE_NAME.fullmatch(name):
                return Outcome(
                    message.id, Verdict.PERMANENT, code="invalid_id", detail=f"{name!r} cannot be a file's name."
                )
        try:
            name = self._place(message.tenant_id, message.id, build(message))
        except InputError as error:
            return Outcome(message.id, Verdict.PERMANENT, code=error.error_code, detail=error.message)
        except OSError as error:
            return Outcome(message.id, Verdict.TEMPORARY, code="io", detail=str(error))
        return Outcome(message.id, Verdict.ACCEPTED, provider_message_id=name)

    def _place(self, tenant_id: str, id: str, mail: bytes) -> str:
        """Write beside, then link: a link is made whole or not at all, and never over another file. Returns the file's name."""
        folder = f"{self.folder}/{tenant_id}"
        draft = f"{folder}/.{secrets.token_hex(8)}.tmp"
        try:
            try:
                _write_new(draft, mail)
            except FileNotFoundError:
                Path(folder).mkdir(parents=True, exist_ok=True)
                _write_new(draft, mail)
            return _link(draft, folder, id)
        finally:
            with contextlib.suppress(OSError):  # the message has its own name by now, or will be tried again
                os.unlink(draft)  # noqa: PTH108


def _write_new(path: str, mail: bytes) -> None:
    with open(path, "xb") as file:  # noqa: PTH123 - making a Path for each message costs as much as writing it
        file.write(mail)


def _link(draft: str, folder: str, id: str) -> str:
    for number in count(1):
        name = f"{id}.eml" if number == 1 else f"{id}.{number}.eml"
        try:
            os.link(draft, f"{folder}/{name}")
        except FileExistsError:
            continue
        return name
    raise AssertionError("count() never ends")
