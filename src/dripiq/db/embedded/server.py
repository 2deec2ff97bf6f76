"""How does dripiq run a PostgreSQL of its own, when no database is configured?

- One server for each home folder, shared by all processes that use that home: the first starts it, others join, the last to leave stops it.
- Every user holds a shared lock on `<home>/using.lock` for as long as it uses the server. Whoever gets that lock alone knows that nobody else does,
  and only then may stop the server. Starting is done under `<home>/starting.lock`, by one process at a time.
- Beside every user waits a watcher (`watch`) that stops the server when its users were killed. Where the watcher was killed too, the
  next start finds the running server and takes it over.
- Who may connect is decided by the kernel: a Unix socket in a private folder, and `peer` authentication that knows one user, the caller's. There is
  no port to collide and no password to leak.
"""

import atexit
import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from dripiq.db.embedded import watch
from dripiq.db.embedded.cluster import Cluster
from dripiq.db.embedded.layout import cluster_folder, server_account, server_binaries
from dripiq.db.embedded.locks import held_alone, open_lock, try_lock, wait_for_lock
from dripiq.domain.errors import ConfigurationError

LOCK_SECONDS = 150.0  # longer than a start may take

SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """A PostgreSQL server of dripiq's own; also a context manager that yields its URL.

    Args:
        home: the folder that keeps the data between runs; made when missing. May have spaces, may be under /root.
        settings: server settings over `SETTINGS`, for the process that starts the server; one that joins takes it as it is.
    """

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.home = home.absolute()
        self._settings = {**SETTINGS, **(settings or {})}
        self._use: _Use | None = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Starts the server, or joins the one that runs on this home already. Again without effect until `stop`.

        Stopped at the interpreter's exit, and by the watcher if this process is killed. Signal handlers are the caller's: have them end in `stop`.

        Returns:
            A SQLAlchemy URL, `postgresql+psycopg://…/dripiq`; good for any process of the same user for as long as the server runs.

        Raises:
            ConfigurationError: the wheel is missing, the home cannot be written, or its data are of another PostgreSQL version.
            DatabaseError: the server does not start; the sentence holds the end of its log.
        """
        if self._use is None:
            try:
                self.home.mkdir(parents=True, exist_ok=True)
                self.home = self.home.resolve()
                with held_alone(self.home / "starting.lock", LOCK_SECONDS):
                    self._enter()
            except OSError as error:
                raise ConfigurationError(
                    f"The embedded PostgreSQL cannot keep its data in {self.home} ({error}): make room or make that folder writable, "
                    "choose another, or set DRIPIQ_DATABASE_URL.",
                    code="embedded_postgres_home",
                    facts={"home": str(self.home)},
                ) from error
        assert self._use is not None
        return self._use.cluster.url()

    def stop(self) -> None:
        """Leaves the server, and stops it when nobody else uses it. Again, or in a forked child, without effect."""
        use = self._use
        if use is None or use.process != os.getpid():
            return
        self._use = None
        atexit.unregister(self.stop)
        use.watcher.terminate()
        use.watcher.wait()
        try:
            if try_lock(use.lock, fcntl.LOCK_EX):
                use.cluster.stop()
            else:
                # Others use it; or the watcher of a killed one is just stopping it, and then this waits until it is down.
                wait_for_lock(use.lock, fcntl.LOCK_SH, self._lock_file, LOCK_SECONDS)
        finally:
            os.close(use.lock)

    @property
    def _lock_file(self) -> Path:
        return self.home / "using.lock"

    def _enter(self) -> None:
        """Becomes a user of the server, which runs and has its database afterwards; or raises, and is none."""
        account = server_account(self.home)
        binaries = server_binaries(account)
        cluster = Cluster(cluster_folder(self.home, account), self.home / "server.lock", account, binaries)
        lock = open_lock(self._lock_file)
        try:
            wait_for_lock(lock, fcntl.LOCK_SH, self._lock_file, LOCK_SECONDS)
            self._use = _Use(os.getpid(), lock, cluster, self._watch(cluster))
        except BaseException:
            os.close(lock)
            raise
        atexit.register(self.stop)
        try:
            cluster.start_or_join(self._settings)
        except BaseException:
            self.stop()
            raise

    def _watch(self, cluster: Cluster) -> subprocess.Popen[bytes]:
        """Starts the watcher, before the server, so that no kill falls between. It gets descriptors of its own, that hold nothing yet."""
        locks = [open_lock(self._lock_file), open_lock(cluster.lock_file)]
        try:
            account = cluster.account
            script = [sys.executable, "-I", "-S", str(watch.__file__), *map(str, (*locks, account.uid, account.gid))]
            return subprocess.Popen(  # noqa: S603 - our own script
                [*script, *cluster.stop_command("fast")],
                pass_fds=locks,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is for the owner
            )
        finally:
            for lock in locks:
                os.close(lock)


class _Use(NamedTuple):
    """What a process holds while it uses the server."""

    process: int
    lock: int
    cluster: Cluster
    watcher: subprocess.Popen[bytes]
