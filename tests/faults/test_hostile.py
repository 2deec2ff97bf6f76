"""Workers against a provider that refuses, fails, hangs, cuts and keeps silent: what it truly took, it took once, and the database says so or is in doubt."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from dripiq.channels.base import Sender
from dripiq.channels.sendgrid import SendGridSender
from dripiq.channels.smtp import Security, SmtpSender
from dripiq.engine.upkeep import expire
from dripiq.simulate.hostile import Fate, HostileProvider, Malice, record_of
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


def test_the_command_listens_answers_records_what_it_took_and_ends_by_itself(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    everything_taken = [f"--{name}=0" for name in ("refused", "failed", "hung", "unanswered", "cut", "dropped")]
    ports = ["--smtp-port=0", "--http-port=0"]
    with subprocess.Popen(
        [sys.executable, "-m", "dripiq", "hostile", "--seconds=4", f"--record={record}", *ports, *everything_taken],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = ""
        while "Ctrl-C" not in said:
            said += process.stderr.readline()
        url = (
            next(word for word in said.split() if word.startswith("DRIPIQ_SENDGRID_URL=")).partition("=")[2].strip(",")
        )
        mail = {
            "personalizations": [{"to": [{"email": "Ann@example.com"}]}],
            "from": {"email": "us@example.com"},
            "custom_args": {"dripiq_tenant": "t", "dripiq_message": "m"},
            "headers": {"Message-ID": "<m@example.com>"},
        }
        with httpx.Client(trust_env=False) as client:
            assert client.post(f"{url}/v3/mail/send", json=mail).status_code == 202
            assert client.post(f"{url}/v3/mail/send", content=b"{}").status_code == 400
        told, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Taken: 1 mails" in told
    (line,) = map(json.loads, record.read_text().splitlines())
    assert (line["tenant"], line["message"], line["to"], line["fate"]) == ("t", "m", "ann@example.com", "taken")


def test_the_command_posts_to_no_other_machine(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "dripiq", "hostile", "--webhook=https://example.com/", f"--record={tmp_path / 'r'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "this machine" in ended.stderr


def test_a_line_of_the_record_names_message_and_fate(crowd: World) -> None:
    mail = ReceivedMail(crowd.clock.time, "a@example.com", "us@example.com", "q1", "t1", "m1", "m1@example.com")
    line = json.loads(record_of(mail, Fate.DROPPED, "smtp"))
    assert line == {
        "at": "2026-03-04T12:00:00+00:00", "way": "smtp", "fate": "dropped", "tenant": "t1", "message": "m1",
        "to": "a@example.com", "message_id": "m1@example.com", "queue_id": "q1",
    }  # fmt: skip
