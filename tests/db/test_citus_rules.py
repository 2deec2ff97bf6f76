"""Does every statement keep to what a sharded cluster takes? The rules that a machine can check; `docs/citus.md` has them all, with their reasons."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from sqlalchemy import TextClause

from dripiq import repositories
from dripiq.schema import Base
from dripiq.schema.hosts import Lead, LeadPointOfContact, Tenant, User

MEASURING = ("bulk_seed", "bulk_samples")
WITHOUT_TENANT = {host.__tablename__ for host in (Tenant, User, Lead, LeadPointOfContact)} | {"webhook_quarantine"}
DOCUMENT = Path(__file__).parents[2] / "docs" / "citus.md"


def statements() -> dict[str, str]:
    """Every SQL constant of the repositories by module and name."""
    found: dict[str, str] = {}
    for module in iter_modules(repositories.__path__):
        if module.name not in MEASURING:
            constants = vars(import_module(f"{repositories.__name__}.{module.name}"))
            found |= {
                f"{module.name}.{name}": value.text
                for name, value in constants.items()
                if isinstance(value, TextClause)
            }
    return found


def faults_of(sql: str) -> list[str]:
    """Which rules a statement breaks."""
    faults = []
    if re.search(r"\bMERGE\b", sql, re.IGNORECASE):
        faults.append("MERGE")
    if re.search(r"\bclock_timestamp\s*\(|\bstatement_timestamp\s*\(", sql):
        faults.append("the clock is read")
    if re.search(r"DO UPDATE\b.*\bnow\s*\(", sql, re.DOTALL):
        faults.append("now() in DO UPDATE")
    if re.search(r"DO UPDATE\s+SET\b(?:(?!\bWHERE\b|\bRETURNING\b).)*:now", sql, re.DOTALL):
        faults.append("DO UPDATE takes the time from elsewhere than excluded")
    if re.search(r"\bSET\b(?:(?!\bWHERE\b|\bFROM\b).)*\btenant_id\s*=", sql, re.DOTALL):
        faults.append("tenant_id is updated")
    for target in re.findall(r"ON CONFLICT \(([^)]*)\)", sql):
        written = re.search(r"INSERT INTO dripiq_app\.(\w+)", sql)
        if "tenant_id" not in target and written and written[1] not in WITHOUT_TENANT:
            faults.append("ON CONFLICT without the tenant")
    if "SKIP LOCKED" in sql:
        inner = re.search(r"\(([^()]*(?:\([^()]*\)[^()]*)*SKIP LOCKED)", sql)
        outer = sql.replace(inner[1], "") if inner else sql
        if not (inner and all(re.search(r"\btenant_id = :tenant_id\b", level) for level in (inner[1], outer))):
            faults.append("SKIP LOCKED without the tenant at both levels")
    return faults


STATEMENTS = statements()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_keeps_to_what_a_sharded_cluster_takes(name: str) -> None:
    assert faults_of(STATEMENTS[name]) == []


@pytest.mark.parametrize(
    "sql",
    [
        "MERGE INTO dripiq_app.leads USING x ON true WHEN MATCHED THEN DELETE",
        "UPDATE dripiq_app.scheduled_actions SET updated_at = clock_timestamp() WHERE tenant_id = :tenant_id",
        "UPDATE dripiq_app.scheduled_actions SET status = 'x', tenant_id = :tenant_id WHERE id = :id",
        "INSERT INTO dripiq_app.tenant_settings (id) VALUES (:id) ON CONFLICT (tenant_id) DO UPDATE SET updated_at = now()",
        "INSERT INTO dripiq_app.tenant_settings (id) VALUES (:id) ON CONFLICT (tenant_id) DO UPDATE SET updated_at = :now",
        "INSERT INTO dripiq_app.scheduled_actions (id) VALUES (:id) ON CONFLICT (dedupe_key) DO NOTHING",
        "UPDATE dripiq_app.scheduled_actions SET a = 1 WHERE id IN (SELECT id FROM t WHERE tenant_id = :tenant_id FOR UPDATE SKIP LOCKED)",
        "UPDATE dripiq_app.scheduled_actions SET a = 1 WHERE tenant_id = :tenant_id AND id IN (SELECT id FROM t FOR UPDATE SKIP LOCKED)",
    ],
)
def test_a_planted_fault_is_found(sql: str) -> None:
    assert faults_of(sql) != []


def test_every_key_holds_its_tenant() -> None:
    lacking = [
        str(constraint.name)
        for table in Base.metadata.sorted_tables
        if table.name not in WITHOUT_TENANT
        for constraint in table.constraints
        if type(constraint).__name__ in ("PrimaryKeyConstraint", "UniqueConstraint")
        and "tenant_id" not in constraint.columns  # type: ignore[attr-defined]  # both have columns
    ]
    assert lacking == []


def test_every_statement_is_in_the_document_under_its_module() -> None:
    listed = set()
    for row in re.findall(r"^\| (`\w+`: .*?) \|", DOCUMENT.read_text(), re.MULTILINE):
        for part in row.split("; "):
            module, _, names = part.partition(": ")
            listed |= {f"{module.strip('`')}.{name}" for name in names.split(", ")}
    assert listed == set(STATEMENTS)
