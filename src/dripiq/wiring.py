"""How are the parts put together?

The only place that knows them all: settings in, a database, senders, an outbox and a worker out.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, make_url

from dripiq.channels.accounts import AccountSenders
from dripiq.channels.base import Outcome, OutgoingMessage, Sender
from dripiq.channels.folder import FolderSender
from dripiq.channels.imap import ImapMailbox
from dripiq.channels.sendgrid import SendGridSender
from dripiq.channels.smtp import SmtpSender
from dripiq.channels.smtp_line import Security
from dripiq.channels.twilio import TwilioSender
from dripiq.config.secret_reference import SecretReference
from dripiq.config.settings import Settings
from dripiq.db.session import connect, make_engine
from dripiq.db.standing import check_current
from dripiq.domain.accounts import Account
from dripiq.domain.reply_address import ReplyAddresses
from dripiq.domain.sender_health import Tolerance
from dripiq.domain.states import Channel
from dripiq.domain.tracking import Links
from dripiq.domain.unsubscribe import Subscription, sign
from dripiq.engine.claim import Share
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.dispatch import Outbox
from dripiq.engine.dispatch.draft import Unsubscribe
from dripiq.engine.faults import Fault, watch_senders, watch_statements
from dripiq.engine.loop import Pace, Worker
from dripiq.engine.read_mailboxes import Opener


@dataclass(frozen=True, slots=True)
class Database:
    """A database that runs: its direct URL (for migrations and LISTEN), and an engine on it."""

    direct_url: str
    engine: Engine

    def check(self) -> None:
        """Raise DatabaseError where it cannot be reached, or does not fit this code."""
        with connect(self.engine) as connection:
            check_current(connection)


@contextmanager
def running_database(settings: Settings) -> Iterator[Database]:
    """The configured database, or dripiq's own, which is started for as long as this lasts.

    Raises:
        ConfigurationError: dripiq's own is not installed or cannot live in `home`.
        DatabaseError: it does not start.
    """
    if settings.database_url is not None:
        yield from _with_engine(settings, settings.database_url.get_secret_value(), settings.migration_url or "")
        return
    from dripiq.db.embedded import EmbeddedPostgres

    with EmbeddedPostgres(settings.home) as url:
        yield from _with_engine(settings, url, url)


def _with_engine(settings: Settings, url: str, direct_url: str) -> Iterator[Database]:
    engine = make_engine(url, pool_size=settings.database_pool, prepared=not settings.pooled)
    if settings.fault is not None:
        watch_statements(engine, Fault.parse(settings.fault).trigger())
    try:
        yield Database(direct_url, engine)
    finally:
        engine.dispose()


def make_senders(settings: Settings) -> dict[Channel, Sender]:
    """The configured ways of sending: e-mail always, SMS where there is an account.

    Raises:
        ConfigurationError: what is set cannot be sent with. That a secret is missing shows when it is needed.
    """
    senders = {Channel.EMAIL: make_email_sender(settings)}
    if (
        settings.twilio_account is not None
        and settings.twilio_password is not None
        and settings.twilio_from is not None
    ):
        base = settings.public_url.rstrip("/") if settings.public_url is not None else None
        senders[Channel.SMS] = TwilioSender(
            settings.twilio_account,
            settings.twilio_password,
            sent_from=settings.twilio_from,
            user=settings.twilio_user,
            status_url=f"{base}/webhooks/twilio" if base is not None else None,
            url=settings.twilio_url,
            connections=settings.api_connections,
            timeout=settings.api_timeout,
        )
    return senders if settings.fault is None else watch_senders(senders, Fault.parse(settings.fault).trigger())


def file_of(settings: Settings, mail: OutgoingMessage, outcome: Outcome) -> Path | None:
    """The file in which a mail lies that was accepted, where e-mail goes into a folder."""
    if settings.email_channel != "folder" or outcome.provider_message_id is None:
        return None
    return _mail_folder(settings).absolute() / mail.tenant_id / outcome.provider_message_id


def _mail_folder(settings: Settings) -> Path:
    return settings.mail_folder or settings.home / "mail"


def make_email_sender(settings: Settings) -> Sender:
    """The configured way of sending e-mail."""
    if settings.email_channel == "folder":
        return FolderSender(_mail_folder(settings), timeout=settings.smtp_timeout)
    if settings.email_channel == "sendgrid" and settings.sendgrid_key is not None:
        return SendGridSender(
            settings.sendgrid_key,
            url=settings.sendgrid_url,
            categories=settings.sendgrid_categories or (),
            connections=settings.api_connections,
            timeout=settings.api_timeout,
        )
    return SmtpSender(
        settings.smtp_host,
        settings.smtp_port,
        hostname=settings.smtp_hostname,
        security=Security(settings.smtp_security),
        username=settings.smtp_username,
        password=settings.smtp_password,
        connections=settings.smtp_connections,
        timeout=settings.smtp_timeout,
        provider=settings.smtp_provider,
    )


def unsubscribe_links(settings: Settings) -> Unsubscribe | None:
    """Makes unsubscribe links, where the API's public address is set."""
    if settings.public_url is None or settings.secret is None:
        return None
    base, secret = settings.public_url.rstrip("/"), settings.secret.get_secret_value()
    return lambda tenant_id, channel, address: (
        f"{base}/unsubscribe/{sign(Subscription(tenant_id, channel, address), secret)}"
    )


def telling_links(settings: Settings) -> Links | None:
    """Makes mails tell of opens and clicks, where that is asked for."""
    if settings.public_url is None or settings.secret is None or not (settings.track_opens or settings.track_clicks):
        return None
    base, secret = settings.public_url.rstrip("/"), settings.secret.get_secret_value()
    return Links(base, secret, opens=settings.track_opens, clicks=settings.track_clicks)


def tolerance_of(settings: Settings) -> Tolerance:
    """What a sender may come to before it is paused."""
    return Tolerance(
        settings.pause_bounce_rate,
        settings.pause_complaint_rate,
        settings.pause_window,
        settings.pause_least_sends,
    )


def reply_addresses(settings: Settings) -> ReplyAddresses | None:
    """The addresses at which messages are answered, where there is a domain for them."""
    if settings.reply_domain is None or settings.secret is None:
        return None
    return ReplyAddresses(settings.reply_domain, settings.secret.get_secret_value())


def make_accounts(settings: Settings) -> AccountSenders | None:
    """What carries the mail of senders with accounts of their own; None where e-mail goes into a folder, and so all of it does."""
    if settings.email_channel == "folder":
        return None
    return AccountSenders(lambda account: make_account_sender(settings, account), settings.smtp_account_pools)


def make_account_sender(settings: Settings, account: Account) -> Sender:
    """The way of sending over a sender's own account."""
    server = account.smtp
    return SmtpSender(
        server.host,
        server.port,
        hostname=settings.smtp_hostname,
        security=Security(server.security),
        username=server.username,
        password=SecretReference.parse(server.secret) if server.secret is not None else None,
        connections=settings.smtp_account_connections,
        timeout=settings.smtp_timeout,
    )


def make_worker(
    settings: Settings,
    database: Database,
    senders: Mapping[Channel, Sender],
    accounts: AccountSenders | None = None,
) -> Worker:
    """A worker on a database; `senders` carry its messages, `accounts` those of senders with accounts of their own."""
    outbox = Outbox(
        database.engine,
        DatabaseClock(),
        senders,
        unsubscribe_links(settings),
        telling_links(settings),
        reply_addresses(settings),
        accounts,
    )
    listen_url = make_url(database.direct_url).set(drivername="postgresql").render_as_string(hide_password=False)
    share = Share(settings.batch, settings.lease)
    pace = Pace(
        share,
        settings.poll,
        settings.upkeep,
        settings.mailbox_period,
        listen_url,
        settings.event_retention_months,
        tolerance_of(settings),
    )
    return Worker(outbox, pace, make_mailbox(settings), own_mailboxes(settings))


def own_mailboxes(settings: Settings) -> Opener | None:
    """Opens the mailboxes that senders have of their own; None where e-mail goes into a folder, so that nobody answers it."""
    if settings.email_channel == "folder":
        return None
    return lambda mailbox: ImapMailbox(
        mailbox.imap.host,
        mailbox.imap.port,
        username=mailbox.imap.username or "",
        password=SecretReference.parse(mailbox.imap.secret or ""),
        security=mailbox.imap.security,
        folder=mailbox.folder,
        max_bytes=settings.inbound_max_bytes,
    )


def make_mailbox(settings: Settings) -> ImapMailbox | None:
    """The mailbox that replies come to, where one is set."""
    if settings.imap_host is None or settings.imap_username is None or settings.imap_password is None:
        return None
    return ImapMailbox(
        settings.imap_host,
        settings.imap_port,
        username=settings.imap_username,
        password=settings.imap_password,
        security=settings.imap_security,
        folder=settings.imap_folder,
        max_bytes=settings.inbound_max_bytes,
    )
