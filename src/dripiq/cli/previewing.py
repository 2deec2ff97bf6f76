"""`dripiq campaign preview`: what would each contact get, and when, before anything is activated?

A page of contacts at a time, printed as it comes: memory does not grow with their number.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dripiq.cli.contacts import read_contacts, refuse_bad_rows
from dripiq.cli.opening import open_database
from dripiq.cli.output import JsonOption, many, note, progress, say
from dripiq.cli.plan_file import checked_plan
from dripiq.domain.assumptions import Assumption

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dripiq.domain.contact_file import ContactRow
    from dripiq.domain.plan.model import Plan
    from dripiq.engine.preview import GivenSender, Person, PreviewedContact, PreviewedMessage

PAGE = 500
SHOWN = 20
"""Contacts shown to people; --json has all."""

LINES = 3
"""Lines of a message shown without --full."""


def preview(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan, a JSON file; - reads stdin.")],
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant", metavar="TENANT", help="The tenant: its id or exact name. Without one, no database is asked."
        ),
    ] = None,
    contacts: Annotated[
        str,
        typer.Option("--contacts", metavar="all|CSV", help="All of the tenant's contacts, or a CSV file of people."),
    ] = "all",
    sender: Annotated[
        str | None,
        typer.Option(
            "--sender",
            metavar="EMAIL",
            help='The sender; without a tenant, "Name <a@example.com>". [default: the tenant\'s verified senders take turns by weight]',
        ),
    ] = None,
    assume: Annotated[
        Assumption, typer.Option("--assume", help="What every contact does, an hour after each message.")
    ] = Assumption.SILENCE,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=0, help="Contacts shown; all are checked. [default: 20; with --json all]"),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show whole messages, not their first lines.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Preview a campaign: what each contact would get and when, if it were started now. Writes nothing.

    Says who would not get it, and why. Exit code 1 where a message cannot be rendered for somebody.
    """
    from dripiq.domain.plan.parse import parse_plan

    parsed = parse_plan(checked_plan(plan, quiet=as_json))
    show = _Report(parsed, assume, limit if limit is not None else None if as_json else SHOWN, full, as_json)
    if tenant is None:
        _of_file(parsed, contacts, sender, show)
    else:
        _of_tenant(parsed, tenant, contacts, sender, show)
    if show.errors:
        raise typer.Exit(1)


def _of_file(plan: "Plan", contacts: str, sender: str | None, show: "_Report") -> None:
    from datetime import UTC

    from dripiq.engine.preview import people_of_file

    if contacts == "all":
        raise typer.BadParameter("Name a tenant, or a CSV file of people.", param_hint="--tenant or --contacts")
    if sender is None:
        raise typer.BadParameter(
            'Say who would send: --sender "Name <a@example.com>", or name a tenant.', param_hint="--sender"
        )
    given = _given_sender(sender)
    rows = _rows(contacts, quiet=show.as_json)
    if not show.as_json:
        note("Ids decide variants and jitter, and an import gives them: both may fall otherwise for each contact.")
    with progress("Previewing", len(rows), quiet=show.as_json) as advance:
        show.all(datetime.now(UTC), None, people_of_file(rows, given), advance)


def _given_sender(text: str) -> "GivenSender":
    from email.utils import parseaddr

    from dripiq.domain.addresses import normalise_email
    from dripiq.engine.preview import GivenSender

    name, address = parseaddr(text)
    address = normalise_email(address or text)
    return GivenSender(address, name or address.partition("@")[0])


def _rows(path: str, *, quiet: bool) -> "Sequence[ContactRow]":
    contents = read_contacts(path)
    refuse_bad_rows(contents, "previewed: mend them", quiet=quiet)
    return contents.rows


def _of_tenant(plan: "Plan", tenant: str, contacts: str, sender: str | None, show: "_Report") -> None:
    from dripiq.db.session import as_tenant, connect
    from dripiq.engine.clock import DatabaseClock
    from dripiq.engine.preview import is_sending_paused, people_of_tenant, sender_named
    from dripiq.engine.register import find_tenant
    from dripiq.repositories.explaining import read_tenant_record

    rows = None if contacts == "all" else _rows(contacts, quiet=show.as_json)
    with open_database() as (_, database), connect(database.engine) as connection:
        owner, now = find_tenant(connection, tenant), DatabaseClock().now(connection)
        record = read_tenant_record(connection, owner.id)
        with as_tenant(connection, owner.id):
            sender_id = sender_named(connection, owner.id, sender) if sender is not None else None
            if is_sending_paused(connection, owner.id):
                note(f"All sending of {owner.name} is switched off: nothing would leave before it is switched on.")
            wanted, unknown = _wanted(connection, owner.id, rows)

            def people() -> "Iterator[Person]":
                for start in range(0, len(wanted), PAGE):
                    page = wanted[start : start + PAGE]
                    yield from people_of_tenant(connection, owner.id, record, plan, page, sender_id, now)
                yield from _strangers(unknown)

            with progress("Previewing", len(wanted) + len(unknown), quiet=show.as_json) as advance:
                show.all(now, {"id": owner.id, "name": owner.name}, people(), advance)


def _wanted(
    connection: "Connection", tenant_id: str, rows: "Sequence[ContactRow] | None"
) -> "tuple[list[tuple[str, int | None]], list[ContactRow]]":
    """Whom it is about: contacts with the lines that name them, and the rows that are nobody's."""
    from dripiq.repositories.campaign_reading import find_contacts
    from dripiq.repositories.enrollment import read_contacts

    wanted: list[tuple[str, int | None]] = []
    if rows is None:
        while page := read_contacts(connection, tenant_id, after=wanted[-1][0] if wanted else "", limit=PAGE):
            wanted += [(contact_id, None) for contact_id in page]
        return wanted, []
    found = find_contacts(connection, tenant_id, [row.email for row in rows])
    for row in rows:
        wanted += [(contact_id, row.line) for contact_id in found.get(row.email, [])]
    return wanted, [row for row in rows if row.email not in found]


def _strangers(rows: "Sequence[ContactRow]") -> "Iterator[Person]":
    from dripiq.engine.preview import Flag, people_of_file

    flag = Flag("unknown_contact", "nobody of the tenant has this address: import them first", is_error=True)
    return people_of_file(rows, None, flag)


@dataclass(slots=True)
class _Report:
    """Prints contacts as they come, and counts all of them."""

    plan: "Plan"
    assumed: Assumption
    limit: int | None
    full: bool
    as_json: bool
    contacts: int = 0
    messages: int = 0
    errors: int = 0
    flags: Counter[str] = field(default_factory=Counter)

    def all(
        self,
        start: datetime,
        tenant: dict[str, str] | None,
        people: "Iterable[Person]",
        advance: Callable[[int], object],
    ) -> None:
        from dripiq.engine.preview import preview as walk_all

        if self.as_json:
            head = {"tenant": tenant, "plan_hash": self.plan.plan_hash, "start": start, "assume": self.assumed}
            _write(_dump(head)[:-1] + ', "contacts": [')
        for contact in walk_all(self.plan, people, start, self.assumed):
            if self.limit is None or self.contacts < self.limit:
                self._show(contact)
            self._count(contact)
            advance(1)
        summary = {"contacts": self.contacts, "messages": self.messages, "errors": self.errors, "flags": self.flags}
        if self.as_json:
            _write(f'], "summary": {_dump(summary)}}}\n')
            return
        if self.limit is not None and self.contacts > self.limit:
            say(f"… and {many(self.contacts - self.limit, 'more contact')} (--limit shows more, --json all)")
        say(f"Contacts: {self.contacts}; messages that they would get, assuming {self.assumed}: {self.messages}")
        for code, count in self.flags.most_common():
            say(f"{code}: {count} of {self.contacts}")

    def _count(self, contact: "PreviewedContact") -> None:
        self.contacts += 1
        self.messages += sum(message.text is not None for message in contact.messages)
        self.errors += any(flag.is_error for flag in contact.flags)
        self.flags.update({flag.code for flag in contact.flags})

    def _show(self, contact: "PreviewedContact") -> None:
        from dataclasses import asdict

        if self.as_json:
            _write((", " if self.contacts else "") + _dump(asdict(contact)))
            return
        from dripiq.domain.wording import clock_of

        clock = clock_of(contact.timezone)
        where = f"line {contact.line}: " if contact.line is not None else ""
        say(f"{where}{contact.name or 'Somebody'} <{contact.email or 'no address'}>")
        for number, message in enumerate(contact.messages, 1):
            self._show_message(number, message, clock)
        for flag in contact.flags:
            of_node = f" ({flag.node_id})" if flag.node_id is not None else ""
            say(f"  ! {flag.code}{of_node}: {flag.message}")
        say("")

    def _show_message(self, number: int, message: "PreviewedMessage", clock: Callable[[datetime], str]) -> None:
        variant = f", variant {message.variant}" if message.variant is not None else ""
        say(f"  {number}. {clock(message.at)}  {message.node_id}{variant}  {message.subject or ''}".rstrip())
        say(f"     from {message.from_address}" + (f" ({message.sender_reason})" if message.sender_reason else ""))
        lines = [line for line in (message.text or "").splitlines() if self.full or line.strip()]
        for line in lines if self.full else lines[:LINES]:
            say(f"     {line}".rstrip())
        if not self.full and len(lines) > LINES:
            say("     …")


def _dump(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _write(text: str) -> None:
    import sys

    sys.stdout.write(text)
