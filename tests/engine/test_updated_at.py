"""`updated_at` moves with every writer in the code base.

The writers are found: every SQL text in the source that updates rows, or inserts them and meets others. Each must set the column (read from its text), and
each must move it (a trigger on every table watches while the engine goes through all it does). A new writer that forgets either fails here.
"""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, TextClause

import dripiq
from dripiq import repositories
from dripiq.channels.base import Outcome, OutgoingMessage, Verdict
from dripiq.domain.accounts import MailServer
from dripiq.domain.contact_file import ContactRow
from dripiq.domain.limits import Period
from dripiq.domain.states import Channel, LimitScope, Resolution, SuppressionScope, SuppressionSource, SuppressionType
from dripiq.engine.claim import Share, claim
from dripiq.engine.dispatch.prepare import prepare
from dripiq.engine.enroll import enroll
from dripiq.engine.give_account import give_account
from dripiq.engine.import_contacts import import_contacts
from dripiq.engine.limit import set_limit
from dripiq.engine.pause_sender import pause_sender, resume_sender, weigh_sender
from dripiq.engine.replan import replan
from dripiq.engine.resolve import resolve, settle
from dripiq.engine.steer import pause_sending, resume_sending, stop
from dripiq.engine.suppress import suppress
from dripiq.engine.upkeep import expire
from dripiq.engine.verify_sender import ask, confirm
from dripiq.repositories.lifting import Lift, lift_suppressions
from dripiq.repositories.mailboxes import Reading, claim_mailboxes, record_readings
from dripiq.repositories.outbox import commit_to_send
from dripiq.repositories.suppressing import end_suppressions
from dripiq.schema.security import protected_tables
from tests.engine.conftest import ONE_MAIL, HandClock, World, email_plan

SOURCE = Path(dripiq.__file__).parent
UPDATE = re.compile(
    r"\bUPDATE\s+(?:dripiq_app\.\w+(?:\s+AS\s+\w+)?\s+)?SET\s+(.*?)(?=\bWHERE\b|\bFROM\b|\bRETURNING\b|$)", re.DOTALL
)
"""An UPDATE or the DO UPDATE of an upsert, and what it sets (up to the first FROM, also one within a value: `updated_at` comes before)."""
MOVES = re.compile(r"\bupdated_at\s*=\s*(?::now\b|excluded\.updated_at\b)")


def statements() -> dict[str, str]:
    """Every statement of the repositories by its name, as `module.NAME`."""
    found = {}
    for module in pkgutil.iter_modules(repositories.__path__):
        for name, value in vars(importlib.import_module(f"{repositories.__name__}.{module.name}")).items():
            if isinstance(value, TextClause):
                found[f"{module.name}.{name}"] = str(value)
    return found


def writers() -> dict[str, str]:
    """Those that change rows."""
    return {name: sql for name, sql in statements().items() if UPDATE.search(sql)}


def texts_in_source() -> Iterator[tuple[str, str]]:
    """Every string of the source that is no documentation, but for the migrations'."""
    for path in sorted(SOURCE.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        documented = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documented:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node.value


@pytest.mark.parametrize("name", sorted(writers()))
def test_every_statement_that_changes_rows_sets_updated_at(name: str) -> None:
    changes = UPDATE.findall(writers()[name])
    assert changes
    for change in changes:
        assert MOVES.search(change), change


def test_rows_are_changed_by_no_statement_but_the_named_ones_of_the_repositories() -> None:
    known = set(writers().values())
    strays = [
        place
        for place, sql in texts_in_source()
        if re.search(r"\bUPDATE\b.*\bSET\b", sql, re.DOTALL) and sql not in known
    ]
    assert strays == []


def test_only_the_repositories_one_update_is_built_by_sqlalchemy() -> None:
    """It sets `updated_at` itself (tests/db/test_repositories.py)."""
    builders = [
        str(path.relative_to(SOURCE))
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        if "update" in {name.name for name in node.names}
    ]
    assert builders == ["repositories/base.py"]


@pytest.mark.parametrize(
    "forgetful",
    [
        "UPDATE dripiq_app.scheduled_actions SET status = 'held' WHERE tenant_id = :tenant_id AND updated_at = :now",
        "UPDATE dripiq_app.scheduled_actions AS action SET status = new.status FROM unnest(:a) AS new (status, updated_at)",
        "INSERT INTO dripiq_app.t (updated_at) VALUES (:now) ON CONFLICT (tenant_id) DO UPDATE SET a = excluded.a",
    ],
)
def test_a_statement_that_forgets_it_would_be_found(forgetful: str) -> None:
    (change,) = UPDATE.findall(forgetful)
    assert not MOVES.search(change)


# What a transaction wrote a moment ago it may write again at that same moment: enrolment makes a draft and starts it.
WATCH = """
CREATE TABLE public.changes (query text, moved boolean);
CREATE FUNCTION public.watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    fresh boolean;
BEGIN
    EXECUTE 'SELECT xmin = pg_current_xact_id()::xid FROM ' || TG_RELID::regclass || ' WHERE tenant_id = $1 AND id = $2'
        INTO fresh USING OLD.tenant_id, OLD.id;
    INSERT INTO public.changes VALUES (current_query(), NEW.updated_at > OLD.updated_at OR (fresh AND NEW.updated_at = OLD.updated_at));
    RETURN NEW;
END $$;
"""


@dataclass
class TickingClock(HandClock):
    """A clock that goes on whenever it is looked at, as clocks do."""

    def now(self, connection: Connection) -> datetime:
        self.pass_(milliseconds=1)
        return self.time


class ScriptedSender:
    """Sends nothing, and says of each batch what the script says next."""

    provider = "script"
    channel = Channel.EMAIL
    capacity = 10
    timeout = timedelta(seconds=1)

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        verdict = self.verdicts.pop(0) if self.verdicts else Verdict.ACCEPTED
        return [Outcome(message.id, verdict, code="script") for message in batch]

    async def close(self) -> None:
        pass


SECRET = "a secret of the test, of forty letters .."


def shape(sql: str) -> str:
    """A statement without its parameters and their casts, as both sides write it."""
    return re.sub(r"\s+", " ", re.sub(r"\$\d+(?:::\w+(?:\[\])?)?|(?<!:):\w+", "?", sql)).strip()


def import_twice(world: World) -> None:
    """A contact comes in without a company, and gets its values by a second import."""
    for name, company in (("", ""), ("Ann", "Hafen")):
        world.clock.pass_(hours=1)
        with world.database.begin() as connection:
            row = ContactRow(2, "imported@example.com", name, company, None, None)
            import_contacts(connection, world.tenant_id, [row], now=world.clock.now(connection), update=True)


def live_through_everything(world: World) -> None:
    """All that makes the engine change rows."""
    follow_up = email_plan({"id": "intro", "transitions": [{"on": "opened", "to": "bump"}]}, {"id": "bump"})
    enrolled = list(world.enroll(follow_up).enrolled.values())
    world.work(world.worker(ScriptedSender(Verdict.TEMPORARY)))
    world.clock.pass_(hours=1)
    world.work(world.worker(ScriptedSender(Verdict.ACCEPTED)))  # the retry
    opened = {"event": "open", "message": world.message()}
    world.receive(opened)
    world.work(world.worker(ScriptedSender(Verdict.UNKNOWN)))  # the follow-up, in doubt
    world.clock.pass_(hours=30)
    settle(world.database, world.clock)  # assumed sent
    assert world.campaign().status == "completed"

    world.clock.pass_(hours=1)
    assert list(world.enroll(ONE_MAIL).enrolled.values()) == enrolled  # again
    with world.database.begin() as connection:
        pause_sending(connection, world.tenant_id, now=world.clock.now(connection), reason="a mistake")
    world.work(world.worker(ScriptedSender()))
    with world.database.begin() as connection:
        resume_sending(connection, world.tenant_id, now=world.clock.now(connection))
    world.execute(
        "UPDATE dripiq_app.tenant_settings SET in_doubt_policy = 'resend', updated_at = updated_at + interval '1 microsecond'"
    )
    lose_a_worker(world)
    world.clock.pass_(hours=1)
    expire(world.database, world.clock, timedelta(minutes=2))  # what it had committed is in doubt
    world.work(world.worker(ScriptedSender()))
    world.clock.pass_(hours=30)
    settle(world.database, world.clock)  # to be sent again
    world.work(world.worker(ScriptedSender(Verdict.TEMPORARY)))
    with world.database.begin() as connection:
        stop(connection, world.tenant_id, enrolled, now=world.clock.now(connection), reason="enough")
    for _ in range(2):
        with world.database.begin() as connection:
            suppress(connection, world.tenant_id, ["x@example.com"], now=world.clock.now(connection))
    by_reply = {"channel": Channel.SMS, "kind": SuppressionType.UNSUBSCRIBE, "source": SuppressionSource.REPLY}
    with world.database.begin() as connection:
        suppress(connection, world.tenant_id, ["+491"], now=world.clock.now(connection), **by_reply)  # type: ignore[arg-type]
    with world.database.begin() as connection:
        now = world.clock.now(connection)
        lift_suppressions(connection, world.tenant_id, [Lift("sms", "+491", now)], now)

    world.clock.pass_(hours=1)
    world.enroll(follow_up)
    with world.database.begin() as connection:
        replan(connection, world.tenant_id, email_plan({"id": "intro"}), now=world.clock.now(connection))
    world.work(world.worker(ScriptedSender(Verdict.UNKNOWN)))
    doubted = world.value("SELECT id FROM dripiq_app.outbound_messages WHERE status = 'in_doubt'")
    with world.database.begin() as connection:
        resolve(connection, [doubted], Resolution.NOT_SENT, now=world.clock.now(connection))

    world.clock.pass_(hours=1)
    with world.database.begin() as connection:
        now = world.clock.now(connection)
        set_limit(connection, world.tenant_id, LimitScope.TENANT, maxima={Period.MINUTE: 1}, now=now)
    for _ in range(2):  # one leaves, the next books its slot
        world.enroll(ONE_MAIL)
        world.work(world.worker(ScriptedSender()))
    world.clock.pass_(minutes=5)
    world.work(world.worker(ScriptedSender()))

    world.execute(
        "INSERT INTO dripiq_app.email_sender_identities (id, tenant_id, user_id, from_email, from_name, domain, created_at, updated_at)"
        " SELECT 'second', tenant_id, user_id, 'second@example.com', 'Second', 'example.com', :now, :now"
        " FROM dripiq_app.email_sender_identities WHERE tenant_id = :tenant_id",
        now=world.clock.time,
    )
    with world.database.begin() as connection:
        mail = ask(connection, world.tenant_id, "second@example.com", SECRET, world.clock.now(connection))
    with world.database.begin() as connection:
        code = (mail.subject or "").split()[0]
        confirm(connection, world.tenant_id, "second@example.com", code, SECRET, world.clock.now(connection))
    with world.database.begin() as connection:
        pause_sender(connection, world.tenant_id, "second", now=world.clock.now(connection))
        enroll(
            connection,
            world.tenant_id,
            ONE_MAIL,
            world.contacts,
            sender_identity_id="second",
            now=world.clock.now(connection),
        )
    world.work(world.worker(ScriptedSender()))  # held for it, and then no more its
    world.execute(
        "UPDATE dripiq_app.contact_campaigns SET sender_identity_id = NULL, sender_choice = NULL, updated_at = updated_at + interval '1 microsecond'"
    )
    world.work(world.worker(ScriptedSender()))
    with world.database.begin() as connection:
        resume_sender(connection, world.tenant_id, "second", now=world.clock.now(connection))
    with world.database.begin() as connection:
        weigh_sender(connection, world.tenant_id, "second", 2, now=world.clock.now(connection))
    for port in (25, 587):
        with world.database.begin() as connection:
            server = MailServer("mail.test", port, "none")
            give_account(connection, world.tenant_id, "second", server, now=world.clock.now(connection))
    for error in ("It is away.", None):
        with world.database.begin() as connection:
            server = MailServer("mail.test", 993, "tls", "ann", "env:ANNS")
            give_account(
                connection, world.tenant_id, "second", server, (server, "INBOX"), now=world.clock.now(connection)
            )
        with world.database.begin() as connection:
            now = world.clock.now(connection)
            (claimed,) = claim_mailboxes(
                connection, world.tenant_id, now=now, until=now + timedelta(minutes=5), limit=2
            )
        with world.database.begin() as connection:
            now = world.clock.now(connection)
            record_readings(connection, world.tenant_id, [Reading(claimed, now, error)], now)
    with world.database.begin() as connection:
        now, manual = world.clock.now(connection), [SuppressionType.MANUAL]
        end_suppressions(
            connection, world.tenant_id, Channel.EMAIL, SuppressionScope.ADDRESS, ["x@example.com"], manual, now
        )


def lose_a_worker(world: World) -> None:
    """One that has committed to send, and is heard of no more."""
    lease = claim(world.database, world.clock, world.tenant_id, Share(lease=timedelta(minutes=2)))
    with world.database.begin() as connection:
        ready = prepare(
            connection,
            lease,
            lease.actions,
            {Channel.EMAIL: ScriptedSender.provider},
            world.clock.now(connection),
            None,
        )
    (messages,) = ready.values()
    with world.database.begin() as connection:
        now = world.clock.now(connection)
        assert commit_to_send(connection, world.tenant_id, Channel.EMAIL, [m.message.id for m in messages], now)


def test_updated_at_moves_whenever_the_engine_changes_a_row(world: World) -> None:
    world.clock = TickingClock(world.clock.time)
    with world.database.begin() as connection:
        connection.exec_driver_sql(WATCH)
        for table in (*protected_tables(), "leads", "lead_point_of_contacts"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER watch BEFORE UPDATE ON dripiq_app.{table} FOR EACH ROW EXECUTE FUNCTION public.watch()"
            )

    live_through_everything(world)
    import_twice(world)

    names = {shape(sql): name for name, sql in writers().items()}
    seen = [
        (names.get(shape(query), query), moved)
        for query, moved in world.rows("SELECT DISTINCT query, moved FROM public.changes")
    ]
    assert sorted(name for name, moved in seen if not moved) == []
    assert {name for name, _ in seen if name in writers()} == set(writers())
