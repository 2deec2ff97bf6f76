"""No query forgets its tenant: a lint over the source, and planted faults that it finds.

What it wants of SQL that names a table with tenants:

- It is bound to one tenant or to a list of them (`:tenant_id`, `:tenant_ids`), unless it is one of the look-ups that find out whose something is.
- Each time it names such a table, it says of which tenant (`alias.tenant_id`, or `tenant_id` where there is no alias).
- It stands in `dripiq.repositories`; elsewhere no SQL names a table, but in what makes and looks after the tables (`schema`, `migrations`, `db`).

And of a query built with SQLAlchemy, that the expression itself says the tenant.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dripiq
from dripiq.schema.security import TENANT_CONTACTS, TENANT_LEADS, protected_tables

SOURCE = Path(dripiq.__file__).parent
SCOPED = {*protected_tables(), TENANT_LEADS.name, TENANT_CONTACTS.name} - {"webhook_quarantine"}
PEOPLE = {"leads", "lead_point_of_contacts"}  # joined to a campaign's keys, they are its tenant's

WHOSE_IS_IT = {
    "FIND_TENANTS_BY_PROVIDER_ID": "an event knows its provider's id before it knows its tenant",
    "FIND_CAMPAIGNS": "a person names a campaign by its id alone",
    "FIND_CONTACT_TENANTS": "a person names a contact by its id alone",
    "FIND_ADDRESS_TENANTS": "a person names a contact by its address alone",
    "FIND_STORED_ADDRESS": "the same; or of one tenant, where it is named",
    "FIND_DUE_TENANTS": "which tenants have work; the claim is then made tenant by tenant",
    "FIND_NEXT_DUE": "when anybody has work next",
    "FIND_EXPIRED_TENANTS": "which tenants have leases to take back",
    "FIND_ORPHANS": "which tenants have messages in doubt",
    "FIND_OLD_DOUBTS": "which tenants' doubts are to be settled",
    "FIND_TROUBLED_TENANTS": "which tenants' senders bounce or are complained of; what to do is then asked tenant by tenant",
    "FIND_HOLDING_TENANTS": "which tenants hold sends for a paused sender; what is held is then asked tenant by tenant",
    "FIND_MAILBOX_TENANTS": "which tenants have mailboxes to read; these are then claimed tenant by tenant",
    "FIND_FAILING_MAILBOXES": "which mailboxes were not read, for who looks after the installation",
    "FIND_VARIABLES": "which variables of the workers senders' accounts name, for the same",
    "FIND_IDLE_TENANTS": "whose buckets are to be pruned, tenant by tenant",
    "FIND_PAUSED_TENANTS": "whose sending is switched off, for the list of all tenants",
    "FIND_RECEIVED_TENANTS": "which tenants have webhooks to read",
    "FIND_UNREAD_TENANTS": "which tenants have mail to read",
    "FIND_TENANTS_BY_RECIPIENT": "a mail names the address of ours that it was sent to, and no tenant",
    "FIND_TENANTS_BY_ANSWERED": "and the mail that it answers",
    "FIND_TENANTS_BY_WRITER": "a text names the two numbers, and no tenant",
}
"""The look-ups that find out whose something is, and why they cannot be told."""

MEASURING = {"repositories/bulk_seed.py", "repositories/bulk_samples.py"}
"""What fills a database of nobody's and measures it; no part of the engine's work."""

MAY_NAME_TABLES = ("repositories/", "migrations/", "schema/", "db/")

STATEMENT = re.compile(r"^\s*(WITH|SELECT|INSERT|UPDATE|DELETE|MERGE|TRUNCATE|COPY)\b.*\bdripiq_app\.", re.DOTALL)
NAMED_TABLE = re.compile(r"\bdripiq_app\.(\w+)(?:\s+AS\s+(\w+))?")
BOUND = re.compile(r":tenant_ids?\b")
BARE_TENANT = re.compile(r"(?<![.:\w])tenant_id\b")
CORE_CALLS = frozenset({"select", "update", "delete", "insert", "exists"})
SAYS_TENANT = re.compile(r"tenant_id|\._mine\b|\._where\(|\.from_statement\(")


def faults_in(source: str, place: str) -> list[str]:
    """What is wrong with the queries of a module, given its path below the package; a sentence each."""
    tree = ast.parse(source)
    found: list[str] = []
    for name, sql in sql_in(tree):
        if not place.startswith(MAY_NAME_TABLES):
            found.append(f"{place}: {name} names a table outside of the repositories")
        elif place.startswith("repositories/"):
            found += [f"{place}: {name} {fault}" for fault in faults_of(name, sql)]
    if place.startswith("repositories/"):
        found += [f"{place}: the query at line {line} does not say its tenant" for line in core_faults(source, tree)]
    return found


def sql_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The strings that are SQL over our tables, each with the name that it is assigned to."""
    assigned: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned |= dict.fromkeys(ast.walk(node.value), node.targets[0].id)
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        sql = text_of(node) if node not in parts else None
        if sql and STATEMENT.search(sql):
            yield assigned.get(node, f"line {getattr(node, 'lineno', 0)}"), sql


def text_of(node: ast.AST) -> str | None:
    """A string as it reads; what is filled in reads as `x`, the schema as itself."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "dripiq_app" if isinstance(node.value, ast.Name) and node.value.id == "SCHEMA" else "x"
    return None


def faults_of(name: str, sql: str) -> Iterator[str]:
    """What is wrong with one statement of a repository."""
    named = [(table, alias) for table, alias in NAMED_TABLE.findall(sql) if table in SCOPED | PEOPLE]
    if name in WHOSE_IS_IT:
        return
    if named and not BOUND.search(sql):
        yield "is bound to no tenant"
    for table, alias in named:
        if table in SCOPED and alias and not re.search(rf"\b{alias}\.tenant_id\b", sql):
            yield f"does not say the tenant of {table} ({alias})"
    if len(BARE_TENANT.findall(sql)) < sum(table in SCOPED and not alias for table, alias in named):
        yield "does not say the tenant of each table"


def core_faults(source: str, tree: ast.Module) -> Iterator[int]:
    """The lines of queries built with SQLAlchemy whose statement does not say a tenant."""
    enclosing: dict[ast.AST, ast.stmt] = {}
    for node in ast.walk(tree):  # outer statements first, so the innermost stays
        if isinstance(node, ast.stmt):
            enclosing |= dict.fromkeys(ast.walk(node), node)
    for node, statement in enclosing.items():
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CORE_CALLS):
            continue
        if not SAYS_TENANT.search(ast.get_source_segment(source, statement) or ""):
            yield node.lineno


MODULES = {place: SOURCE / place for place in sorted(str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*.py"))}


@pytest.mark.parametrize("place", sorted(MODULES.keys() - MEASURING))
def test_no_query_forgets_its_tenant(place: str) -> None:
    assert faults_in(MODULES[place].read_text(encoding="utf-8"), place) == []


def test_every_look_up_that_may_do_without_is_still_there() -> None:
    names = {name for path in MODULES.values() for name, _ in sql_in(ast.parse(path.read_text(encoding="utf-8")))}
    assert WHOSE_IS_IT.keys() - names == set()


PLANTED = {
    "is bound to no tenant": "Q = text('SELECT tenant_id FROM dripiq_app.outbound_messages WHERE id = :id')",
    "of outbound_messages (m)": "Q = text('SELECT FROM dripiq_app.contact_campaigns AS c, dripiq_app.outbound_messages AS m WHERE c.tenant_id = :tenant_id')",
    "of each table": "Q = text('''\n DELETE FROM dripiq_app.contact_campaigns WHERE id = :tenant_id''')",
    "line 1 is bound to no tenant": "connection.execute(text(f'UPDATE {SCHEMA}.tenant_settings SET tenant_id = tenant_id'))",
    "query at line 3": "def f(self):\n    self.tenant_id\n    return select(self.entity).where(self.entity.id == id)",
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str) -> None:
    found = faults_in(PLANTED[fault], "repositories/planted.py")
    assert [fault in sentence for sentence in found] == [True]


def test_sql_outside_of_the_repositories_is_found() -> None:
    good = "Q = text('SELECT FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id')"
    assert faults_in(good, "repositories/x.py") == []
    assert faults_in(good, "engine/x.py") == ["engine/x.py: Q names a table outside of the repositories"]
