"""Real `dripiq` processes by the hundred: each is forked from a server that has imported everything, and dies with the test's process."""

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.faults.nursery", "dripiq.cli.running", "dripiq.wiring", "dripiq.api.app"])


def _live(arguments: list[str], settings: Mapping[str, str], log: str) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: with the fork server, which goes with the test
    for name in [name for name in os.environ if name.startswith("DRIPIQ_")]:
        del os.environ[name]
    os.environ |= settings
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from dripiq.cli.main import run

    sys.exit(run(arguments))


class Life:
    """A `dripiq` process."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; of a killed one the signal's number, negative; None while it lives."""
        return self._process.exitcode

    @property
    def frozen(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    @property
    def fell(self) -> bool:
        """Whether it has killed or frozen itself."""
        return self.code == -signal.SIGKILL or (self.code is None and self.frozen)

    def signal(self, number: int) -> None:
        if self.code is None:
            os.kill(self.pid, number)

    def end(self, seconds: float) -> int | None:
        """Ask it to end, and wait; its exit code, None where it had to be killed."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.code is None and time.monotonic() < deadline:
            self._process.join(0.1)
        return self.code

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()


@contextmanager
def living(*arguments: str, log: Path, **settings: str) -> Iterator[Life]:
    """`dripiq ARGUMENTS` with settings as `email_channel="smtp"`, killed when the block is left."""
    chosen = {f"DRIPIQ_{name.upper()}": value for name, value in settings.items()}
    process = _FORKS.Process(target=_live, args=(list(arguments), chosen, str(log)), daemon=True)
    process.start()
    life = Life(process)
    try:
        yield life
    finally:
        life.kill()
