"""What do the provider's record and the database say together, when all is quiet?"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from dripiq.repositories.audit import Record, read_record
from dripiq.simulate.invariants import check_all
from dripiq.simulate.witnesses import Event, ReceivedMail, distinct

UNDONE = text(
    """
    SELECT
        (SELECT count(*) FROM dripiq_app.scheduled_actions
         WHERE status = 'queued' OR (status = 'pending' AND run_at < clock_timestamp() + INTERVAL '10 minutes'))
        + (SELECT count(*) FROM dripiq_app.webhook_deliveries WHERE status = 'received')
        + (SELECT count(*) FROM dripiq_app.outbound_messages WHERE status = 'sending'
             OR (status = 'in_doubt' AND updated_at < clock_timestamp() - INTERVAL '1 day'))
    """
)
"""What workers still have to do; what is refused for now comes after twenty minutes, and is not waited for."""


def count_undone(connection: Connection) -> int:
    return int(connection.execute(UNDONE).scalar_one())


@dataclass(frozen=True)
class Witnesses:
    """Who is heard: whose mails and events, every mail that the server took, every event that was answered 2xx; the people of whom nobody tells
    anything; who was enrolled for sure, by tenant and address."""

    tenant_ids: Sequence[str]
    mails: Sequence[ReceivedMail]
    answered: Sequence[Event]
    silent: Collection[str] = ()
    enrolled: Collection[tuple[str, str]] = ()


@dataclass(frozen=True)
class Verdict:
    """What they say together; `in_doubt` counts messages since `since`."""

    events: int
    duplicates: int
    lost: int
    stuck: int
    in_doubt: int
    breaches: tuple[str, ...]


def judge(database: Engine, heard: Witnesses, since: datetime, hand_over: timedelta) -> Verdict:
    """Hold all invariants, and count what people ask for."""
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        record = read_record(connection, heard.tenant_ids)
        undone = count_undone(connection)
    checks = {
        check.name: check.breaches for check in check_all(record, list(heard.mails), list(heard.answered), hand_over)
    }
    breaches = [f"{name}: {breach}" for name, found in checks.items() for breach in found]
    times = Counter((mail.tenant_id, mail.message_id) for mail in heard.mails)
    lost = list(_lost(record, heard))
    doubts = [row for row in record.messages if row.status == "in_doubt" and row.created_at > since]
    breaches += [f"lost: {who}" for who in lost]
    breaches += [f"undone: {undone}"] * bool(undone)
    breaches += [
        f"in_doubt: {row.id} to {row.to_address} was taken, and the provider's word did not settle it"
        for row in doubts
        if times[row.tenant_id, row.id] and row.to_address not in heard.silent
    ]
    return Verdict(
        events=len(distinct(list(heard.answered))),
        duplicates=sum(count - 1 for count in times.values()),
        lost=len(lost),
        stuck=len(checks["none_stuck"]) + len(checks["one_chain"]) + undone,
        in_doubt=len(doubts),
        breaches=tuple(breaches),
    )


def _lost(record: Record, heard: Witnesses) -> Iterator[str]:
    """Contacts whose mail nobody has, with no row that says why; and enrolments that are not there."""
    had = {(mail.tenant_id, mail.recipient) for mail in heard.mails}
    closed = {(row.tenant_id, row.value) for row in record.suppressions}
    explained = {(row.tenant_id, row.to_address) for row in record.messages if row.status in {"in_doubt", "failed"}}
    excused = had | closed | explained
    for campaign in record.campaigns:
        who = (campaign.tenant_id, str(campaign.address))
        if who not in excused and campaign.action_status is None:
            yield f"{campaign.address} of campaign {campaign.id} ({campaign.status}) got nothing"
    there = {(campaign.tenant_id, str(campaign.address)) for campaign in record.campaigns}
    for tenant_id, address in sorted(set(heard.enrolled) - there):
        yield f"{address} of tenant {tenant_id} was enrolled, and has no campaign"
