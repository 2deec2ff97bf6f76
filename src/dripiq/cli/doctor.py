"""`dripiq doctor`: what is wrong with the settings, the database, the mail server and a domain's records, and what to do about it?"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Annotated

import typer

from dripiq.cli.output import JsonOption, say, show_json
from dripiq.domain.errors import ConfigurationError, DripiqError, SignatureError
from dripiq.domain.sender_check import (
    Finding,
    Level,
    dmarc_names,
    judge_dkim,
    judge_dmarc,
    judge_spf,
    spf_of,
    spf_targets,
)

if TYPE_CHECKING:
    from dripiq.channels.dns_records import TextRecords
    from dripiq.config.settings import Settings

_MOST_NAMES = 50
"""How many names one SPF record is followed through: five times what is allowed."""
SHORTEST_SECRET = 32


def doctor(
    domain: Annotated[
        list[str] | None,
        typer.Option("--domain", metavar="DOMAIN", help="A domain that is sent from; may be repeated."),
    ] = None,
    selector: Annotated[
        list[str] | None,
        typer.Option(
            "--selector", metavar="NAME", help="A DKIM selector; may be repeated. [default: SendGrid's s1 and s2]"
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="TERM",
            help="The SPF term that names who sends. [default: include:sendgrid.net over SendGrid, else a: and the SMTP host]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at the settings, the database, the mail server and a domain's SPF, DKIM and DMARC; say what is wrong, and the record to publish.

    Writes nothing. Ends with 1 where something is wrong.
    """
    from dataclasses import asdict

    from dripiq.channels.dns_records import TextRecords
    from dripiq.config.environment import load_settings
    from dripiq.domain.states import Channel, SuppressionScope
    from dripiq.domain.suppression_list import stored_value

    names = [stored_value(each.strip().rstrip("."), Channel.EMAIL, SuppressionScope.DOMAIN) for each in domain or ()]
    settings = load_settings()
    variables, in_database = _database()
    found = [*_settings(settings, variables), *in_database, *_mail_server(settings)]
    records = TextRecords(settings.dns_server) if domain else None
    for name in names if records is not None else ():
        named = selector or (["s1", "s2"] if _over_sendgrid(settings) else [])
        found += _domain(name, named, source or _source(settings), records)  # type: ignore[arg-type]
    if as_json:
        show_json({"findings": [asdict(finding) for finding in found]})
    else:
        _show(found)
    if any(finding.level is Level.FAULT for finding in found):
        raise typer.Exit(1)


def _show(found: Iterable[Finding]) -> None:
    for finding in found:
        say(f"{finding.level:8}{finding.what}: {finding.said}")
        if finding.name is not None:
            say(f'        publish  {finding.name}.  TXT  "{finding.value}"')


def _settings(settings: "Settings", named: AbstractSet[str]) -> Iterator[Finding]:
    """`named`: variables in which passwords of senders' own accounts lie."""
    from datetime import UTC, datetime

    from dripiq.channels.sendgrid_events import verify_signature
    from dripiq.config.environment import unknown_settings
    from dripiq.config.settings import Settings
    from dripiq.domain.plan.faults import did_you_mean

    known = [f"DRIPIQ_{name}".upper() for name in Settings.model_fields]
    for name in unknown_settings():
        if name in named:
            continue
        said = f"There is no such setting{did_you_mean(name, known)}."
        yield Finding(name, Level.WARNING, "unknown_setting", said)
    url = settings.public_url
    if url is None:
        said = "DRIPIQ_PUBLIC_URL is not set, so mails carry no unsubscribe link."
        yield Finding("public URL", Level.WARNING, "no_public_url", said)
    elif not url.startswith(("https://", "http://")):
        said = "DRIPIQ_PUBLIC_URL must begin with https://, as recipients' programs reach it."
        yield Finding("public URL", Level.FAULT, "public_url", said)
    elif url.startswith("http://"):
        said = "One-click unsubscribing needs https:// (RFC 8058, 3.1)."
        yield Finding("public URL", Level.WARNING, "public_url_http", said)
    else:
        yield Finding("public URL", Level.OK, "public_url", url)
    length = len(settings.secret.get_secret_value()) if settings.secret is not None else 0
    if length < SHORTEST_SECRET:
        said = f"DRIPIQ_SECRET has {length} characters, and signs nothing with fewer than {SHORTEST_SECRET}."
        yield Finding("secret", Level.WARNING, "secret_short", said)
    else:
        yield Finding("secret", Level.OK, "secret", f"{length} characters.")
    if settings.sendgrid_webhook_key is not None:
        try:
            verify_signature(settings.sendgrid_webhook_key, "AA==", "0", b"", now=datetime.now(UTC))
        except SignatureError:  # as it must be: the key was read
            yield Finding("webhook key", Level.OK, "verification_key", "It can be read.")
        except ConfigurationError as error:
            yield Finding("webhook key", Level.FAULT, error.error_code, error.message)


def _database() -> tuple[set[str], list[Finding]]:
    """The variables that senders' accounts name, and what is to be said of the database and what is in it."""
    from dripiq.cli.opening import open_database
    from dripiq.db.session import connect
    from dripiq.repositories.mailboxes import find_failing_mailboxes
    from dripiq.repositories.sender_accounts import find_variables

    try:
        with open_database() as (_, database), connect(database.engine) as connection:
            named, failing = find_variables(connection), find_failing_mailboxes(connection)
    except DripiqError as error:
        return set(), [Finding("database", Level.FAULT, error.error_code, error.message)]
    return named, [
        Finding("database", Level.OK, "database", "It answers, and fits this version."),
        *(
            Finding(
                f"mailbox of {mailbox.from_email}",
                Level.FAULT,
                "mailbox_not_read",
                f"{mailbox.imap_error} ({mailbox.imap_host}; tried {mailbox.imap_failures} times)",
            )
            for mailbox in failing
        ),
    ]


def _mail_server(settings: "Settings") -> Iterator[Finding]:
    import asyncio

    from dripiq.channels.smtp_probe import greeting

    if settings.email_channel != "smtp":
        return
    where = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        said = asyncio.run(greeting(settings.smtp_host, settings.smtp_port, tls=settings.smtp_security == "tls"))
    except (OSError, ValueError) as error:  # TimeoutError and TLS errors are OSErrors
        reason = str(error) or "no greeting came"
        yield Finding("mail server", Level.FAULT, "smtp_unreachable", f"{where} does not answer: {reason}.")
        return
    if said.startswith("220"):
        yield Finding("mail server", Level.OK, "smtp", f"{where}: {said}")
    else:
        yield Finding("mail server", Level.FAULT, "smtp_greeting", f"{where} does not greet as SMTP does: {said!r}.")


def _domain(domain: str, selectors: Iterable[str], source: str, records: "TextRecords") -> Iterator[Finding]:
    try:
        texts = records.of(domain)
        yield judge_spf(domain, texts, _taken_in(texts, records), source)
        for selector in selectors:
            yield judge_dkim(domain, selector, records.of(f"{selector}._domainkey.{domain}"))
        if not selectors:
            said = "Name the selector that your mail provider shows, with --selector, to have its key looked at."
            yield Finding("DKIM", Level.WARNING, "no_selector", said)
        yield judge_dmarc(domain, {name: records.of(name) for name in dmarc_names(domain)})
    except DripiqError as error:
        yield Finding("DNS", Level.FAULT, error.error_code, error.message)


def _taken_in(texts: Iterable[str], records: "TextRecords") -> dict[str, list[str]]:
    """The TXT records of all names that an SPF record takes in, and theirs."""
    found: dict[str, list[str]] = {}
    open_names = [name for text in spf_of(list(texts)) for name in spf_targets(text)]
    while open_names and len(found) < _MOST_NAMES:
        name = open_names.pop()
        if name not in found:
            found[name] = list(records.of(name))
            open_names += [target for text in spf_of(found[name]) for target in spf_targets(text)]
    return found


def _over_sendgrid(settings: "Settings") -> bool:
    return "sendgrid" in (settings.email_channel, settings.smtp_provider)


def _source(settings: "Settings") -> str:
    """The SPF term that names who sends, as far as the settings say it."""
    if _over_sendgrid(settings):
        return "include:sendgrid.net"
    return f"a:{settings.smtp_host}" if settings.email_channel == "smtp" and "." in settings.smtp_host else "mx"
