"""`dripiq in-doubt`: what nobody knows is listed, and a person's word ends it."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dripiq.channels.smtp import Security, SmtpSender
from tests.cli.conftest import Dripiq
from tests.engine.conftest import ONE_MAIL, World, settle_tenant
from tests.engine.smtp_server import Server, hang_up, listening


@pytest.fixture
def doubtful(engine: Engine, tmp_path: Path) -> World:
    """A tenant whose two mails are in doubt, after a real hand-over that nobody answered."""
    world = World(engine, tmp_path / "mail")
    world.tenant_id, world.sender_id, world.contacts = settle_tenant(engine, 2)
    world.enroll(ONE_MAIL)

    async def send() -> None:
        server = Server(on_data=hang_up)
        async with listening(server):
            sender = SmtpSender("127.0.0.1", server.port, hostname="test", security=Security.NONE, timeout=5)
            await world.worker(sender).drain()
            await sender.close()

    asyncio.run(send())
    return world


def test_doubts_are_listed_with_what_happens_to_them(dripiq: Dripiq, doubtful: World) -> None:
    listed = dripiq("in-doubt", "list", "--json").json
    assert listed["more"] is False
    assert [(d["tenant"], d["node"], d["policy"]) for d in listed["in_doubt"]] == [("Acme", "intro", "assume_sent")] * 2
    assert sorted(d["to"] for d in listed["in_doubt"]) == ["c1@example.com", "c2@example.com"]
    assert "counts as sent at 2026-03-05 12:00 UTC" in dripiq("in-doubt", "list", "--tenant", "Acme").out
    assert dripiq("in-doubt", "list", "--limit", "1").err.startswith("There are more")


def test_a_doubt_ends_with_a_persons_word(dripiq: Dripiq, doubtful: World) -> None:
    first, second = (d["id"] for d in dripiq("in-doubt", "list", "--json").json["in_doubt"])
    assert dripiq("in-doubt", "resolve", first, "--as", "sent").out == "Doubts ended: 1 (sent)\n"
    assert dripiq("in-doubt", "resolve", second, "--as", "not-sent", "--json").json == {
        "resolved": [second],
        "as": "not-sent",
    }
    assert dripiq("in-doubt", "list").out == "In doubt: none\n"
    found = doubtful.rows("SELECT id, status, error_code FROM dripiq_app.outbound_messages")
    assert {tuple(row) for row in found} == {
        (first, "sent", "resolved_by_hand"),
        (second, "failed", "resolved_by_hand"),
    }


def test_a_message_that_is_not_in_doubt_changes_nothing_for_the_others(dripiq: Dripiq, doubtful: World) -> None:
    first = dripiq("in-doubt", "list", "--json").json["in_doubt"][0]["id"]
    refused = dripiq("in-doubt", "resolve", first, "nobody", "--as", "resend")
    assert (refused.code, refused.err.partition(":")[0]) == (4, "Error")
    assert "'nobody'" in refused.err
    assert len(dripiq("in-doubt", "list", "--json").json["in_doubt"]) == 2
