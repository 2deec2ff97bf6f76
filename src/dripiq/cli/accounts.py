"""`dripiq senders account`: the mailbox that a sender has of its own."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dripiq.cli.opening import open_transaction
from dripiq.cli.output import JsonOption, TenantOption, say, show_json, show_table
from dripiq.domain.errors import NotFoundError

if TYPE_CHECKING:
    from dripiq.domain.accounts import MailServer

app = typer.Typer(help="Accounts: the mail servers that a sender has of its own.", no_args_is_help=True)

SenderArgument = Annotated[str, typer.Argument(metavar="SENDER", help="The sender: its id or address.")]
SECURITY = "starttls, tls or none."
REFERENCE = "Where the password lies: env:NAME or file:PATH, as the workers read it."


@app.command("set")
def set_(
    context: typer.Context,
    sender: SenderArgument,
    tenant: TenantOption,
    smtp_host: Annotated[str, typer.Option("--smtp-host", metavar="HOST", help="The SMTP server.")],
    smtp_port: Annotated[int, typer.Option("--smtp-port", metavar="N", help="Its port.")] = 587,
    smtp_security: Annotated[str, typer.Option("--smtp-security", metavar="HOW", help=SECURITY)] = "starttls",
    smtp_user: Annotated[str | None, typer.Option("--smtp-user", metavar="NAME", help="The user name.")] = None,
    smtp_password: Annotated[str | None, typer.Option("--smtp-password", metavar="WHERE", help=REFERENCE)] = None,
    imap_host: Annotated[
        str | None, typer.Option("--imap-host", metavar="HOST", help="The IMAP server that replies come to.")
    ] = None,
    imap_port: Annotated[int, typer.Option("--imap-port", metavar="N", help="Its port.")] = 993,
    imap_security: Annotated[str, typer.Option("--imap-security", metavar="HOW", help=SECURITY)] = "tls",
    imap_user: Annotated[
        str | None, typer.Option("--imap-user", metavar="NAME", help="The user name. [default: that of SMTP]")
    ] = None,
    imap_password: Annotated[
        str | None, typer.Option("--imap-password", metavar="WHERE", help="As --smtp-password. [default: that of SMTP]")
    ] = None,
    imap_folder: Annotated[str, typer.Option("--imap-folder", metavar="NAME", help="The folder.")] = "INBOX",
    as_json: JsonOption = False,
) -> None:
    """Give a sender an account of its own, in the place of the one it has: its mail leaves over it from now on, its replies are read there.

    Passwords are named, not given: a worker reads them when it connects.
    """
    from dripiq.domain.accounts import MailServer
    from dripiq.engine.give_account import give_account
    from dripiq.engine.register import find_tenant

    smtp = MailServer(smtp_host, smtp_port, smtp_security, smtp_user, smtp_password)
    imap = None
    if imap_host is None and any(_was_given(context, name) for name in context.params if name.startswith("imap_")):
        raise typer.BadParameter(
            "Without a host no replies are read: name it, or leave the other --imap options out.",
            param_hint="--imap-host",
        )
    if imap_host is not None:
        login = (imap_user or smtp_user, imap_password or smtp_password)
        imap = (MailServer(imap_host, imap_port, imap_security, *login), imap_folder)
    with open_transaction() as (connection, now):
        address = give_account(connection, find_tenant(connection, tenant).id, sender, smtp, imap, now=now)
    if as_json:
        show_json({"sender": address, "account": _account(smtp, imap)})
    else:
        replies = f"; replies are read from {imap_host}:{imap_port}, {imap_folder}" if imap is not None else ""
        say(f"The mail of {address} leaves over {smtp_host}:{smtp_port}{replies}.")


@app.command()
def show(sender: SenderArgument, tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Show a sender's account (of passwords, where they lie), when its mailbox was read, and why not where that failed."""
    from dripiq.domain.accounts import MailServer
    from dripiq.engine.pause_sender import find_address
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.sender_accounts import read_account

    with open_transaction() as (connection, _):
        owner = find_tenant(connection, tenant)
        sender_id, address = find_address(connection, owner.id, sender)
        row = read_account(connection, owner.id, sender_id)
    if row is None:
        raise NotFoundError(
            f"{address} has no account of its own: `dripiq senders account set` gives it one.",
            code="no_account",
            facts={"sender": address},
        )
    smtp = MailServer(row.smtp_host, row.smtp_port, row.smtp_security, row.smtp_username, row.smtp_secret)
    imap = None
    if row.imap_host is not None:
        server = MailServer(row.imap_host, row.imap_port, row.imap_security, row.imap_username, row.imap_secret)
        imap = (server, row.imap_folder)
    shown = _account(smtp, imap)
    if imap is not None:
        state = {"read_at": row.imap_read_at, "next_read_at": row.imap_due_at}
        shown["imap"] |= {**state, "failures": row.imap_failures, "error": row.imap_error}
    if as_json:
        show_json({"sender": address, "account": shown})
        return
    rows = [{"for": name, **part} for name, part in shown.items() if part is not None]
    columns = ("for", "host", "port", "security", "user", "password", "folder", "read_at", "next_read_at", "error")
    show_table(rows, columns, title=f"Account of {address}")


@app.command()
def remove(sender: SenderArgument, tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Take a sender's account away: its mail leaves as the others' again."""
    from dripiq.engine.give_account import take_account
    from dripiq.engine.register import find_tenant

    with open_transaction() as (connection, _):
        address = take_account(connection, find_tenant(connection, tenant).id, sender)
    if as_json:
        show_json({"sender": address, "account": None})
    else:
        say(f"{address} has no account of its own any more.")


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _account(smtp: "MailServer", imap: "tuple[MailServer, str] | None") -> dict[str, Any]:
    inbox = None if imap is None else {**_server(imap[0]), "folder": imap[1]}
    return {"smtp": _server(smtp), "imap": inbox}


def _server(server: "MailServer") -> dict[str, Any]:
    login = {"user": server.username, "password": server.secret}
    return {"host": server.host, "port": server.port, "security": server.security, **login}
