"""What can be set, and which settings fit together?

Keys and passwords of providers are named by reference (`env:NAME`, `file:PATH`) and read when they are needed; what is a secret itself is held as one. Neither
is ever printed.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dripiq.config.secret_reference import Reference, SecretReference


def _in_seconds(value: object) -> object:
    """A bare number is seconds; anything else is pydantic's to read (ISO 8601 durations too)."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        return value


Seconds = Annotated[timedelta, BeforeValidator(_in_seconds), Field(gt=timedelta(0), le=timedelta(days=30))]


def _split(value: object) -> object:
    return tuple(word for part in value.split(",") if (word := part.strip())) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Everything that can be set; each field's variable is its name in capitals after `DRIPIQ_`; an empty one is not set."""

    model_config = SettingsConfigDict(env_prefix="DRIPIQ_", env_ignore_empty=True, extra="forbid", frozen=True)

    database_url: SecretStr | None = Field(
        default=None,
        description="The PostgreSQL (15+) to use, postgresql://user:password@host:port/name. Unset: dripiq runs its own.",
    )
    direct_url: SecretStr | None = Field(
        default=None,
        description="The same database around a transaction pooler, for migrations and LISTEN. Unset: database_url is direct.",
    )
    pooled: bool = Field(
        default=False,
        description="database_url goes through a transaction pooler: no prepared statements, no LISTEN on it.",
    )
    home: Path = Field(
        default=Path(".dripiq"), description="Where dripiq keeps its own PostgreSQL and the mail folder."
    )

    email_channel: Literal["smtp", "sendgrid", "folder"] = Field(
        default="folder", description="How e-mail leaves: over SMTP, over SendGrid's API, or into a folder."
    )
    mail_folder: Path | None = Field(default=None, description="The folder for `folder`. Unset: `mail` in home.")
    smtp_host: str = Field(default="localhost", description="The SMTP server.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How connections to it are protected."
    )
    smtp_username: str | None = Field(default=None, description="The user name, where the server asks for one.")
    smtp_password: Reference | None = Field(
        default=None, description="Where the password to it lies: `env:NAME` or `file:PATH`."
    )
    smtp_connections: int = Field(default=10, ge=1, le=100, description="How many connections at once.")
    smtp_account_connections: int = Field(
        default=2, ge=1, le=20, description="How many connections at once to a sender's own account."
    )
    smtp_account_pools: int = Field(
        default=50, ge=1, le=1000, description="For how many senders' own accounts connections are kept."
    )
    smtp_timeout: float = Field(
        default=30, gt=0, le=300, description="Seconds that one hand-over may take in all, into a folder too."
    )
    smtp_hostname: str = Field(default="localhost", description="Our own name in EHLO.")
    smtp_provider: str = Field(
        default="smtp",
        description="The name stored with messages; `sendgrid` where the server is SendGrid's, so that its webhooks find them.",
    )

    sendgrid_url: str = Field(
        default="https://api.sendgrid.com",
        description="SendGrid's API; `https://api.eu.sendgrid.com` for a subuser in the EU.",
    )
    sendgrid_key: Reference | None = Field(
        default=None,
        description="Where its API key lies, `env:NAME` or `file:PATH`; it needs the permission Mail Send.",
    )
    sendgrid_categories: Words | None = Field(
        default=None,
        description="Categories given to every mail, for SendGrid's statistics, with commas between; 10 at most.",
    )
    sendgrid_webhook_key: str | None = Field(
        default=None,
        description="SendGrid's verification key (base64), for its event webhook. Unset: the webhook is closed.",
    )
    twilio_url: str = Field(default="https://api.twilio.com", description="Twilio's API.")
    twilio_account: str | None = Field(
        default=None, description="The SID of the Twilio account that carries SMS (AC…). Unset: there is no SMS."
    )
    twilio_user: str | None = Field(
        default=None, description="The SID of an API key (SK…). Unset: the account itself, with its auth token."
    )
    twilio_password: Reference | None = Field(
        default=None, description="Where the API key's secret, or the auth token, lies: `env:NAME` or `file:PATH`."
    )
    twilio_auth_token: Reference | None = Field(
        default=None,
        description="Where the account's auth token lies, which signs Twilio's webhooks. Unset: twilio_password, where there is no twilio_user.",
    )
    twilio_from: str | None = Field(
        default=None, description="The number that sends (E.164), or a Messaging Service's SID (MG…)."
    )
    api_connections: int = Field(
        default=20, ge=1, le=100, description="How many requests at once, to SendGrid or to Twilio."
    )
    api_timeout: float = Field(
        default=30, gt=0, le=300, description="Seconds that one hand-over to either may take in all."
    )
    webhook_tolerance: Seconds = Field(
        default=timedelta(hours=25), description="How old a webhook's signed timestamp may be, in seconds."
    )
    webhook_max_bytes: int = Field(default=4_000_000, ge=1_000, description="The largest webhook body that is taken.")
    inbound_secret: Reference | None = Field(
        default=None,
        description="Where the secret lies that the URL of SendGrid's Inbound Parse carries: `env:NAME` or `file:PATH`. Unset: it is closed.",
    )
    inbound_max_bytes: int = Field(
        default=35_000_000,
        ge=10_000,
        description="The largest mail that is taken there; SendGrid's own limit is 30 MB.",
    )
    imap_host: str | None = Field(
        default=None, description="The IMAP server of the mailbox that replies come to. Unset: none is read."
    )
    imap_port: int = Field(default=993, ge=1, le=65535, description="Its port.")
    imap_security: Literal["tls", "starttls", "none"] = Field(
        default="tls", description="How connections to it are protected."
    )
    imap_username: str | None = Field(default=None, description="The user name; needed with imap_host.")
    imap_password: Reference | None = Field(
        default=None, description="Where its password lies: `env:NAME` or `file:PATH`; needed with imap_host."
    )
    imap_folder: str = Field(
        default="INBOX", pattern=r'^[^"\\\r\n]{1,200}$', description="The folder that is read, and no other."
    )
    mailbox_period: Seconds = Field(
        default=timedelta(minutes=1),
        description="How often a mailbox that a sender has of its own is read, by one of all workers, in seconds.",
    )

    public_url: str | None = Field(
        default=None, description="The API's address as recipients reach it, for links in messages, and as Twilio does."
    )
    secret: SecretStr | None = Field(
        default=None,
        description="The key that signs links in messages, reply addresses and senders' codes; needed with public_url (32 characters or more).",
    )
    reply_domain: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,8}$",
        description="A domain whose mail all comes to Inbound Parse or the mailbox: each e-mail is answered at an address of its own there.",
    )
    track_opens: bool = Field(
        default=False, description="Put an image of one pixel into HTML mail, which tells that it was opened."
    )
    track_clicks: bool = Field(
        default=False, description="Lead the links of HTML mail by way of this API, which tells that they were clicked."
    )
    dns_server: str | None = Field(
        default=None,
        description="The DNS server that `dripiq doctor` asks, address:port. Unset: the machine's own.",
    )
    host: str = Field(default="127.0.0.1", description="The address that the API listens on.")
    port: int = Field(default=8025, ge=0, le=65535, description="Its port; 0 takes a free one.")

    batch: int = Field(
        default=500, ge=1, le=5_000, description="The most actions that a worker takes of one tenant at a time."
    )
    lease: Seconds = Field(
        default=timedelta(minutes=2), description="How long a worker may hold what it took, in seconds."
    )
    poll: Seconds = Field(
        default=timedelta(seconds=5), description="The longest that a worker waits without a signal, in seconds."
    )
    upkeep: Seconds = Field(
        default=timedelta(seconds=10), description="How often a worker puts right what broke, in seconds."
    )
    event_retention_months: int | None = Field(
        default=None,
        ge=1,
        le=1200,
        description="How many full months of events are kept before the current one; older months are dropped. Unset: never.",
    )
    pause_bounce_rate: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="A sender of whose mails this share bounced is paused.",
    )
    pause_complaint_rate: float = Field(
        default=0.003,
        gt=0,
        le=1,
        description="A sender about whose mails this share of recipients complained is paused.",
    )
    pause_window: Seconds = Field(default=timedelta(days=7), description="Over how long both are counted, in seconds.")
    pause_least_sends: int = Field(
        default=100, ge=1, description="A sender that sent fewer in that time is not paused for either."
    )
    database_pool: int = Field(default=10, ge=4, le=100, description="The most database connections of one process.")
    fault: str | None = Field(
        default=None,
        description="For tests: the point at which this process kills or freezes itself, as docs/faults.md says. Leave it unset.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Settings":
        slowest = max(
            self.smtp_timeout,
            self.api_timeout if self.email_channel == "sendgrid" else 0,
            self.api_timeout if self.twilio_account is not None else 0,
        )
        if self.lease.total_seconds() < 2 * slowest:
            raise ValueError(
                "DRIPIQ_LEASE must be at least twice DRIPIQ_SMTP_TIMEOUT and DRIPIQ_API_TIMEOUT, for a hand-over starts only if its lease outlives it"
            )
        if self.email_channel == "sendgrid" and self.sendgrid_key is None:
            raise ValueError(
                "DRIPIQ_EMAIL_CHANNEL=sendgrid needs DRIPIQ_SENDGRID_KEY: env:NAME or file:PATH, where the API key lies"
            )
        if self.twilio_account is not None and (self.twilio_password is None or self.twilio_from is None):
            raise ValueError("DRIPIQ_TWILIO_ACCOUNT needs DRIPIQ_TWILIO_PASSWORD and DRIPIQ_TWILIO_FROM beside it")
        if self.public_url is not None and (self.secret is None or len(self.secret.get_secret_value()) < 32):
            raise ValueError(
                "DRIPIQ_PUBLIC_URL needs DRIPIQ_SECRET beside it, 32 characters or more of your own that sign the links"
            )
        if self.reply_domain is not None and (self.secret is None or len(self.secret.get_secret_value()) < 32):
            raise ValueError(
                "DRIPIQ_REPLY_DOMAIN needs DRIPIQ_SECRET beside it, 32 characters or more of your own that sign the addresses"
            )
        if (self.track_opens or self.track_clicks) and self.public_url is None:
            raise ValueError(
                "DRIPIQ_TRACK_OPENS and DRIPIQ_TRACK_CLICKS need DRIPIQ_PUBLIC_URL, which the links lead to"
            )
        if (self.track_opens or self.track_clicks) and self.email_channel == "sendgrid":
            raise ValueError(
                "DRIPIQ_TRACK_OPENS and DRIPIQ_TRACK_CLICKS are not for DRIPIQ_EMAIL_CHANNEL=sendgrid: SendGrid tells of both itself"
            )
        if self.imap_host is not None and (self.imap_username is None or self.imap_password is None):
            raise ValueError("DRIPIQ_IMAP_HOST needs DRIPIQ_IMAP_USERNAME and DRIPIQ_IMAP_PASSWORD beside it")
        if self.pooled and self.direct_url is None:
            raise ValueError("DRIPIQ_POOLED needs DRIPIQ_DIRECT_URL, for migrations")
        return self

    @property
    def twilio_webhook_token(self) -> SecretReference | None:
        """Where the token lies that signs Twilio's webhooks; None: there is none, and they are closed."""
        return self.twilio_auth_token or (self.twilio_password if self.twilio_user is None else None)

    @property
    def migration_url(self) -> str | None:
        """The direct URL; None for dripiq's own database."""
        url = self.direct_url or self.database_url
        return url.get_secret_value() if url is not None else None
