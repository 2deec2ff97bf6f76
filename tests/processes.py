"""Real worker processes, started and ended by tests."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass
class WorkerProcess:
    """A `dripiq worker`; `peak_memory` is the most that it has held, in bytes."""

    process: subprocess.Popen[bytes]
    peak_memory: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, seconds: float) -> int:
        """Its exit code."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                return self.process.returncode
            time.sleep(0.02)
        raise TimeoutError(f"worker {self.pid} still runs after {seconds} s")

    def watch_memory(self) -> None:
        """Follow it until the process ends: in /proc, where the mark begins anew with a program. That of `wait4` begins with what pytest holds."""
        with suppress(OSError):  # gone
            while mark := _PEAK.search(Path(f"/proc/{self.pid}/status").read_text()):
                self.peak_memory = max(self.peak_memory, int(mark[1]) * 1024)
                time.sleep(0.02)


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
    Thread(target=started.watch_memory, daemon=True).start()
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
