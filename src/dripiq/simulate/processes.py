"""How do parts of dripiq run beside this process, and never outlive it?

Each is the real command in a process of its own, set up by its environment alone. It is asked to end (SIGTERM) when its block is left, killed where it does
not, and ends by itself when this process is killed.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dripiq.domain.errors import DripiqError

PATIENCE = 15.0
"""Seconds that a process has to end."""

# 1 is PR_SET_PDEATHSIG: the kernel tells the child when its parent dies (prctl(2)).
_BOUND_TO_PARENT = (
    "import ctypes, runpy, signal; ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "runpy.run_module('dripiq', run_name='__main__', alter_sys=True)"
)


class PartEndedError(DripiqError):
    """A part that should run has ended."""

    code = "process_ended"


@dataclass(frozen=True, slots=True)
class Part:
    """A command that runs, and where it writes what it has to say."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def check(self) -> None:
        """See that it still runs.

        Raises:
            PartEndedError: with the last of what it said.
        """
        if self.process.returncode is not None:
            said = " / ".join(self.log.read_text(errors="replace").splitlines()[-5:])
            raise PartEndedError(
                f"`dripiq {self.name}` has ended with {self.process.returncode}: {said or 'it said nothing'}. All of it is in {self.log}.",
                facts={"exit_code": self.process.returncode, "log": str(self.log)},
            )


@asynccontextmanager
async def running(name: str, arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> AsyncIterator[Part]:
    """`dripiq ARGUMENTS` for as long as this lasts.

    Args:
        settings: its `DRIPIQ_…` variables; this process's own are not passed on.
        log: the file that takes its output.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DRIPIQ_")}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _BOUND_TO_PARENT, *arguments,
            env={**inherited, **settings},
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is for this process, which ends its parts in order
        )  # fmt: skip
    try:
        yield Part(name, process, log)
    finally:
        await asyncio.shield(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
