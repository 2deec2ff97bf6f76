"""`dripiq senders`: the addresses that a tenant sends from."""

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dripiq.cli import accounts
from dripiq.cli.opening import open_sending, open_transaction
from dripiq.cli.output import JsonOption, TenantOption, say, show_json, show_table
from dripiq.domain.errors import ConfigurationError, DripiqError

if TYPE_CHECKING:
    from pathlib import Path

    from dripiq.channels.base import Outcome, OutgoingMessage
    from dripiq.config.settings import Settings
    from dripiq.domain.accounts import Account
    from dripiq.domain.sender_health import Rates
    from dripiq.schema import EmailSenderIdentity

app = typer.Typer(help="Senders: the addresses that a tenant sends from.", no_args_is_help=True)
app.add_typer(accounts.app, name="account")

SHORTEST_SECRET = 32

SenderArgument = Annotated[str, typer.Argument(metavar="SENDER", help="The sender: its id or address.")]


@app.command()
def add(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address.")],
    tenant: TenantOption,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What recipients see. [default: the part before the @]")
    ] = None,
    reply_to: Annotated[str | None, typer.Option("--reply-to", metavar="EMAIL", help="Where answers go.")] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            metavar="USER",
            help="Whose it is, by id or address. [default: the user of that address, made if absent]",
        ),
    ] = None,
    verified: Annotated[
        bool,
        typer.Option(
            "--verified", help="You answer for it that the address may be sent from; also for one that exists."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a sender. The tenant's first is its default; nothing leaves from one that is not verified."""
    from dripiq.engine.register import find_tenant, register_sender

    with open_transaction() as (connection, now):
        owner = find_tenant(connection, tenant)
        sender = register_sender(
            connection, owner.id, email, now=now, name=name, reply_to=reply_to, user=user, verified=verified
        )
    if as_json:
        show_json({"sender": _sender(sender)})
    else:
        say(
            f"{sender.from_name} <{sender.from_email}> is a sender of {owner.name}: {sender.validation_status}"
            + (", the default" if sender.is_default else "")
        )


@app.command()
def verify(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The sender's address.")],
    tenant: TenantOption,
    code: Annotated[
        str | None, typer.Option("--code", metavar="CODE", help="The code from the mail. [default: mail one]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Mail a code to a sender's address; with --code, verify the sender by it. A code is good for an hour."""
    from dripiq.config.environment import load_settings
    from dripiq.engine.register import find_tenant
    from dripiq.engine.verify_sender import ask, confirm, read_own_account

    settings = load_settings()
    secret = settings.secret.get_secret_value() if settings.secret is not None else ""
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"The codes are signed with DRIPIQ_SECRET: set it, to {SHORTEST_SECRET} characters or more.",
            code="no_secret",
        )
    with open_transaction() as (connection, now):
        owner = find_tenant(connection, tenant)
        mail = ask(connection, owner.id, email, secret, now) if code is None else None
        address = confirm(connection, owner.id, email, code, secret, now) if code is not None else ""
        account = read_own_account(connection, owner.id, email)
    if mail is not None:
        address = mail.to_address
        file = _hand_over(settings, mail, account)
    if mail is None:
        done, said = {"status": "verified"}, f"{address} is verified."
    elif file is None:
        done, said = {"status": "code_mailed"}, f"A code was mailed to {address}, good for an hour."
    else:
        done = {"status": "code_written", "file": str(file)}
        said = f"E-mail goes into a folder here, so nothing was mailed: the code, good for an hour, is in {file}."
    if as_json:
        show_json({"sender": address, **done})
    else:
        say(
            said
            if mail is None
            else f"{said} Then: dripiq senders verify {address} --tenant {quote(tenant)} --code CODE"
        )


def _hand_over(settings: "Settings", mail: "OutgoingMessage", account: "Account | None") -> "Path | None":
    """Send the mail; where mail goes into a folder, the file that it is in."""
    import asyncio

    from dripiq.channels.base import Verdict
    from dripiq.wiring import file_of, make_account_sender, make_email_sender

    async def send() -> "Outcome":
        own = account if settings.email_channel != "folder" else None
        sender = make_account_sender(settings, own) if own is not None else make_email_sender(settings)
        try:
            (outcome,) = await sender.send([mail])
        finally:
            await sender.close()
        return outcome

    outcome = asyncio.run(send())
    if outcome.verdict is not Verdict.ACCEPTED:
        said = " ".join(filter(None, (outcome.code, outcome.detail)))
        raise DripiqError(
            f"The code could not be mailed to {mail.to_address} ({outcome.verdict}: {said}). Put that right, and ask again in a minute.",
            code="code_not_mailed",
            facts={"verdict": str(outcome.verdict), "code": outcome.code},
        )
    return file_of(settings, mail, outcome)


@app.command("list")
def list_(tenant: TenantOption, as_json: JsonOption = False) -> None:
    """List a tenant's senders: who may send, who is paused and why, whose own mailbox is not read and why, and how many mails bounced or were complained of."""
    from sqlalchemy.orm import Session

    from dripiq.config.environment import load_settings
    from dripiq.db.session import as_tenant
    from dripiq.domain.sender_health import Rates
    from dripiq.engine.register import find_tenant
    from dripiq.repositories import EmailSenderIdentityRepository
    from dripiq.repositories.mailboxes import read_mailbox_errors
    from dripiq.repositories.senders import read_rates
    from dripiq.wiring import tolerance_of

    tolerance = tolerance_of(load_settings())
    with open_transaction() as (connection, now):
        owner = find_tenant(connection, tenant)
        with as_tenant(connection, owner.id), Session(connection) as session:
            found = EmailSenderIdentityRepository(session, owner.id).list(limit=1000)
            rates = read_rates(connection, owner.id, tolerance, now)
            unread = read_mailbox_errors(connection, owner.id)
            senders = [
                _sender(sender)
                | _standing(sender, rates.get(sender.id, Rates(0, 0, 0)))
                | {"mailbox_error": unread.get(sender.id)}
                for sender in found.items
            ]
    senders.sort(key=lambda sender: str(sender["email"]))
    if as_json:
        show_json({"senders": senders, "window_days": tolerance.window.total_seconds() / 86_400})
        return
    rows = [
        {
            **sender,
            "state": "paused" if sender["paused_at"] else sender["status"],
            "bounced": f"{sender['bounced']} ({sender['bounce_rate']:.1%})",
            "complained": f"{sender['complained']} ({sender['complaint_rate']:.2%})",
            "why": "; ".join(filter(None, (sender["pause_note"] or sender["pause_reason"], sender["mailbox_error"]))),
        }
        for sender in senders
    ]
    columns = ("id", "email", "name", "state", "default", "weight", "reply_to", "sent", "bounced", "complained", "why")
    show_table(rows, columns, title=f"Senders (rates of the last {tolerance.window.total_seconds() / 86_400:g} days)")


@app.command()
def pause(
    sender: SenderArgument,
    tenant: TenantOption,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why; shown by list.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Let nothing more leave from a sender: what it would send is held until it is resumed."""
    from dripiq.engine.pause_sender import pause_sender

    with open_sending(tenant) as (connection, tenant_id):
        address = pause_sender(connection, tenant_id, sender, note=note)
    if as_json:
        show_json({"sender": address, "state": "paused"})
    else:
        say(
            f"{address} is paused: what it would send is held. dripiq senders resume {address} --tenant {quote(tenant)} lets it send again."
        )


@app.command()
def resume(sender: SenderArgument, tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Let a paused sender send again, and what was held for it. Its rates begin anew: what paused it does not pause it again."""
    from dripiq.engine.pause_sender import resume_sender

    with open_sending(tenant) as (connection, tenant_id):
        address, released = resume_sender(connection, tenant_id, sender)
    if as_json:
        show_json({"sender": address, "state": "sending", "released": released})
    else:
        say(f"{address} sends again; messages released: {released}")


@app.command()
def weigh(
    sender: SenderArgument,
    weight: Annotated[
        int, typer.Argument(metavar="WEIGHT", help="0 to 1000; 2 is twice as often as 1; with 0 it gets nobody new.")
    ],
    tenant: TenantOption,
    as_json: JsonOption = False,
) -> None:
    """Say how often a sender has its turn beside the tenant's others (1 each where nothing is said); holds for who is enrolled from now on."""
    from dripiq.engine.pause_sender import weigh_sender
    from dripiq.engine.register import find_tenant

    with open_transaction() as (connection, now):
        address = weigh_sender(connection, find_tenant(connection, tenant).id, sender, weight, now=now)
    if as_json:
        show_json({"sender": address, "weight": weight})
    else:
        say(f"{address} has the weight {weight}.")


def _sender(sender: "EmailSenderIdentity") -> dict[str, Any]:
    return {
        "id": sender.id,
        "email": sender.from_email,
        "name": sender.from_name,
        "reply_to": sender.reply_to,
        "status": str(sender.validation_status),
        "default": sender.is_default,
        "user_id": sender.user_id,
    }


def _standing(sender: "EmailSenderIdentity", rates: "Rates") -> dict[str, Any]:
    return {
        "weight": 1 if sender.rotation_weight is None else sender.rotation_weight,
        "paused_at": sender.paused_at,
        "pause_reason": sender.pause_reason,
        "pause_note": sender.pause_note,
        "sent": rates.sent,
        "bounced": rates.bounced,
        "bounce_rate": round(rates.bounce_rate, 5),
        "complained": rates.complained,
        "complaint_rate": round(rates.complaint_rate, 5),
    }
