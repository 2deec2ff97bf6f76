"""What does `dripiq demo` leave behind, however it ends? The command as people run it: real processes, with a short run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 120.0
"""How long a step may take on a busy machine."""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that the server's account can enter, with a space in its path."""
    folder = Path(tempfile.mkdtemp(prefix="dripiq-demo-"))
    folder.chmod(0o711)  # under root the server is another user's
    yield folder / "the demo"
    shutil.rmtree(folder)


@contextmanager
def demo(home: Path, *options: str) -> "Iterator[subprocess.Popen[str]]":
    """The command as a process; killed where the block leaves it running."""
    command = [sys.executable, "-m", "dripiq", "demo", "--home", str(home), *options]
    environment = {**os.environ, "DRIPIQ_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def parts_of(home: Path) -> dict[int, str]:
    """The command lines, by process id, of all processes that have to do with a demo in this home: its own, its parts, its server."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:  # no process, or gone by now
            continue
        if str(home) in command or f"DRIPIQ_HOME={home}" in environment:
            found[int(process.name)] = command
    return found


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def wait_for_mail(running: "subprocess.Popen[str]") -> None:
    """Until the demo says that mail has arrived."""
    assert running.stderr is not None
    for line in running.stderr:
        if "mails" in line and " 0 mails" not in line:
            return
    raise AssertionError("the demo ended before a mail arrived")


def test_a_short_run_holds_every_invariant_and_ends_with_all_its_processes(home: Path) -> None:
    with demo(home, "--duration", "6", "--seed", "3", "--json") as running:
        out, err = running.communicate(timeout=SECONDS)
    assert running.returncode == 0, err
    report = json.loads(out)
    assert report["holds"] is True
    assert [each["name"] for each in report["invariants"]] == [
        "sent_once", "suppressed", "none_stuck", "events_once", "one_chain",
    ]  # fmt: skip
    assert not any(each["breaches"] for each in report["invariants"])
    assert report["contacts"] == sum(outcome["contacts"] for outcome in report["outcomes"]) == 216
    assert report["mails"]["received"] == sum(node["sent"] for node in report["funnel"]) > 0
    assert parts_of(home) == {}


def test_interrupted_it_ends_all_its_processes_and_does_not_claim_success(home: Path) -> None:
    with demo(home, "--duration", "60") as running:
        wait_for_mail(running)
        assert len(parts_of(home)) > 3
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=SECONDS)
    assert running.returncode not in (0, None)
    assert "Traceback" not in err
    assert "invariants hold" not in out
    assert parts_of(home) == {}


def test_a_worker_that_ends_by_itself_ends_the_demo_with_a_sentence(home: Path) -> None:
    with demo(home, "--duration", "60") as running:
        wait_for_mail(running)
        os.kill(next(number for number, command in parts_of(home).items() if command.rstrip().endswith(" worker")), 9)
        out, err = running.communicate(timeout=SECONDS)
    assert running.returncode == 1
    assert "`dripiq worker` has ended with -9" in err
    assert "invariants hold" not in out
    assert parts_of(home) == {}


def test_killed_it_leaves_no_process_behind(home: Path) -> None:
    with demo(home, "--duration", "60") as running:
        wait_for_mail(running)
        running.kill()
        running.communicate(timeout=SECONDS)
    assert until(lambda: parts_of(home) == {})


def test_kept_it_runs_on_until_it_is_told_to_end_and_says_where_everything_is(home: Path) -> None:
    with demo(home, "--duration", "3", "--keep", "--json") as running:
        assert running.stderr is not None
        assert any("Ctrl-C" in line for line in running.stderr)
        assert any(" worker" in command for command in parts_of(home).values())
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=SECONDS)
    assert running.returncode == 0
    kept = json.loads(out)["kept"]
    assert "postgresql://" in kept["database"]
    assert "http://127.0.0.1:" in kept["api"]
    assert parts_of(home) == {}
