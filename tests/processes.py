"""Real worker processes, started and ended by tests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class WorkerProcess:
    """A `dripiq worker`; `peak_memory` is known once it has ended."""

    process: subprocess.Popen[bytes]
    peak_memory: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, seconds: float) -> int:
        """Its exit code; the most memory it ever held in bytes is kept."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.peak_memory = usage.ru_maxrss * 1024
                self.process.returncode = os.waitstatus_to_exitcode(status)
                return self.process.returncode
            time.sleep(0.02)
        raise TimeoutError(f"worker {self.pid} still runs after {seconds} s")


@contextmanager
def worker(database: str, *options: str, log: Path, **settings: str) -> Iterator[WorkerProcess]:
    """A worker process on a database, with settings as `email_channel="folder"`; killed at the end where it still runs."""
    environment = {
        **os.environ,
        "DRIPIQ_DATABASE_URL": database,
        **{f"DRIPIQ_{k.upper()}": v for k, v in settings.items()},
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dripiq", "worker", *options],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    started = WorkerProcess(process)
    try:
        yield started
    finally:
        if process.poll() is None and process.returncode is None:
            process.kill()
            process.wait()


def eventually(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something holds; fails with `what` where it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
