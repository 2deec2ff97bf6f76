"""At which point does a server go away, and what may be said of the mail then? A real server on loopback goes away at each of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from dripiq.channels.base import Verdict
from dripiq.channels.smtp import Security, SmtpSender
from tests.engine.test_channel_smtp import mails

Speak = Callable[[str], bytes | None]

STEPS = ("CONNECT", "EHLO", "RSET", "MAIL", "RCPT", "DATA", "MAIL TEXT", "QUIT")
USUAL = {
    "CONNECT": b"220 mx.test ESMTP\r\n",
    "EHLO": b"250-mx.test\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n",
    "RSET": b"250 2.0.0 Ok\r\n",
    "MAIL": b"250 2.1.0 Ok\r\n",
    "RCPT": b"250 2.1.5 Ok\r\n",
    "DATA": b"354 Go on\r\n",
    "MAIL TEXT": b"250 2.0.0 Ok: queued as 1\r\n",
    "QUIT": b"221 Bye\r\n",
}


@dataclass
class ScriptedServer:
    """Speaks SMTP by a script: what it says at a step, and at which it closes, having said that.

    Attributes:
        says: replies other than the usual, by step.
        closes_at: where it closes the connection; "MAIL TEXT HALF" when it has read the first line of the mail.
        seen: the steps of all connections, in order; a whole mail is "MAIL TEXT".
        pipelines: offers PIPELINING.
    """

    says: dict[str, bytes] = field(default_factory=dict)
    closes_at: str = ""
    pipelines: bool = True
    byte_by_byte: bool = False
    port: int = 0
    seen: list[str] = field(default_factory=list)
    most_in_one_read: int = 0
    connections: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            going = await self._step("CONNECT", writer)
            while going:
                line = await reader.readuntil(b"\r\n")
                step = line[:4].decode().upper()
                going = await self._step(step, writer)
                if going and step == "DATA" and self.says.get("DATA", b"354").startswith(b"354"):
                    text = await reader.readuntil(b"\r\n")
                    if self.closes_at == "MAIL TEXT HALF":
                        break
                    while not text.endswith(b"\r\n.\r\n"):
                        text += await reader.readuntil(b"\r\n")
                    going = await self._step("MAIL TEXT", writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _step(self, step: str, writer: asyncio.StreamWriter) -> bool:
        self.seen.append(step)
        reply = self.says.get(step, b"" if self.closes_at == step else USUAL[step])
        if not self.pipelines:
            reply = reply.replace(b"250-PIPELINING\r\n", b"")
        for piece in [bytes([byte]) for byte in reply] if self.byte_by_byte else [reply]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return self.closes_at != step

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["ScriptedServer"]:
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def sending(server: ScriptedServer, timeout: float = 10.0) -> AsyncIterator[SmtpSender]:
    async with server.listening():
        sender = SmtpSender(
            "127.0.0.1", server.port, hostname="client.test", security=Security.NONE, connections=1, timeout=timeout
        )
        try:
            yield sender
        finally:
            await sender.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


both_ways = pytest.mark.parametrize("pipelines", [False, True], ids=["one by one", "pipelined"])


@both_ways
@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("half_a_reply", [b"", b"25"], ids=["nothing", "half a reply"])
def test_a_server_that_goes_away_before_it_asks_for_the_mail_has_not_got_it(
    step: str, half_a_reply: bytes, pipelines: bool
) -> None:
    async def main() -> None:
        server = ScriptedServer({step: half_a_reply}, closes_at=step, pipelines=pipelines)
        async with sending(server) as sender:
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code) == (Verdict.TEMPORARY, "connect")
            assert "MAIL TEXT" not in server.seen

    run(main())


@both_ways
def test_a_server_that_goes_away_as_it_asks_for_the_mail_is_never_said_to_have_it_or_to_refuse_it(
    pipelines: bool,
) -> None:
    async def main() -> None:
        server = ScriptedServer({"DATA": b"354 Go on\r\n"}, closes_at="DATA", pipelines=pipelines)
        async with sending(server) as sender:
            (outcome,) = await sender.send(mails(1))
            # Whether its going was seen before the first byte was written is a matter of microseconds.
            assert outcome.verdict in (Verdict.TEMPORARY, Verdict.UNKNOWN)

    run(main())


@both_ways
@pytest.mark.parametrize(
    ("closes_at", "says"),
    [
        ("MAIL TEXT HALF", {}),
        ("MAIL TEXT", {"MAIL TEXT": b""}),
        ("MAIL TEXT", {"MAIL TEXT": b"25"}),
        ("MAIL TEXT", {"MAIL TEXT": b"250-2.0.0 Ok\r\n"}),
    ],
    ids=["in the middle", "without a reply", "half a reply", "half of a long reply"],
)
def test_a_server_that_goes_away_once_the_mail_is_being_written_may_have_it(
    closes_at: str, says: dict[str, bytes], pipelines: bool
) -> None:
    async def main() -> None:
        server = ScriptedServer(says, closes_at=closes_at, pipelines=pipelines)
        async with sending(server) as sender:
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code) == (Verdict.UNKNOWN, "disconnect")
            assert server.seen.count("DATA") == 1

    run(main())


@both_ways
def test_a_server_that_goes_away_after_it_said_yes_has_the_mail(pipelines: bool) -> None:
    async def main() -> None:
        server = ScriptedServer({"MAIL TEXT": b"250 Ok\r\n"}, closes_at="MAIL TEXT", pipelines=pipelines)
        async with sending(server) as sender:
            for number in (1, 2, 3):
                (outcome,) = await sender.send(mails(1))
                assert outcome.verdict is Verdict.ACCEPTED
                assert server.connections == number

    run(main())


@both_ways
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_refusal_before_the_server_goes_away_is_what_counts(step: str, pipelines: bool) -> None:
    async def main() -> None:
        server = ScriptedServer({step: b"550 5.7.1 no\r\n"}, closes_at=step, pipelines=pipelines)
        async with sending(server) as sender:
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code) == (Verdict.PERMANENT, "550 5.7.1")

    run(main())


@both_ways
def test_replies_may_come_in_any_pieces(pipelines: bool) -> None:
    async def main() -> None:
        long = {"MAIL TEXT": b"250-2.0.0 Ok\r\n250 2.0.0 queued as 7\r\n"}
        server = ScriptedServer(long, byte_by_byte=True, pipelines=pipelines)
        async with sending(server) as sender:
            outcomes = await sender.send(mails(3))
            assert {(outcome.verdict, outcome.provider_message_id) for outcome in outcomes} == {(Verdict.ACCEPTED, "7")}

    run(main())


def test_commands_go_in_one_group_only_where_the_server_takes_groups() -> None:
    async def main(pipelines: bool) -> None:
        arrived: list[tuple[str, int]] = []

        class Waiting(ScriptedServer):
            """Answers each command only when all of a group, or the one, have come."""

            async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(USUAL["CONNECT"])
                await reader.readuntil(b"\r\n")
                writer.write(USUAL["EHLO"] if pipelines else b"250 mx.test\r\n")
                group = (await reader.readuntil(b"DATA\r\n" if pipelines else b"\r\n")).split(b"\r\n")
                arrived.append((group[0][:4].decode(), len(group) - 1))
                writer.close()

        async with sending(Waiting()) as sender:
            (outcome,) = await sender.send(mails(1))
            assert outcome.verdict is Verdict.TEMPORARY
        assert arrived == [("MAIL", 3 if pipelines else 1)]

    run(main(True))
    run(main(False))


def test_a_server_that_refuses_the_recipient_and_still_asks_for_the_mail_gets_nothing() -> None:
    """RFC 2920, section 3.1, has the client send a lone dot; this one sends not even that, and takes a new connection."""

    async def main() -> None:
        server = ScriptedServer({"RCPT": b"550 5.1.1 no such user\r\n"})
        async with sending(server) as sender:
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code) == (Verdict.PERMANENT, "550 5.1.1")
            del server.says["RCPT"]
            (outcome,) = await sender.send(mails(1))
            assert outcome.verdict is Verdict.ACCEPTED
            assert server.seen.count("MAIL TEXT") == 1
            assert server.connections == 2

    run(main())


def test_a_group_after_a_refusal_begins_with_a_reset_on_the_same_connection() -> None:
    async def main() -> None:
        server = ScriptedServer({"RCPT": b"550 5.1.1 no\r\n", "DATA": b"554 5.5.1 no valid recipients\r\n"})
        async with sending(server) as sender:
            (outcome,) = await sender.send(mails(1))
            assert outcome.code == "550 5.1.1"
            server.says.clear()
            (outcome,) = await sender.send(mails(1))
            assert outcome.verdict is Verdict.ACCEPTED
        assert server.seen == [
            *("CONNECT", "EHLO", "MAIL", "RCPT", "DATA"),
            *("RSET", "MAIL", "RCPT", "DATA", "MAIL TEXT", "QUIT"),
        ]

    run(main())


@both_ways
def test_what_a_server_says_unasked_is_not_taken_for_the_answer_to_the_next_mail(pipelines: bool) -> None:
    async def main() -> None:
        unasked = {"MAIL TEXT": b"250 2.0.0 Ok\r\n250 2.0.0 and one more\r\n"}
        server = ScriptedServer(unasked, pipelines=pipelines)
        async with sending(server) as sender:
            for number in (1, 2):
                (outcome,) = await sender.send(mails(1))
                assert outcome.verdict is Verdict.ACCEPTED
                assert server.connections == number

    run(main())


@pytest.mark.parametrize("endless", [b"250-" + b"x" * 100_000, b"250-on and on\r\n" * 10_000], ids=["line", "lines"])
def test_a_reply_that_does_not_end_is_cut_off(endless: bytes) -> None:
    async def main() -> None:
        async with sending(ScriptedServer({"MAIL TEXT": endless})) as sender:
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code) == (Verdict.UNKNOWN, "disconnect")
        async with sending(ScriptedServer({"MAIL": endless})) as sender:
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict, outcome.code) == (Verdict.TEMPORARY, "connect")

    run(main())


def test_a_server_that_cannot_be_reached_is_not_asked_for_every_mail() -> None:
    async def main() -> None:
        server = ScriptedServer(closes_at="CONNECT")
        async with sending(server, timeout=2.0) as sender:
            outcomes = [outcome for _ in range(3) for outcome in await sender.send(mails(50))]
            assert {outcome.verdict for outcome in outcomes} == {Verdict.TEMPORARY}
            assert all(outcome.retry_after is not None for outcome in outcomes)
            assert server.connections <= 2

    run(main())
