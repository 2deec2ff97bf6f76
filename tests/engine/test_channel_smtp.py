"""What is said of a mail afterwards must be true, whatever the server does; a real SMTP server on loopback does it."""

import asyncio
import datetime
import email
import email.policy
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from pydantic import SecretStr

from dripiq.channels import smtp_line
from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.channels.smtp import Security, SmtpSender
from dripiq.domain.errors import ConfigurationError
from dripiq.domain.states import Channel, SuppressionType
from tests.engine.certificates import make_certificate, serving
from tests.engine.smtp_server import Say, Server, answer, hang, hang_up, listening, ok


@asynccontextmanager
async def sending(port: int, **options: Any) -> AsyncIterator[SmtpSender]:
    settings: dict[str, Any] = {"hostname": "client.test", "security": Security.NONE, "timeout": 10.0, **options}
    sender = SmtpSender("localhost" if settings["security"] is not Security.NONE else "127.0.0.1", port, **settings)
    try:
        yield sender
    finally:
        await sender.close()


def mails(count: int, **changes: Any) -> list[OutgoingMessage]:
    return [
        OutgoingMessage(
            id=f"m{number}",
            tenant_id="t1",
            channel=Channel.EMAIL,
            to_address=f"ann{number}@example.com",
            to_name="Ann",
            from_address="bob@example.org",
            from_name="Bob",
            reply_to=None,
            subject="Hello",
            body="Hello.\n",
            message_id=f"m{number}@example.org",
            at=datetime.datetime(2026, 3, 4, 12, tzinfo=datetime.UTC),
            **changes,
        )
        for number in range(count)
    ]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def verdicts(outcomes: Sequence[Outcome]) -> list[tuple[Verdict, str | None]]:
    return [(outcome.verdict, outcome.code) for outcome in outcomes]


def test_an_accepted_mail_arrives_as_it_was_written_and_brings_the_servers_name_for_it() -> None:
    async def main() -> None:
        async with (
            listening(Server(on_data=answer("250 2.0.0 Ok: queued as 4XyZ-1"))) as server,
            sending(server.port) as sender,
        ):
            body = "Hi.\n.\n..\n.dot\nGrüße\n"
            (outcome,) = await sender.send([replace(mails(1)[0], body=body)])
            assert outcome == Outcome("m0", Verdict.ACCEPTED, "4XyZ-1", "250 2.0.0", "2.0.0 Ok: queued as 4XyZ-1")
            message = email.message_from_bytes(server.received[0], policy=email.policy.default)
            assert message["Message-ID"] == "<m0@example.org>"
            assert message.get_content().replace("\r\n", "\n") == body

    run(main())


@pytest.mark.parametrize("step", ["on_mail", "on_rcpt", "on_data"])
@pytest.mark.parametrize(
    ("said", "verdict", "code"),
    [
        ("550 5.1.1 no such user", Verdict.PERMANENT, "550 5.1.1"),
        ("554 go away", Verdict.PERMANENT, "554"),
        ("451 4.7.1 try again later", Verdict.TEMPORARY, "451 4.7.1"),
        ("530 5.7.0 log in first", Verdict.TEMPORARY, "auth"),
    ],
)
def test_a_refusal_is_the_servers_own_and_leaves_the_connection_usable(
    step: str, said: str, verdict: Verdict, code: str
) -> None:
    async def main() -> None:
        server = Server()
        setattr(server, step, answer(said))
        async with listening(server), sending(server.port, connections=1) as sender:
            (refused,) = await sender.send(mails(1))
            assert (refused.verdict, refused.code) == (verdict, code)
            assert said.split(" ", 1)[1] in (refused.detail or "")
            setattr(server, step, ok)
            assert [outcome.verdict for outcome in await sender.send(mails(1))] == [Verdict.ACCEPTED]
            assert len(server.sessions) == 1

    run(main())


def test_one_refused_recipient_costs_nobody_else_a_mail() -> None:
    async def refuse_the_third(_session: SMTP, recipient: str) -> str:
        return "550 5.1.1 no" if recipient.startswith("ann2@") else "250 ok"

    async def main() -> None:
        async with listening(Server(on_rcpt=refuse_the_third)) as server, sending(server.port, connections=2) as sender:
            outcomes = {outcome.id: outcome.verdict for outcome in await sender.send(mails(8))}
            assert outcomes == {f"m{n}": Verdict.PERMANENT if n == 2 else Verdict.ACCEPTED for n in range(8)}
            assert sorted(server.message_ids()) == sorted(f"m{n}@example.org" for n in range(8) if n != 2)

    run(main())


@pytest.mark.parametrize("step", ["on_mail", "on_rcpt"])
def test_a_connection_lost_before_the_mail_is_temporary(step: str) -> None:
    async def main() -> None:
        server = Server()
        setattr(server, step, hang_up)
        async with listening(server), sending(server.port) as sender:
            assert verdicts(await sender.send(mails(1))) == [(Verdict.TEMPORARY, "connect")]
            assert server.received == []

    run(main())


def test_a_connection_lost_after_the_mail_is_unknown_and_the_mail_is_not_sent_again() -> None:
    async def main() -> None:
        server = Server(on_data=hang_up)
        async with listening(server), sending(server.port) as sender:
            assert verdicts(await sender.send(mails(1))) == [(Verdict.UNKNOWN, "disconnect")]
            assert server.message_ids() == ["m0@example.org"]

    run(main())


@pytest.mark.parametrize("said", ["what?", "354 more"])
def test_an_answer_out_of_the_protocol_is_unknown(said: str) -> None:
    async def main() -> None:
        server = Server(on_data=answer(said))
        async with listening(server), sending(server.port) as sender:
            assert [outcome.verdict for outcome in await sender.send(mails(1))] == [Verdict.UNKNOWN]
            server.on_data = ok
            assert [outcome.verdict for outcome in await sender.send(mails(1))] == [Verdict.ACCEPTED]

    run(main())


def test_a_server_silent_after_the_mail_leaves_it_unknown_within_the_timeout() -> None:
    async def main() -> None:
        server = Server(on_data=hang)
        async with listening(server), sending(server.port, timeout=2.0) as sender:
            async with asyncio.timeout(5):
                assert verdicts(await sender.send(mails(3))) == [(Verdict.UNKNOWN, "timeout")] * 3
            assert len(server.received) == 3

    run(main())


@pytest.mark.parametrize("step", ["on_mail", "on_rcpt"])
def test_a_server_silent_before_the_mail_has_not_taken_it(step: str) -> None:
    async def main() -> None:
        server = Server()
        setattr(server, step, hang)
        async with listening(server), sending(server.port, timeout=1.0) as sender:
            assert verdicts(await sender.send(mails(2))) == [(Verdict.TEMPORARY, "timeout")] * 2
            assert server.received == []

    run(main())


def test_nobody_listening_is_temporary() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        async with sending(port) as sender:
            assert verdicts(await sender.send(mails(2))) == [(Verdict.TEMPORARY, "connect")] * 2

    run(main())


def test_connections_closed_while_idle_are_replaced_without_loss_or_duplicate() -> None:
    async def main() -> None:
        async with listening(Server()) as server, sending(server.port, connections=4) as sender:
            for _ in range(3):
                outcomes = await sender.send(mails(4))
                assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
                server.close_sessions()
            assert Counter(server.message_ids()) == {f"m{n}@example.org": 3 for n in range(4)}
            assert len(server.sessions) == 12

    run(main())


@pytest.mark.parametrize("farewell", [answer("421 4.4.2 too long idle"), hang_up])
def test_a_kept_connection_that_is_dead_at_mail_is_replaced_once(farewell: Say) -> None:
    async def main() -> None:
        server = Server()

        async def only_new_ones(session: SMTP, sender: str) -> str:
            return "250 ok" if session is not server.sessions[0] else await farewell(session, sender)

        async with listening(server), sending(server.port, connections=1) as sender:
            await sender.send(mails(1))
            server.on_mail = only_new_ones
            assert [outcome.verdict for outcome in await sender.send(mails(1))] == [Verdict.ACCEPTED]
            assert server.message_ids() == ["m0@example.org"] * 2
            assert len(server.sessions) == 2

    run(main())


def test_a_connection_retires_after_its_share_of_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_line, "MAILS_PER_CONNECTION", 10)

    async def main() -> None:
        async with listening(Server()) as server, sending(server.port, connections=1) as sender:
            assert {outcome.verdict for outcome in await sender.send(mails(35))} == {Verdict.ACCEPTED}
            assert len(server.sessions) == 4

    run(main())


def test_five_hundred_mails_through_ten_connections_arrive_once_each() -> None:
    async def main() -> None:
        async with listening(Server()) as server, sending(server.port, connections=10, timeout=50.0) as sender:
            batch = mails(500)
            halves = await asyncio.gather(sender.send(batch[:250]), sender.send(batch[250:]))
            outcomes = [outcome for half in halves for outcome in half]
            assert sorted(outcome.id for outcome in outcomes) == sorted(message.id for message in batch)
            assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
            assert Counter(server.message_ids()) == {message.message_id: 1 for message in batch}
            assert len(server.sessions) == 10

    run(main())


def test_a_cancelled_send_leaves_its_connection_unused_and_the_sender_usable() -> None:
    async def main() -> None:
        server = Server(on_data=hang)
        async with listening(server), sending(server.port, connections=1) as sender:
            under_way = asyncio.create_task(sender.send(mails(1)))
            await server.had_data.wait()
            under_way.cancel()
            with pytest.raises(asyncio.CancelledError):
                await under_way
            server.on_data = ok
            assert [outcome.verdict for outcome in await sender.send(mails(1))] == [Verdict.ACCEPTED]
            assert len(server.sessions) == 2

    run(main())


def test_a_mail_that_cannot_be_written_is_refused_before_any_server_sees_it() -> None:
    async def main() -> None:
        async with listening(Server()) as server, sending(server.port) as sender:
            bad = replace(mails(1)[0], to_address="ann@example.com>\r\nDATA")
            assert verdicts(await sender.send([bad])) == [(Verdict.PERMANENT, "invalid_header")]
            assert server.sessions == []

    run(main())


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd's advice; this is loopback
def test_a_login_that_fails_is_our_fault_and_shows_no_password() -> None:
    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"right", handled=False)

    async def main() -> None:
        server = Server()
        options: dict[str, Any] = {"authenticator": authenticate, "auth_require_tls": False, "auth_required": True}
        async with listening(server, **options):
            async with sending(server.port, username="bob", password=SecretStr("wrong-secret")) as sender:
                (outcome,) = await sender.send(mails(1))
                assert (outcome.verdict, outcome.code) == (Verdict.TEMPORARY, "auth")
                assert "wrong-secret" not in str(outcome)
            async with sending(server.port) as sender:
                assert verdicts(await sender.send(mails(1))) == [(Verdict.TEMPORARY, "auth")]
            assert server.received == []
            async with sending(server.port, username="bob", password=SecretStr("right")) as sender:
                assert [outcome.verdict for outcome in await sender.send(mails(1))] == [Verdict.ACCEPTED]

    run(main())


@pytest.fixture(scope="module")
def tls_contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and a client's that trusts it."""
    certificate, trusting = make_certificate(tmp_path_factory.mktemp("tls"))
    return serving(certificate), trusting


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_mail_goes_over_tls_to_a_server_with_a_trusted_certificate(
    security: Security, tls_contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def main() -> None:
        implicit = tls_contexts[0] if security is Security.TLS else None
        options: dict[str, Any] = {} if implicit else {"tls_context": tls_contexts[0], "require_starttls": True}
        async with listening(Server(), implicit, **options) as server:
            async with sending(server.port, security=security, tls_context=tls_contexts[1], connections=2) as sender:
                for _ in range(2):
                    assert [outcome.verdict for outcome in await sender.send(mails(2))] == [Verdict.ACCEPTED] * 2
            assert len(server.sessions) == 2
            assert len(server.received) == 4

    run(main())


@pytest.mark.parametrize(("security", "code"), [(Security.STARTTLS, "tls"), (Security.TLS, "connect")])
def test_no_mail_goes_to_a_server_whose_certificate_is_not_trusted(
    security: Security, code: str, tls_contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def main() -> None:
        implicit = tls_contexts[0] if security is Security.TLS else None
        options: dict[str, Any] = {} if implicit else {"tls_context": tls_contexts[0]}
        async with (
            listening(Server(), implicit, **options) as server,
            sending(server.port, security=security) as sender,
        ):
            assert verdicts(await sender.send(mails(1))) == [(Verdict.TEMPORARY, code)]
            assert server.received == []

    run(main())


def test_no_mail_goes_in_clear_when_starttls_was_asked_for() -> None:
    async def main() -> None:
        async with listening(Server()) as server, sending(server.port, security=Security.STARTTLS) as sender:
            assert verdicts(await sender.send(mails(1))) == [(Verdict.TEMPORARY, "tls")]
            assert server.received == []

    run(main())


@pytest.mark.parametrize(
    "options", [{"username": "bob"}, {"password": SecretStr("x")}, {"connections": 0}, {"timeout": 0}]
)
def test_contradictory_settings_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SmtpSender("127.0.0.1", 25, hostname="client.test", **options)


@pytest.mark.parametrize(
    ("said", "closes"),
    [
        ({"on_rcpt": answer("550 5.1.1 no such user")}, SuppressionType.BOUNCE),
        ({"on_rcpt": answer("556 5.1.10 takes no mail")}, SuppressionType.BOUNCE),
        ({"on_rcpt": answer("450 4.1.1 no such user, perhaps")}, None),
        ({"on_rcpt": answer("550 5.1.8 bad sender")}, None),
        ({"on_rcpt": answer("550 5.7.1 not by you")}, None),
        ({"on_rcpt": answer("550 no such user")}, None),
        ({"on_mail": answer("550 5.1.1 who are you")}, None),
        ({"on_data": answer("554 5.1.1 not this text")}, None),
    ],
    ids=["gone", "null MX", "for now", "the sender's", "policy", "without a code", "at MAIL", "at DATA"],
)
def test_only_a_recipient_that_is_refused_because_there_is_none_closes_its_address(
    said: dict[str, Any], closes: SuppressionType | None
) -> None:
    async def main() -> None:
        async with listening(Server(**said)) as server, sending(server.port) as sender:
            (outcome,) = await sender.send(mails(1))
            assert (outcome.verdict is not Verdict.ACCEPTED, outcome.closes) == (True, closes)

    run(main())
