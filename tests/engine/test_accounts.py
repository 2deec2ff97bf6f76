"""A sender with an account of its own: its mail leaves over it alone, and what is wrong with it holds up nobody else's."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from dripiq.channels.accounts import AccountSenders
from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.channels.folder import FolderSender
from dripiq.channels.smtp import SmtpSender
from dripiq.config.environment import load_settings
from dripiq.db.session import as_tenant
from dripiq.domain.accounts import Account, MailServer
from dripiq.domain.errors import ConfigurationError, InputError
from dripiq.domain.states import Channel
from dripiq.engine.dispatch import Outbox
from dripiq.engine.explain import explain
from dripiq.engine.give_account import give_account, take_account
from dripiq.engine.loop import Pace, Worker
from dripiq.wiring import make_account_sender, make_accounts
from tests.engine.conftest import NOON, ONE_MAIL, World, settle_tenant
from tests.engine.smtp_server import Server, listening
from tests.engine.test_senders import add_sender

OPEN = {"DRIPIQ_EMAIL_CHANNEL": "smtp", "DRIPIQ_SMTP_SECURITY": "none", "DRIPIQ_SMTP_TIMEOUT": "5"}


@asynccontextmanager
async def mailbox(user: str, password: str) -> AsyncIterator[Server]:
    """A server that lets one user in."""

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=(given.login, given.password) == (user.encode(), password.encode()), handled=False)

    options: dict[str, Any] = {"authenticator": check, "auth_required": True, "auth_require_tls": False}
    async with listening(Server(), **options) as server:
        yield server


def give(world: World, sender_id: str, server: Server, user: str, secret: str) -> None:
    with world.database.begin() as connection:
        smtp = MailServer("127.0.0.1", server.port, "none", user, secret)
        give_account(connection, world.tenant_id, sender_id, smtp, now=world.clock.time)


def senders_of(server: Server) -> set[str]:
    return {str(message_from_bytes(raw)["From"]) for raw in server.received}


def reasons(world: World, sender_id: str) -> list[tuple[str, str]]:
    return world.rows(
        "SELECT DISTINCT action.reason, action.last_error FROM dripiq_app.scheduled_actions AS action"
        " JOIN dripiq_app.contact_campaigns AS campaign ON campaign.id = action.contact_campaign_id"
        " WHERE action.status = 'pending' AND campaign.sender_identity_id = :sender",
        sender=sender_id,
    )


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two passwords where references lead to, and an installation whose own mail server is nowhere."""
    for name, value in {**OPEN, "DRIPIQ_SMTP_HOST": "127.0.0.1", "DRIPIQ_SMTP_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ANNS_PASSWORD", "anns secret")
    (tmp_path / "bobs").write_text("bobs secret\n")


@pytest.mark.usefixtures("settings")
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd's advice; this is loopback
def test_each_account_gets_its_own_senders_mail_and_a_wrong_password_holds_up_that_senders_alone(
    crowd: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="dripiq")
    ann, bob = add_sender(crowd, "ann@team.test"), add_sender(crowd, "bob@team.test")
    other = World(crowd.database, tmp_path / "other")
    other.tenant_id, other.sender_id, other.contacts = settle_tenant(crowd.database, 2, "Other")

    async def live() -> None:
        async with AsyncExitStack() as stack:
            anns = await stack.enter_async_context(mailbox("ann", "anns secret"))
            bobs = await stack.enter_async_context(mailbox("bob", "bobs secret"))
            give(crowd, ann, anns, "ann", "env:ANNS_PASSWORD")
            give(crowd, bob, bobs, "bob", f"file:{tmp_path / 'bobs'}")
            crowd.enroll(ONE_MAIL)
            other.enroll(ONE_MAIL)
            count = {
                row.sender_identity_id: row.n
                for row in crowd.rows(
                    "SELECT sender_identity_id, count(*) AS n FROM dripiq_app.contact_campaigns"
                    " WHERE tenant_id = :tenant_id GROUP BY 1"
                )
            }
            (tmp_path / "bobs").write_text("of last year")
            accounts = make_accounts(load_settings())
            assert accounts is not None
            outbox = Outbox(crowd.database, crowd.clock, {Channel.EMAIL: FolderSender(crowd.folder)}, accounts=accounts)
            worker = Worker(outbox, Pace())
            await worker.run_until_idle()
            assert (len(anns.received), len(bobs.received)) == (count[ann], 0)
            assert senders_of(anns) == {"Sender <ann@team.test>"}
            # The others', and the other tenant's, leave as ever.
            assert len(crowd.mails()) == count[crowd.sender_id] + 2
            held_up = reasons(crowd, bob)
            assert {reason for reason, _ in held_up} == {"provider_not_ready"}
            assert all("535" in said for _, said in held_up)
            waiting = crowd.value(
                "SELECT contact_id FROM dripiq_app.contact_campaigns WHERE sender_identity_id = :bob LIMIT 1", bob=bob
            )
            with crowd.database.connect() as connection:
                (campaign,) = explain(connection, crowd.tenant_id, waiting, now=crowd.clock.time).campaigns
            assert campaign.send is not None
            assert (campaign.send.reason, campaign.send.last_error) in held_up
            (tmp_path / "bobs").write_text("bobs secret")
            await accounts.close()  # as by a new worker: this one leaves the server alone for some seconds
            crowd.clock.pass_(hours=1)
            await worker.run_until_idle()
            assert (len(bobs.received), senders_of(bobs)) == (count[bob], {"Sender <bob@team.test>"})
            assert (len(anns.received), len(accounts)) == (count[ann], 1)
            await accounts.close()
            assert len(accounts) == 0

    asyncio.run(asyncio.wait_for(live(), 60))
    providers = crowd.rows(
        "SELECT provider, count(DISTINCT sender_identity_id) FROM dripiq_app.outbound_messages GROUP BY 1 ORDER BY 1"
    )
    assert providers == [("folder", 2), ("smtp", 2)]
    assert "secret" not in caplog.text.replace("env:ANNS_PASSWORD", "")


def test_what_is_stored_is_a_reference_and_a_tenants_own_role_may_not_write_it(world: World) -> None:
    smtp = MailServer("mail.test", 587, "starttls", "ann", "hunter2")
    with world.database.begin() as connection:
        with pytest.raises(ConfigurationError) as refused:
            give_account(connection, world.tenant_id, world.sender_id, smtp, now=NOON)
        assert "hunter2" not in str(refused.value)
        for wrong in (replace(smtp, secret=None), replace(smtp, port=0), replace(smtp, security="maybe")):
            with pytest.raises(InputError):
                give_account(connection, world.tenant_id, world.sender_id, wrong, now=NOON)
    named = replace(smtp, secret="env:ANNS_PASSWORD")
    for secret in ("hunter2", "env:1", ""):
        with pytest.raises(IntegrityError):
            world.execute(
                "INSERT INTO dripiq_app.sender_accounts"
                " (id, tenant_id, sender_identity_id, smtp_host, smtp_port, smtp_security, smtp_username, smtp_secret)"
                " VALUES ('a', :tenant_id, :sender, 'h', 1, 'none', 'u', :secret)",
                sender=world.sender_id,
                secret=secret,
            )
    with world.database.begin() as connection:
        give_account(connection, world.tenant_id, world.sender_id, named, (named, "INBOX"), now=NOON)
    with world.database.begin() as connection, pytest.raises(ProgrammingError), as_tenant(connection, world.tenant_id):
        connection.execute(text("UPDATE dripiq_app.sender_accounts SET smtp_secret = 'file:/etc/shadow'"))
    with world.database.begin() as connection:
        take_account(connection, world.tenant_id, "sender@example.com")
    assert world.value("SELECT count(*) FROM dripiq_app.sender_accounts") == 0


def test_without_a_mail_server_of_ones_own_all_mail_goes_into_the_folder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DRIPIQ_EMAIL_CHANNEL", raising=False)
    assert make_accounts(load_settings()) is None
    with world.database.begin() as connection:
        give_account(connection, world.tenant_id, world.sender_id, MailServer("mail.test", 25, "none"), now=NOON)
    world.enroll(ONE_MAIL)
    world.work()
    assert len(world.mails()) == 1


@pytest.mark.usefixtures("settings")
def test_connections_are_kept_for_the_accounts_used_last_and_never_taken_from_one_in_use() -> None:
    closed: list[str] = []

    class Noted:
        channel, capacity, provider = Channel.EMAIL, 1, "smtp"

        def __init__(self, account: Account) -> None:
            self.timeout, self.name = NOON - NOON, account.sender_id

        async def send(self, batch: list[OutgoingMessage]) -> list[Outcome]:
            return [Outcome(message.id, Verdict.ACCEPTED) for message in batch]

        async def close(self) -> None:
            closed.append(self.name)

    def account(name: str) -> Account:
        return Account("t", name, MailServer("mail.test", 25, "none"))

    async def live() -> None:
        accounts = AccountSenders(Noted, most=2)  # type: ignore[arg-type]
        async with accounts.lend(account("a")) as first:
            for name in ("b", "c", "d"):
                async with accounts.lend(account(name)):
                    pass
            assert closed == ["b", "c"]
            async with accounts.lend(account("a")) as same:
                assert same is first
        async with accounts.lend(replace(account("a"), tenant_id="u")) as of_another:
            assert of_another is not first
        assert (closed, len(accounts)) == (["b", "c", "d"], 2)

    asyncio.run(live())
    made = make_account_sender(load_settings(), account("a"))
    assert isinstance(made, SmtpSender)
    assert made.capacity == 2
