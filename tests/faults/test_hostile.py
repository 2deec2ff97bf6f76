"""Workers against a provider that refuses, fails, hangs, cuts and keeps silent: what it truly took, it took once, and the database says so or is in doubt."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import SecretStr

from dripiq.channels.base import Sender
from dripiq.channels.sendgrid import SendGridSender
from dripiq.channels.sendgrid_events import SIGNATURE_HEADER, TIMESTAMP_HEADER
from dripiq.channels.smtp import Security, SmtpSender
from dripiq.cli.main import run
from dripiq.engine.upkeep import expire
from dripiq.simulate.hostile import HostileProvider, record_of
from dripiq.simulate.malice import Fate, Malice
from dripiq.simulate.witnesses import ReceivedMail
from tests.engine.conftest import World, email_plan

HARSH = Malice(refused=0.15, failed=0.15, hung=0.05, unanswered=0.1, cut=0.15, dropped=0.15)
ROUNDS = 6
TIMEOUT = 1.0


def sender_to(provider: HostileProvider, way: str) -> Sender:
    if way == "http":
        return SendGridSender(SecretStr("key"), url=provider.http_url, connections=4, timeout=TIMEOUT)
    return SmtpSender(
        "127.0.0.1", provider.smtp_port, hostname="test", security=Security.NONE, connections=4, timeout=TIMEOUT,
        provider="sendgrid",
    )  # fmt: skip


@pytest.mark.parametrize("way", ["smtp", "http"])
def test_what_a_hostile_provider_took_it_took_once_and_nothing_is_lost(crowd: World, way: str) -> None:
    crowd.enroll(email_plan({"id": "intro"}))
    provider = HostileProvider(HARSH, seed=7)

    async def rounds() -> None:
        async with provider.listening():
            for _ in range(ROUNDS):
                sender = sender_to(provider, way)  # which knows nothing of the trouble before
                worker = crowd.worker(sender)
                while await worker.drain():
                    pass
                await sender.close()
                crowd.clock.pass_(minutes=20)

    asyncio.run(rounds())
    expire(crowd.database, crowd.clock, timedelta(minutes=2))
    taken = Counter(mail.message_id for mail in provider.received)
    rows = {row.id: row.status for row in crowd.rows("SELECT id, status FROM dripiq_app.outbound_messages")}
    assert len(rows) == 50
    assert set(taken.values()) == {1}
    assert {rows[message_id] for message_id in taken} <= {"sent", "in_doubt"}
    assert {status for message_id, status in rows.items() if message_id not in taken} <= {"queued", "in_doubt"}
    assert len(provider.tally) > 4, provider.tally
    unsure = sum(provider.tally[fate] for fate in Fate if fate not in (Fate.TAKEN, Fate.REFUSED))
    assert sum(status == "in_doubt" for status in rows.values()) <= unsure


def test_the_same_seed_gives_every_mail_the_same_fate() -> None:
    def fates(seed: int) -> list[Fate]:
        provider = HostileProvider(HARSH, seed)
        return [provider.next_fate() for _ in range(200)]

    assert fates(3) == fates(3) != fates(4)


class Listener(BaseHTTPRequestHandler):
    """Hears what is posted."""

    heard: ClassVar[Queue[tuple[bytes, Any]]]

    def do_POST(self) -> None:
        self.heard.put((self.rfile.read(int(self.headers["Content-Length"])), self.headers))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def webhook() -> Iterator[tuple[str, "Queue[tuple[bytes, Any]]"]]:
    """An endpoint, and what it is told."""
    heard: Queue[tuple[bytes, Any]] = Queue()
    listener = type("Listening", (Listener,), {"heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", 0), listener) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", heard
        server.shutdown()


MAIL = {
    "personalizations": [{"to": [{"email": "Ann@example.com"}]}],
    "from": {"email": "us@example.com"},
    "custom_args": {"dripiq_tenant": "t", "dripiq_message": "m"},
    "headers": {"Message-ID": "<m@example.com>"},
}


def test_the_command_records_what_it_takes_and_posts_signed_events_until_it_is_asked_to_end(
    tmp_path: Path, webhook: "tuple[str, Queue[tuple[bytes, Any]]]"
) -> None:
    record, (url, heard) = tmp_path / "record.jsonl", webhook
    options = [f"--{name}=0" for name in ("refused", "failed", "hung", "unanswered", "cut", "dropped")]
    options += ["--smtp-port=0", "--http-port=0", f"--webhook={url}", f"--record={record}", "--seconds=60", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "dripiq", "hostile", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        while "Ctrl-C" not in said:
            said += (line := process.stderr.readline())
            assert line, said
        (api,), (key,) = (re.findall(f"{name}=([^ ,\n]+)", said) for name in ("SENDGRID_URL", "WEBHOOK_KEY"))
        with httpx.Client(trust_env=False) as client:
            assert client.post(f"{api}/v3/mail/send", json=MAIL).status_code == 202
            assert client.post(f"{api}/v3/mail/send", content=b"{}").status_code == 400
        body, headers = heard.get(timeout=30)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    public = load_der_public_key(b64decode(key))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    stamp = headers[TIMESTAMP_HEADER].encode()
    public.verify(b64decode(headers[SIGNATURE_HEADER]), stamp + body, ec.ECDSA(SHA256()))
    assert {event["dripiq_message"] for event in json.loads(body)} == {"m"}
    assert json.loads(told)["taken"] == 1
    (line,) = map(json.loads, record.read_text().splitlines())
    assert (line["tenant"], line["message"], line["to"], line["fate"]) == ("t", "m", "ann@example.com", "taken")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--webhook=https://example.com/", "this machine"),
        ("--refused=1", "at most 1"),
        ("--record=/nowhere/r", "/nowhere/r"),
    ],
)
def test_the_command_says_what_it_cannot_do(
    wrong: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["hostile", "--json", f"--record={tmp_path / 'r'}", wrong]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_line_of_the_record_names_message_and_fate(crowd: World) -> None:
    mail = ReceivedMail(crowd.clock.time, "a@example.com", "us@example.com", "q1", "t1", "m1", "m1@example.com")
    line = json.loads(record_of(mail, Fate.DROPPED, "smtp"))
    assert line == {
        "at": "2026-03-04T12:00:00+00:00", "way": "smtp", "fate": "dropped", "tenant": "t1", "message": "m1",
        "to": "a@example.com", "message_id": "m1@example.com", "queue_id": "q1",
    }  # fmt: skip
