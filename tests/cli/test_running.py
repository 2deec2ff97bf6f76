"""`dripiq up`, `serve` and `worker` as processes that end when they are told to."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.cli.conftest import SECONDS, Dripiq, count, environment

Process = subprocess.Popen[str]


@pytest.fixture
def start(settings: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Starts a command; whatever still runs after the test is killed."""
    started: list[Process] = []

    def run(*arguments: str, **more: str) -> Process:
        chosen = {name: value for name, value in (settings | more).items() if value}
        command = [sys.executable, "-m", "dripiq", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=environment(**chosen), text=True, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait(SECONDS)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def first_document(process: Process) -> dict[str, Any]:
    """The JSON document that it prints once it runs."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            found: dict[str, Any] = json.loads("".join(lines))
            return found
    raise AssertionError(process.stderr.read() if process.stderr else "it ended")


def health(api: str) -> int:
    with urllib.request.urlopen(f"{api}/readyz", timeout=SECONDS) as answer:
        status: int = answer.status
        return status


def ended(process: Process) -> int:
    out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in out + err, err
    return process.returncode


def test_up_brings_everything_up_sends_and_ends_cleanly(
    start: Callable[..., Process], dripiq: Dripiq, empty_database: str, tmp_path: Path
) -> None:
    process = start("up", "--json", database_url=empty_database, poll="0.2")
    where = first_document(process)
    assert set(where) == {"database", "api", "worker"}
    assert health(where["api"]) == 200

    dripiq("db", "seed", database_url=empty_database)
    dripiq("campaign", "resume", "--all", "--tenant", "Sample Northwind", database_url=empty_database)
    mail = tmp_path / "home" / "mail"
    while len(list(mail.rglob("*.eml"))) < 4 and process.poll() is None:
        time.sleep(0.05)  # the test's own time-out bounds this

    process.send_signal(signal.SIGINT)
    assert ended(process) == 0
    assert not _answers(where["api"])


def test_up_runs_a_database_of_its_own_and_leaves_none_behind(start: Callable[..., Process]) -> None:
    with tempfile.TemporaryDirectory(prefix="dripiq-up-") as folder:
        Path(folder).chmod(0o711)  # under root the server is another user's
        process = start("up", "--json", database_url="", home=f"{folder}/home")
        where = first_document(process)
        assert health(where["api"]) == 200

        assert where["home"] == f"{folder}/home"

        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert f"A new, empty database is made in {folder}/home." in said
        assert not list(Path(folder).rglob("postmaster.pid"))


def test_up_says_that_its_port_is_taken(start: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("up", "--json", port=str(taken.getsockname()[1]))
        assert first_document(process)["error"]["code"] == "cannot_listen"
        assert ended(process) == 2


def test_serve_and_worker_end_when_they_are_told_to(
    start: Callable[..., Process], dripiq: Dripiq, engine: Engine
) -> None:
    api, worker = start("serve", "--json"), start("worker", "--json", poll="60")
    assert health(first_document(api)["api"]) == 200
    dripiq("db", "seed")
    dripiq("campaign", "resume", "--all", "--tenant", "Sample Northwind")
    while count(engine, "outbound_messages", "status = 'sent'") < 4 and worker.poll() is None:
        time.sleep(0.05)

    for process in (api, worker):
        process.send_signal(signal.SIGTERM)
    assert first_document(worker)["done"]["accepted"] == 4
    assert (ended(api), ended(worker)) == (0, 0)
    assert count(engine, "scheduled_actions", "status = 'queued'") == 0


def test_one_signal_is_enough_where_nobody_reads_its_words_any_more(start: Callable[..., Process]) -> None:
    process = start("serve", "--json")
    first_document(process)
    assert process.stderr is not None
    process.stderr.close()  # as when a terminal is closed, or the other end of a pipe
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0


def test_a_second_signal_gives_up_what_is_in_hand(
    start: Callable[..., Process], dripiq: Dripiq, engine: Engine
) -> None:
    dripiq("db", "seed")
    dripiq("campaign", "resume", "--all", "--tenant", "Sample Northwind")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        smtp = {"email_channel": "smtp", "smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none"}
        process = start("worker", **smtp)
        line, _ = silent.accept()  # a hand-over is under way
        with line:
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            while "Ending" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)

            assert ended(process) == 130
    assert count(engine, "outbound_messages", "status = 'sending'") > 0


def _answers(api: str) -> bool:
    host, _, port = api.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
