"""The real command as a process, on a database of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

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
    """`dripiq("plan", "check", "-", stdin=b"…", **settings)`: runs the command; nobody ever sees a traceback."""

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
