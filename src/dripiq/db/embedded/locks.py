"""How do the processes that share one embedded server wait for each other?

With `flock` on files in the home folder. The kernel frees such a lock when its holder ends, however it ends, so that a SIGKILL leaves nothing to
clean up. A lock belongs to an open file: it is not inherited by programs that are started (descriptors are closed on exec).
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dripiq.domain.errors import DatabaseError

POLL_SECONDS = 0.01


@contextmanager
def held_alone(path: Path, seconds: float) -> Iterator[None]:
    """Holds the lock of `path` exclusively for the block; the file is made when missing.

    Raises:
        DatabaseError: somebody else held it for `seconds`.
        OSError: the file cannot be made or opened.
    """
    descriptor = open_lock(path)
    try:
        wait_for_lock(descriptor, fcntl.LOCK_EX, path, seconds)
        yield
    finally:
        os.close(descriptor)


def open_lock(path: Path) -> int:
    """A new descriptor of the lock file, not locked yet; closing it frees what it will hold."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def wait_for_lock(descriptor: int, operation: int, path: Path, seconds: float) -> None:
    """Takes the lock (`fcntl.LOCK_SH` or `LOCK_EX`), or raises DatabaseError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor, operation):
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"Another process has been starting or stopping the embedded PostgreSQL for {seconds:.0f} seconds (it holds {path}): "
                "end that process, then try again.",
                code="embedded_postgres_busy",
                facts={"lock": str(path)},
            )
        time.sleep(POLL_SECONDS)


def try_lock(descriptor: int, operation: int) -> bool:
    """Takes or converts the lock if that is possible at once. A conversion that fails may have lost what was held (flock(2))."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
