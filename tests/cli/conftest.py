"""The real command on a database of the test's own: mostly called in this process, where one of its own would only cost its start; `as_process` has one."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import Engine, text

from dripiq.cli.main import run as run_command
from dripiq.engine.limit import lift_limits
from dripiq.schema.ids import new_id

SECONDS = 60

PLAN = {
    "version": "1.0",
    "startNodeId": "hello",
    "nodes": [
        {
            "id": "hello",
            "channel": "email",
            "action": "send",
            "subject": "Hello",
            "body": "Hello {{ contact.name | default: 'there' }}",
            "transitions": [{"on": "opened", "to": "stop"}],
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as the one document that it is."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """What `--json` says of an error."""
        found: dict[str, Any] = self.json["error"]
        return found


Dripiq = Callable[..., Answer]


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without settings of its own, with these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DRIPIQ_")}
    return inherited | {f"DRIPIQ_{name.upper()}": value for name, value in settings.items()}


@pytest.fixture
def settings(database: str, tmp_path: Path) -> dict[str, str]:
    """What commands of the test are set to."""
    return {"database_url": database, "home": str(tmp_path / "home"), "port": "0"}


@pytest.fixture
def dripiq(settings: dict[str, str], tmp_path: Path) -> Dripiq:
    """`dripiq("plan", "check", "-", stdin=b"…", **settings)`: runs the command as its process would; what that would show as a traceback fails the test."""

    def run(*arguments: str | Path, stdin: bytes = b"", **more: str) -> Answer:
        with _as_in_a_process(environment(**(settings | more)), tmp_path, stdin) as (out, err):
            try:
                code = run_command([*map(str, arguments)])
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
        return Answer(code, out.getvalue().decode(), err.getvalue().decode())

    return run


@contextmanager
def _as_in_a_process(variables: dict[str, str], folder: Path, stdin: bytes) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """Environment, folder and streams of a process's own; yields what is written to stdout and stderr."""
    out, err = io.BytesIO(), io.BytesIO()
    texts = [io.TextIOWrapper(each, encoding="utf-8", write_through=True) for each in (out, err)]
    given = io.TextIOWrapper(io.BytesIO(stdin))
    with patch.dict(os.environ, variables, clear=True), patch.object(sys, "stdin", given), chdir(folder):
        with redirect_stdout(texts[0]), redirect_stderr(texts[1]):
            yield out, err
        for text_ in texts:
            text_.detach()


@pytest.fixture
def as_process(settings: dict[str, str], tmp_path: Path) -> Dripiq:
    """The same in a process of its own; nobody ever sees a traceback."""

    def run(*arguments: str | Path, stdin: bytes = b"", **more: str) -> Answer:
        command = [sys.executable, "-m", "dripiq", *map(str, arguments)]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=environment(**(settings | more)),
            cwd=tmp_path,
            timeout=SECONDS,
            check=False,
        )
        answer = Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in answer.out + answer.err, answer.err
        return answer

    return run


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A file with a plan of one message."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN))
    return path


@pytest.fixture
def acme(engine: Engine) -> str:
    """The id of a tenant, Acme, with a verified sender and no contacts."""
    tenant_id, user_id = new_id(), new_id()
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO dripiq_app.tenants (id, name) VALUES (:tenant, 'Acme')",
            "INSERT INTO dripiq_app.users (id, email, name) VALUES (:user, 'kim@acme.example.com', 'Kim')",
            "INSERT INTO dripiq_app.email_sender_identities (tenant_id, id, user_id, from_email, from_name, domain, validation_status, is_default)"
            " VALUES (:tenant, :id, :user, 'kim@acme.example.com', 'Kim', 'acme.example.com', 'verified', true)",
        ):
            connection.execute(text(statement), {"tenant": tenant_id, "user": user_id, "id": new_id()})
        lift_limits(connection, tenant_id)
    return tenant_id


def count(engine: Engine, table: str, condition: str = "true") -> int:
    """How many rows a table has."""
    with engine.connect() as connection:
        found: int = connection.execute(text(f"SELECT count(*) FROM dripiq_app.{table} WHERE {condition}")).scalar_one()
        return found
