"""What lies in the folder must be what was handed over: each message whole, and every duplicate in sight."""

import asyncio
import email
import email.policy
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.channels.folder import FolderSender
from dripiq.channels.mime import build
from dripiq.domain.states import Channel


def mail(id: str, tenant_id: str = "t1", **changes: Any) -> OutgoingMessage:
    values: dict[str, Any] = {
        "id": id,
        "tenant_id": tenant_id,
        "channel": Channel.EMAIL,
        "to_address": "ann@example.com",
        "to_name": None,
        "from_address": "bob@example.org",
        "from_name": "Bob",
        "reply_to": None,
        "subject": "Hello",
        "body": "Hello.\n",
        "message_id": f"{id.strip('/')}@example.org",
        "at": datetime(2026, 3, 4, 12, tzinfo=UTC),
        **changes,
    }
    return OutgoingMessage(**values)


def send(sender: FolderSender, batch: Sequence[OutgoingMessage]) -> dict[str, Outcome]:
    async def main() -> list[Outcome]:
        return await sender.send(batch)

    return {outcome.id: outcome for outcome in asyncio.run(main())}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_message_becomes_a_file_of_its_tenant(tmp_path: Path) -> None:
    outbox = tmp_path / "made when missing"
    outcomes = send(FolderSender(outbox), [mail("a"), mail("b"), mail("a2", tenant_id="t2")])
    assert {outcome.verdict for outcome in outcomes.values()} == {Verdict.ACCEPTED}
    assert files(outbox) == ["t1/a.eml", "t1/b.eml", "t2/a2.eml"]
    message = email.message_from_bytes((outbox / "t1/a.eml").read_bytes(), policy=email.policy.default)
    assert message["To"] == "ann@example.com"
    assert message["Message-ID"] == "<a@example.org>"


def test_a_second_hand_over_of_the_same_message_is_seen(tmp_path: Path) -> None:
    sender = FolderSender(tmp_path)
    names = [send(sender, [mail("a", subject=f"number {n}")])["a"].provider_message_id for n in range(3)]
    assert names == ["a.eml", "a.2.eml", "a.3.eml"]
    assert files(tmp_path) == ["t1/a.2.eml", "t1/a.3.eml", "t1/a.eml"]
    assert b"number 0" in (tmp_path / "t1/a.eml").read_bytes()


def test_senders_side_by_side_overwrite_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        senders = [FolderSender(tmp_path) for _ in range(2)]
        batch = [mail(f"m{n}") for n in range(100)]
        for outcomes in await asyncio.gather(*(sender.send(batch) for sender in senders)):
            assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}

    asyncio.run(main())
    assert len(files(tmp_path)) == 200


@pytest.mark.parametrize("id", ["../up", "/etc/x", "", ".hidden", "a/b", "a\0b", "x" * 300])
def test_an_id_cannot_lead_out_of_the_folder(tmp_path: Path, id: str) -> None:
    outbox = tmp_path / "outbox"
    sender = FolderSender(outbox)
    assert send(sender, [mail(id, message_id="x@example.org")])[id].code == "invalid_id"
    assert send(sender, [mail("a", tenant_id=id)])["a"].code == "invalid_id"
    assert files(tmp_path) == []


def test_a_message_that_cannot_be_written_as_mail_costs_itself_alone(tmp_path: Path) -> None:
    outcomes = send(FolderSender(tmp_path), [mail("a", to_address="nobody"), mail("b")])
    assert (outcomes["a"].verdict, outcomes["a"].code) == (Verdict.PERMANENT, "invalid_header")
    assert outcomes["b"].verdict is Verdict.ACCEPTED
    assert files(tmp_path) == ["t1/b.eml"]


def test_a_disk_that_refuses_has_not_taken_the_message(tmp_path: Path) -> None:
    (tmp_path / "t1").write_text("a file where the tenant's folder should be")
    outcomes = send(FolderSender(tmp_path), [mail("a")])
    assert (outcomes["a"].verdict, outcomes["a"].code) == (Verdict.TEMPORARY, "io")


def test_a_disk_that_hangs_leaves_unknown_what_it_has_not_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        thawed = asyncio.Event()

        def stuck(message: OutgoingMessage) -> bytes:
            if message.id == "b":
                asyncio.run_coroutine_threadsafe(thawed.wait(), loop).result()
            return build(message)

        monkeypatch.setattr("dripiq.channels.folder.build", stuck)
        outcomes = await FolderSender(tmp_path, timeout=1.0).send([mail("a"), mail("b"), mail("c")])
        thawed.set()
        assert [(outcome.id, outcome.verdict) for outcome in outcomes] == [
            ("a", Verdict.ACCEPTED),
            ("b", Verdict.UNKNOWN),
            ("c", Verdict.UNKNOWN),
        ]

    asyncio.run(main())
