"""Has everybody on the list what the templates of a plan ask for?

Each template is rendered for each person, exactly as it will be sent, so what is guarded or defaulted is not asked for. What a person lacks would hold
their message; said here before anything runs, with counts. The values of sender, tenant and links are not the list's, and are taken as given.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dripiq.domain.contact_file import ContactFile, ContactRow
from dripiq.domain.plan.faults import Fault, FaultCode, Hints, quoted
from dripiq.domain.plan.model import Plan
from dripiq.domain.templates import Compiled, MissingVariable, TemplateError, compiled

_PARTS: Final = ("subject", "body", "html")
_GIVEN: Final = "…"
_SENDER: Final = {"email": _GIVEN, "name": _GIVEN}


class _Anything(dict[str, object]):
    """A record that nothing is known of: it has whatever it is asked for."""

    def __missing__(self, key: str) -> object:
        return _GIVEN


@dataclass(frozen=True, slots=True)
class Listed:
    """Somebody on a list: where they stand (`line 17`, an address), and the records that templates call `contact` and `lead`."""

    where: str
    contact: Mapping[str, Any]
    lead: Mapping[str, Any]


@dataclass(slots=True)
class _Lack:
    """What a template lacks for some: how many, and the first of them."""

    count: int
    first: str


@dataclass(slots=True)
class _Use:
    """One template of a plan, where it stands, and what it was found to lack, by variable; by sentence, where it cannot be rendered."""

    path: str
    template: Compiled
    missing: dict[str, _Lack] = field(default_factory=dict)
    failed: dict[str, _Lack] = field(default_factory=dict)

    def look(self, person: Listed, context: Mapping[str, object]) -> None:
        try:
            self.template.render(context)
        except MissingVariable as error:
            # Without conditions, all that the template needs is asked for; with them, only what it stopped at is known to be.
            names = [error.variable]
            if self.template.is_plain:
                names = sorted(name for name in self.template.variables if _lacks(context, name))
            for name in names:
                _count(self.missing, name, person)
        except TemplateError as error:
            _count(self.failed, error.message, person)


def variable_faults(plan: Plan, people: Iterable[Listed], ignored: Iterable[str] = ()) -> list[Fault]:
    """What templates ask for without a default and people on the list lack, in the order of the document; nothing for an empty list.

    Args:
        plan: verified.
        people: read once, one at a time.
        ignored: columns that the list has and no contact gets.
    """
    uses = list(_uses(plan))
    known: dict[str, set[str]] = {"contact": set(), "lead": set(), "sender": set(_SENDER)}
    total = 0
    for person in people:
        total += 1
        known["contact"].update(person.contact)
        known["lead"].update(person.lead)
        context = {
            "contact": person.contact,
            "lead": person.lead,
            "sender": _SENDER,
            "tenant": _Anything(),
            "unsubscribe_url": "https://example.com/",
        }
        for use in uses:
            use.look(person, context)
    hints, unused = Hints(), {_plain(header): header for header in ignored}
    return [fault for use in uses for fault in _faults(use, total, known, unused, hints)]


def listed(rows: Iterable[ContactRow]) -> Iterator[Listed]:
    """The rows of a contact file, by their addresses, with the records that an import makes of them."""
    for row in rows:
        made = {"id": _GIVEN, "tenant_id": _GIVEN, "created_at": _GIVEN, "updated_at": _GIVEN}
        contact = {
            "email": row.email,
            "name": row.name,
            "timezone": row.timezone,
            "external_ref": row.external_ref,
            "lead_id": _GIVEN,
        }
        yield Listed(row.email, contact | made, {"name": row.company} | made)


def people_of(contents: ContactFile) -> Iterator[Listed]:
    """The good rows of a contact file, by their lines."""
    for row, person in zip(contents.rows, listed(contents.rows), strict=True):
        yield replace(person, where=f"line {row.line}")


def _uses(plan: Plan) -> Iterator[_Use]:
    """The templates of a plan; one that all variants of a node have in common is the node's."""
    for index, node in enumerate(plan.nodes.values()):
        for part in _PARTS:
            templates = [getattr(content, part) for content in node.contents]
            shared = len(set(templates)) == 1
            for number, template in enumerate(templates[:1] if shared else templates):
                if template is not None:
                    path = f"$.nodes[{index}]" if shared else f"$.nodes[{index}].variants[{number}]"
                    yield _Use(f"{path}.{part}", compiled(template, html=part == "html"))


def _faults(
    use: _Use, total: int, known: Mapping[str, set[str]], unused: Mapping[str, str], hints: Hints
) -> Iterator[Fault]:
    for name, lack in use.missing.items():
        root, _, field_name = name.partition(".")
        top = field_name.partition(".")[0]
        if root in known and top not in known[root]:
            yield Fault(use.path, FaultCode.UNKNOWN_VARIABLE, _unknown(name, known[root], unused, hints))
        else:
            message = (
                f"{name} is missing for {lack.count} of {total}; first: {lack.first}. "
                f'Supply it, or write {{{{ {name} | default: "…" }}}}.'
            )
            yield Fault(use.path, FaultCode.MISSING_VARIABLE, message)
    for sentence, lack in use.failed.items():
        message = f"{sentence} So it is for {lack.count} of {total}; first: {lack.first}."
        yield Fault(use.path, FaultCode.TEMPLATE_FAILED, message)


def _unknown(name: str, fields: set[str], unused: Mapping[str, str], hints: Hints) -> str:
    root, _, field_name = name.partition(".")
    header = unused.get(_plain(field_name)) if root == "contact" else None
    if header is not None:
        return f"No contact has {name}: the column {quoted(header)} is not imported. Write one of {', '.join(sorted(fields))}."
    near = hints.near(name, sorted(f"{root}.{each}" for each in fields))
    return f"No {root} has {name}{near}: write one of {', '.join(sorted(fields))}."


def _count(lacks: dict[str, _Lack], name: str, person: Listed) -> None:
    lacks.setdefault(name, _Lack(0, person.where)).count += 1


def _lacks(context: Mapping[str, object], name: str) -> bool:
    value: object = context
    for key in name.split("."):
        if not isinstance(value, Mapping):
            return True
        try:
            value = value[key]
        except KeyError:
            return True
    return value is None or value == ""


def _plain(header: str) -> str:
    return "".join(letter for letter in header.casefold() if letter.isalnum())
