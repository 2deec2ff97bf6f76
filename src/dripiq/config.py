"""How is this process set up?

The only reader of the environment: every setting is a variable `DRIPIQ_…`, checked once at the start. Secrets are held as secrets, and never printed.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dripiq.domain.errors import ConfigurationError


def _in_seconds(value: object) -> object:
    """A bare number is seconds; anything else is pydantic's to read (ISO 8601 durations too)."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        return value


Seconds = Annotated[timedelta, BeforeValidator(_in_seconds), Field(gt=timedelta(0), le=timedelta(days=30))]


class Settings(BaseSettings):
    """Everything that can be set; each field's variable is its name in capitals after `DRIPIQ_`."""

    model_config = SettingsConfigDict(env_prefix="DRIPIQ_", extra="forbid", frozen=True)

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

    email_channel: Literal["smtp", "folder"] = Field(
        default="folder", description="How e-mail leaves: over SMTP, or into a folder."
    )
    mail_folder: Path | None = Field(default=None, description="The folder for `folder`. Unset: `mail` in home.")
    smtp_host: str = Field(default="localhost", description="The SMTP server.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How connections to it are protected."
    )
    smtp_username: str | None = Field(default=None, description="The user name, where the server asks for one.")
    smtp_password: SecretStr | None = Field(default=None, description="The password to it.")
    smtp_connections: int = Field(default=10, ge=1, le=100, description="How many connections at once.")
    smtp_timeout: float = Field(
        default=30, gt=0, le=300, description="Seconds that one hand-over may take in all, into a folder too."
    )
    smtp_hostname: str = Field(default="localhost", description="Our own name in EHLO.")
    smtp_provider: str = Field(
        default="smtp",
        description="The name stored with messages; `sendgrid` where the server is SendGrid's, so that its webhooks find them.",
    )

    sendgrid_webhook_key: str | None = Field(
        default=None,
        description="SendGrid's verification key (base64), for its event webhook. Unset: the webhook is closed.",
    )
    webhook_tolerance: Seconds = Field(
        default=timedelta(hours=25), description="How old a webhook's signed timestamp may be, in seconds."
    )
    webhook_max_bytes: int = Field(default=4_000_000, ge=1_000, description="The largest webhook body that is taken.")

    public_url: str | None = Field(
        default=None, description="The API's address as recipients reach it, for unsubscribe links."
    )
    secret: SecretStr | None = Field(
        default=None,
        description="The key that signs unsubscribe links; needed with public_url (32 characters or more).",
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
    database_pool: int = Field(default=10, ge=4, le=100, description="The most database connections of one process.")

    @model_validator(mode="after")
    def _fits_together(self) -> "Settings":
        if self.lease.total_seconds() < 2 * self.smtp_timeout:
            raise ValueError(
                "lease must be at least twice smtp_timeout: a hand-over starts only if its lease outlives it"
            )
        if self.public_url is not None and (self.secret is None or len(self.secret.get_secret_value()) < 32):
            raise ValueError("public_url needs a secret of 32 characters or more, which signs the links")
        if self.pooled and self.direct_url is None:
            raise ValueError("pooled needs direct_url, for migrations")
        return self

    @property
    def migration_url(self) -> str | None:
        """The direct URL; None for dripiq's own database."""
        url = self.direct_url or self.database_url
        return url.get_secret_value() if url is not None else None


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; `overrides` (a command's options) go before it.

    Raises:
        ConfigurationError: naming each variable that is wrong and why, without repeating values (one may be a secret).
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        faults = [
            f"{'DRIPIQ_' + '_'.join(str(part) for part in fault['loc']).upper() + ': ' if fault['loc'] else ''}{fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError(
            f"The settings are not right: {'; '.join(faults)}.", facts={"faults": faults}
        ) from None
