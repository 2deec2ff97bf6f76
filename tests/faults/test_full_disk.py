"""A disk that runs full under a worker: it goes on by itself once there is room, with nothing twice, nothing lost and nothing answered that is not kept."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import OperationalError

from dripiq.db.session import make_engine
from dripiq.engine.ingest import ingest
from tests.conftest import RUN_FOLDER, Server
from tests.engine.conftest import NOON, World, email_plan, settle_tenant
from tests.engine.smtp_server import Server as MailServer
from tests.faults.ground import own_server
from tests.processes import eventually, worker

SENDS = 400
SIZE = "64m"


@pytest.fixture
def own() -> Iterator[tuple[Server, str]]:
    """A server of the test's own, and its template: one with a full disk can checkpoint no more, and so drops nobody's database."""
    with (
        tempfile.TemporaryDirectory(prefix="full-disk-", dir=os.environ[RUN_FOLDER]) as folder,
        own_server(Path(folder)) as made,
    ):
        yield made


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, which PostgreSQL may write to."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    folder = Path(os.environ[RUN_FOLDER]) / f"disk-{secrets.token_hex(4)}"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def cramped(small_disk: Path, own: tuple[Server, str], tmp_path: Path) -> Iterator[World]:
    """A tenant whose whole database lies on the small disk (PostgreSQL's log of writes does not)."""
    server, template = own
    url = server.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as admin:
        (directory,) = admin.execute("SHOW data_directory").fetchone() or ()
        owner = Path(directory).stat()
        (home := small_disk / "postgres").mkdir()
        os.chown(home, owner.st_uid, owner.st_gid)
        admin.execute(sql.SQL("CREATE TABLESPACE cramped LOCATION {}").format(str(home)))
        admin.execute(
            sql.SQL("CREATE DATABASE cramped TEMPLATE {} TABLESPACE cramped").format(sql.Identifier(template))
        )
        engine = make_engine(server.address("cramped"))
        try:
            made = World(engine, tmp_path / "mail")
            made.tenant_id, made.sender_id, made.contacts = settle_tenant(engine, SENDS)
            yield made
        finally:
            engine.dispose()
            (small_disk / "ballast").unlink(missing_ok=True)
            server.drop("cramped")
            admin.execute("DROP TABLESPACE cramped")


def fill(disk: Path) -> Path:
    """A file that leaves no room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return ballast


@pytest.mark.timeout(180)
def test_a_worker_whose_database_has_no_room_left_goes_on_once_there_is_some_and_sends_nothing_twice(
    cramped: World, small_disk: Path, smtp: MailServer, tmp_path: Path
) -> None:
    cramped.enroll(email_plan({"id": "intro"}))
    ballast = fill(small_disk)
    delivery = json.dumps(
        [{"event": "open", "timestamp": 1, "dripiq_tenant": cramped.tenant_id, "note": "x" * 900_000}]
    )
    with pytest.raises(OperationalError, match="No space left on device"), cramped.database.begin() as connection:
        ingest(connection, delivery.encode(), NOON)

    log = tmp_path / "worker.log"
    settings = {
        "email_channel": "smtp", "smtp_host": "127.0.0.1", "smtp_port": str(smtp.port), "smtp_security": "none",
        "smtp_connections": "4", "smtp_timeout": "1", "lease": "5", "poll": "0.3", "upkeep": "0.3", "batch": "50",
    }  # fmt: skip
    with worker(cramped.database.url.render_as_string(hide_password=False), log=log, **settings) as running:
        eventually(lambda: b"DiskFull" in log.read_bytes(), 60, "the worker meets the full disk")
        ballast.unlink()
        waiting = "SELECT count(*) FROM dripiq_app.scheduled_actions WHERE status IN ('pending', 'queued')"
        eventually(lambda: cramped.value(waiting) == 0, 90, "the worker does the rest by itself")
        running.process.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0

    accepted = Counter(smtp.message_ids())
    statuses = Counter(row.status for row in cramped.rows("SELECT status FROM dripiq_app.outbound_messages"))
    assert max(accepted.values()) == 1
    assert statuses.total() == SENDS
    assert statuses["sent"] + statuses["in_doubt"] == SENDS
    assert statuses["in_doubt"] <= 8  # what was in hand-over when its outcome could not be written, each time
    assert statuses["sent"] <= len(accepted) <= SENDS
