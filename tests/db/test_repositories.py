"""What a repository promises of its table, shown on a real one."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, UniqueConstraint, event, inspect, text
from sqlalchemy.orm import Session

from dripiq.domain.errors import ConflictError, DripiqError, InputError, NotFoundError
from dripiq.domain.states import Channel, LimitScope, MessageStatus, SuppressionScope, SuppressionType
from dripiq.repositories import (
    CampaignPlanVersionRepository,
    CampaignTransitionRepository,
    CommunicationSuppressionRepository,
    ContactCampaignRepository,
    ContactChannelRepository,
    EmailSenderIdentityRepository,
    EmailValidationResultRepository,
    InboundMessageRepository,
    MessageEventRepository,
    OutboundMessageRepository,
    ScheduledActionRepository,
    SendRateLimitRepository,
    WebhookDeliveryRepository,
    sending_lock,
)
from dripiq.repositories.base import AppendRepository
from dripiq.schema.ids import new_id

Kind = type[AppendRepository[Any, Any]]

A_CHANGE: dict[Kind, dict[str, Any]] = {
    EmailSenderIdentityRepository: {"from_name": "Somebody else"},
    ContactCampaignRepository: {"last_error": "no route"},
    CampaignPlanVersionRepository: {"notes": "a better subject"},
    ScheduledActionRepository: {"reason": "window"},
    OutboundMessageRepository: {"subject": "Hello again"},
    MessageEventRepository: {"url": "https://example.com"},
    WebhookDeliveryRepository: {"error": "3: unknown_type"},
    InboundMessageRepository: {"subject": "Re: Hello"},
    CommunicationSuppressionRepository: {"expires_at": None},
    SendRateLimitRepository: {"max_per_day": 7},
    EmailValidationResultRepository: {"score": None},
    ContactChannelRepository: {"is_primary": True},
}


@contextmanager
def statements_of(session: Session) -> Iterator[list[str]]:
    """The SQL that the block sends, savepoints left out."""
    sent: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            sent.append(statement)

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    yield sent
    event.remove(connection, "before_cursor_execute", note)


def table_of(kind: Kind) -> Table:
    table = inspect(kind.entity).local_table
    assert isinstance(table, Table)
    return table


# ---- every repository


def test_no_repository_without_a_tenant(kind: Kind, session: Session) -> None:
    for nobody in ("", "  ", None):
        with pytest.raises(InputError) as refused:
            kind(session, nobody)  # type: ignore[arg-type]
        assert refused.value.error_code == "no_tenant"


def test_what_is_created_is_returned_with_its_defaults_and_found_again(kind: Kind, home: Any) -> None:
    new = home.new(kind)
    made = home.repository(kind).create(new)
    assert {name: getattr(made, name) for name in new} == new
    assert made.tenant_id == home.tenant_id
    assert made.created_at == made.updated_at
    home.session.expunge_all()
    found = home.repository(kind).get(made.id)
    assert found is not made
    assert all(getattr(found, c.name) == getattr(made, c.name) for c in table_of(kind).columns if c.name in new)


def test_many_rows_are_one_insert_and_keep_their_order(kind: Kind, home: Any) -> None:
    news = [home.new(kind) for _ in range(7)]
    news[3]["id"] = new_id()
    news[5]["created_at"] = news[5]["updated_at"] = home.row(kind).created_at - timedelta(days=1)
    repository = home.repository(kind)
    with statements_of(home.session) as sent:
        made = repository.create_many(news)
    assert sum(statement.startswith("INSERT") for statement in sent) == 1
    assert len(sent) == (2 if kind is CommunicationSuppressionRepository else 1)
    assert [{name: getattr(row, name) for name in new} for row, new in zip(made, news, strict=True)] == news
    assert made[4].created_at > made[5].created_at
    assert repository.create_many([]) == []


def test_ten_thousand_rows_are_still_one_statement(home: Any) -> None:
    kind = EmailValidationResultRepository
    sample = home.new(kind)
    with statements_of(home.session) as sent:
        made = home.repository(kind).create_many([{**sample, "email": f"n{n}@example.com"} for n in range(10_000)])
    assert len(sent) == 1
    assert [row.email for row in made] == [f"n{n}@example.com" for n in range(10_000)]


def test_one_bad_row_refuses_all_and_leaves_the_transaction_usable(kind: Kind, home: Any) -> None:
    repository = home.repository(kind)
    twin = home.row(kind)
    same = {name: getattr(twin, name) for name in kind.identity}
    with pytest.raises(ConflictError) as refused:
        repository.create_many([home.new(kind), home.new(kind, **same)])
    assert set(refused.value.facts["columns"]) == {"tenant_id", *kind.identity}  # type: ignore[call-overload]
    assert repository.count() == 1
    assert repository.create(home.new(kind)).id


def test_the_identity_is_a_unique_key_of_the_table(kind: Kind) -> None:
    keys = [{c.name for c in k.columns} for k in table_of(kind).constraints if isinstance(k, UniqueConstraint)]
    assert {"tenant_id", *kind.identity} in keys


def test_only_columns_that_are_never_null_have_a_default(kind: Kind) -> None:
    """An insert takes a null in a column with a default for "not given"."""
    assert [c.name for c in table_of(kind).columns if c.nullable and c.server_default is not None] == []


def test_get_of_an_unknown_id_is_none(kind: Kind, home: Any) -> None:
    assert home.repository(kind).get(new_id()) is None


def test_an_unknown_column_is_refused_and_the_nearest_named(kind: Kind, home: Any) -> None:
    repository = home.repository(kind)
    name = max((c.name for c in table_of(kind).columns), key=len)
    typo = {name[:-2] + name[-1]: "x"}
    calls: list[Callable[[], object]] = [
        lambda: repository.create(home.new(kind, **typo)),
        lambda: repository.get_or_create(home.new(kind, **typo)),
        lambda: repository.list(**typo),
        lambda: repository.count(**typo),
    ]
    if kind is not CampaignTransitionRepository:
        calls.append(lambda: repository.update(new_id(), typo))
    for call in calls:
        with pytest.raises(InputError, match=f"did you mean '{name}'"):
            call()


def test_a_tenant_cannot_be_written_or_filtered_by(kind: Kind, home: Any, neighbour: Any) -> None:
    repository = home.repository(kind)
    other = {"tenant_id": neighbour.tenant_id}
    calls: list[Callable[[], object]] = [
        lambda: repository.create(home.new(kind, **other)),
        lambda: repository.get_or_create(home.new(kind, **other)),
        lambda: repository.list(**other),
        lambda: repository.count(**other),
    ]
    for call in calls:
        with pytest.raises(InputError, match="tenant_id"):
            call()


def test_a_missing_or_null_value_is_refused_by_name(kind: Kind, home: Any) -> None:
    repository = home.repository(kind)
    needed = next(name for name in home.new(kind) if not table_of(kind).c[name].nullable)
    new = home.new(kind)
    del new[needed]
    for bad in (new, home.new(kind, **{needed: None})):
        with pytest.raises(InputError, match=f"{needed} needs a value"):
            repository.create(bad)


def test_pages_show_each_row_once_though_rows_are_inserted_between_them(kind: Kind, home: Any) -> None:
    repository = home.repository(kind)
    there = {row.id for row in repository.create_many([home.new(kind) for _ in range(11)])}
    seen: list[str] = []
    after: str | None = None
    while True:
        page = repository.list(after=after, limit=3)
        seen += [row.id for row in page.items]
        home.row(kind)
        if page.next is None:
            break
        after = page.next
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    assert there <= set(seen)


def test_the_last_page_says_so_even_when_it_is_full(kind: Kind, home: Any) -> None:
    repository = home.repository(kind)
    repository.create_many([home.new(kind) for _ in range(4)])
    first = repository.list(limit=2)
    second = repository.list(limit=2, after=first.next)
    assert (len(first.items), len(second.items), second.next) == (2, 2, None)
    assert repository.list(limit=4).next is None
    assert repository.list(after=second.items[-1].id).items == ()


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_1_to_1000_rows(limit: int, home: Any) -> None:
    with pytest.raises(InputError, match="1 to 1000"):
        home.repository(ContactCampaignRepository).list(limit=limit)


def test_rows_are_filtered_by_a_value_by_several_or_by_null(home: Any) -> None:
    repository = home.repository(SendRateLimitRepository)
    for hour, day in ((1, 10), (2, 20), (3, None)):
        home.row(SendRateLimitRepository, max_per_hour=hour, max_per_day=day)
    for filters, found in (
        ({"max_per_hour": 2}, {2}),
        ({"max_per_hour": [1, 3]}, {1, 3}),
        ({"max_per_hour": {1, 3}, "max_per_day": 10}, {1}),
        ({"max_per_hour": ()}, set()),
        ({"max_per_day": None}, {3}),
        ({"channel": Channel.EMAIL}, {1, 2, 3}),
    ):
        assert {row.max_per_hour for row in repository.list(**filters).items} == found
        assert repository.count(**filters) == len(found)


def test_get_or_create_makes_a_row_once_and_leaves_it_as_it_is(kind: Kind, home: Any) -> None:
    repository = home.repository(kind)
    new = home.new(kind)
    made, is_new = repository.get_or_create(new)
    again, is_new_again = repository.get_or_create({**new, "created_at": made.created_at - timedelta(days=3)})
    assert (is_new, is_new_again) == (True, False)
    assert again is made
    assert again.created_at == made.updated_at
    assert repository.count() == 1


def test_every_statement_names_the_tenant(kind: Kind, home: Any) -> None:
    repository = home.repository(kind)
    new = home.new(kind)
    with statements_of(home.session) as sent:
        made = repository.create(new)
        repository.get_or_create(new)
        repository.get(made.id)
        repository.list()
        repository.count()
        if kind is not CampaignTransitionRepository:
            repository.update(made.id, A_CHANGE[kind])
            repository.delete(made.id)
    assert len(sent) >= 6
    assert [statement for statement in sent if "tenant_id" not in statement.replace("RETURNING", "WHERE")] == []
    assert [s for s in sent if s.startswith(("SELECT", "UPDATE", "DELETE")) and "tenant_id = " not in s] == []


# ---- those that change


def test_an_update_changes_what_it_names_and_moves_updated_at(changing: Kind, home: Any) -> None:
    row = home.row(changing)
    before = {c.name: getattr(row, c.name) for c in table_of(changing).columns}
    changed = home.repository(changing).update(row.id, A_CHANGE[changing])
    after = {c.name: getattr(changed, c.name) for c in table_of(changing).columns}
    assert after.pop("updated_at") > before.pop("updated_at")
    assert after == {**before, **A_CHANGE[changing]}


def test_updated_at_moves_forward_even_from_a_transaction_that_began_before_the_last_change(
    engine: Engine, settle: Callable[[Session], Any]
) -> None:
    with Session(engine) as session, Session(engine) as slow:
        home = settle(session)
        row = home.row(ContactCampaignRepository)
        session.commit()
        slow.execute(text("SELECT now()"))
        moved = home.repository(ContactCampaignRepository).update(row.id, {"last_error": "x"}).updated_at
        session.commit()
        late = ContactCampaignRepository(slow, home.tenant_id).update(row.id, {"last_error": "y"})
        assert late is not None
        assert late.updated_at > moved


def test_a_writer_may_bring_the_engines_time(home: Any) -> None:
    row = home.row(ContactCampaignRepository)
    later = row.updated_at + timedelta(days=400)
    assert home.repository(ContactCampaignRepository).update(row.id, {"updated_at": later}).updated_at == later


def test_an_update_of_an_unknown_row_is_none_and_of_nothing_is_the_row(changing: Kind, home: Any) -> None:
    repository = home.repository(changing)
    assert repository.update(new_id(), A_CHANGE[changing]) is None
    row = home.row(changing)
    assert repository.update(row.id, {}) is row


def test_keys_and_birth_cannot_be_updated(changing: Kind, home: Any) -> None:
    row = home.row(changing)
    for fixed in ("id", "tenant_id", "created_at"):
        with pytest.raises(InputError, match=fixed):
            home.repository(changing).update(row.id, {fixed: "x"})


def test_an_update_onto_a_taken_key_is_a_conflict(changing: Kind, home: Any) -> None:
    twin, row = home.row(changing), home.row(changing)
    with pytest.raises(ConflictError):
        home.repository(changing).update(row.id, {name: getattr(twin, name) for name in changing.identity})
    assert home.repository(changing).count() == 2


def test_a_row_is_deleted_once(changing: Kind, home: Any) -> None:
    repository, row = home.repository(changing), home.row(changing)
    kept = home.row(changing)
    assert [repository.delete(row.id), repository.delete(row.id)] == [True, False]
    assert repository.get(row.id) is None
    assert [left.id for left in repository.list().items] == [kept.id]


def test_transitions_can_only_be_added_and_read() -> None:
    offered = {name for name in dir(CampaignTransitionRepository) if not name.startswith("_")}
    assert offered & {"update", "delete"} == set()
    assert {"create", "create_many", "get", "list", "count", "get_or_create", "chain"} <= offered


# ---- refusals


@pytest.mark.parametrize(
    ("kind_", "bad", "says"),
    [
        (ContactChannelRepository, {"value": "Ann@example.com"}, "value = lower"),
        (ContactCampaignRepository, {"status": "sleeping"}, "status IN"),
        (ScheduledActionRepository, {"job_id": "token"}, "lease_until"),
        (MessageEventRepository, {"event_type": "read"}, "event_type IN"),
        (ContactChannelRepository, {"value": "nul\x00@example.com"}, "NUL"),
        (SendRateLimitRepository, {"max_per_day": "many"}, "many"),
        (SendRateLimitRepository, {"max_per_day": 2**40}, "out of range"),
        (WebhookDeliveryRepository, {"payload": ["\ud800"]}, "Unicode high surrogate|Unicode low surrogate"),
        (ContactChannelRepository, {"value": "\ud800"}, "surrogates"),
        (EmailValidationResultRepository, {"score": 77}, "overflow"),
    ],
)
def test_a_value_that_breaks_a_rule_is_an_input_error(kind_: Kind, bad: Any, says: str, home: Any) -> None:
    with pytest.raises(InputError, match=says):
        home.repository(kind_).create(home.new(kind_, **bad))
    row = home.row(kind_)
    with pytest.raises(InputError, match=says):
        home.repository(kind_).update(row.id, bad)
    assert home.repository(kind_).count() == 1


def test_a_null_where_none_may_be_is_refused_on_update(home: Any) -> None:
    row = home.row(ContactChannelRepository)
    with pytest.raises(InputError, match="value needs a value"):
        home.repository(ContactChannelRepository).update(row.id, {"value": None})


def test_one_default_sender_for_each_user(home: Any) -> None:
    first = home.row(EmailSenderIdentityRepository, is_default=True)
    writes: list[Callable[[], object]] = [
        lambda: home.row(EmailSenderIdentityRepository, is_default=True),
        lambda: home.repository(EmailSenderIdentityRepository).get_or_create(
            home.new(EmailSenderIdentityRepository, is_default=True)
        ),
    ]
    for write in writes:
        with pytest.raises(ConflictError) as refused:
            write()
        assert refused.value.facts["columns"] == ["tenant_id", "user_id"]
    assert home.repository(EmailSenderIdentityRepository).default_for(home.user_id) is first


def test_a_doubled_event_in_a_month_of_its_own_names_the_tables_columns(home: Any) -> None:
    """A partition's key has a name that the table does not know."""
    twin = home.row(MessageEventRepository)
    with pytest.raises(ConflictError) as refused:
        home.row(MessageEventRepository, provider_event_id=twin.provider_event_id, event_at=twin.event_at)
    assert refused.value.facts["columns"] == ["tenant_id", "provider", "provider_event_id", "event_at"]


# ---- references


REFERENCES = [
    (EmailSenderIdentityRepository, "user_id"),
    (ContactCampaignRepository, "contact_id"),
    (ContactCampaignRepository, "lead_id"),
    (ContactCampaignRepository, "sender_identity_id"),
    (CampaignPlanVersionRepository, "contact_campaign_id"),
    (CampaignPlanVersionRepository, "created_by"),
    (ScheduledActionRepository, "contact_campaign_id"),
    (OutboundMessageRepository, "contact_campaign_id"),
    (OutboundMessageRepository, "contact_id"),
    (OutboundMessageRepository, "sender_identity_id"),
    (MessageEventRepository, "outbound_message_id"),
    (InboundMessageRepository, "contact_campaign_id"),
    (InboundMessageRepository, "contact_id"),
    (EmailValidationResultRepository, "contact_id"),
    (ContactChannelRepository, "contact_id"),
    (CampaignTransitionRepository, "contact_campaign_id"),
]

REFERENCE_WRITES: list[Callable[[Any, Any, Callable[[], dict[str, Any]], dict[str, Any]], object]] = [
    lambda repository, _row, new, wrong: repository.create({**new(), **wrong}),
    lambda repository, _row, new, wrong: repository.create_many([new(), {**new(), **wrong}]),
    lambda repository, _row, new, wrong: repository.get_or_create({**new(), **wrong}),
    lambda repository, row, _new, wrong: repository.update(row.id, wrong),
]


def test_the_list_of_references_is_complete(kind: Kind) -> None:
    keys = {c.name for c in table_of(kind).columns if c.foreign_keys and c.name != "tenant_id"}
    assert keys == {column for of, column in REFERENCES if of is kind}


@pytest.mark.parametrize(("of", "column"), REFERENCES, ids=lambda value: getattr(value, "__name__", value))
def test_a_reference_into_another_tenant_or_to_nothing_is_refused(
    of: Kind, column: str, home: Any, neighbour: Any
) -> None:
    foreign = {
        "contact_id": neighbour.contact_id,
        "lead_id": neighbour.lead_id,
        "contact_campaign_id": neighbour.campaign_id(),
        "outbound_message_id": neighbour.row(OutboundMessageRepository).id,
        "sender_identity_id": neighbour.row(EmailSenderIdentityRepository).id,
    }
    repository = home.repository(of)
    row = home.row(of)
    stood, kept = repository.count(), getattr(row, column)
    for wrong in filter(None, (foreign.get(column), new_id())):
        for write in REFERENCE_WRITES[: 3 if of is CampaignTransitionRepository else 4]:
            with pytest.raises(NotFoundError, match=column):
                write(repository, row, partial(home.new, of), {column: wrong})
    assert repository.get(row.id) is row
    assert getattr(row, column) == kept
    assert repository.count() == stood


def test_a_campaigns_contact_is_its_leads_contact(home: Any) -> None:
    repository = home.repository(ContactCampaignRepository)
    elsewhere = home.another_lead()
    stranger = home.another_contact(elsewhere)
    row = home.row(ContactCampaignRepository)
    writes: list[Callable[[], object]] = [
        lambda: home.row(ContactCampaignRepository, contact_id=stranger),
        lambda: home.row(ContactCampaignRepository, lead_id=elsewhere),
        lambda: repository.update(row.id, {"contact_id": stranger}),
        lambda: repository.update(row.id, {"lead_id": elsewhere}),
    ]
    for write in writes:
        with pytest.raises(NotFoundError, match="belong together"):
            write()
    moved = repository.update(row.id, {"lead_id": elsewhere, "contact_id": stranger})
    assert (moved.lead_id, moved.contact_id) == (elsewhere, stranger)


@pytest.mark.parametrize("of", [InboundMessageRepository, EmailValidationResultRepository])
def test_a_reference_that_may_be_missing_may_be_missing(of: Kind, home: Any) -> None:
    repository = home.repository(of)
    with_contact, without = repository.create_many([home.new(of), home.new(of, contact_id=None)])
    assert (with_contact.contact_id, without.contact_id) == (home.contact_id, None)
    assert repository.update(with_contact.id, {"contact_id": None}).contact_id is None
    assert repository.update(without.id, {"contact_id": home.contact_id}).contact_id == home.contact_id


# ---- at once


def test_get_or_create_at_once_makes_one_row_and_no_error(
    kind: Kind, engine: Engine, settle: Callable[[Session], Any]
) -> None:
    with Session(engine) as session:
        home = settle(session)
        new = home.new(kind)
        tenant_id = home.tenant_id
        session.commit()
    callers = 5
    barrier = threading.Barrier(callers)
    results: list[tuple[str, bool] | BaseException] = []

    def call() -> None:
        try:
            with Session(engine) as mine, mine.begin():
                mine.connection()
                barrier.wait(30)
                row, made = kind(mine, tenant_id).get_or_create(new)
                results.append((row.id, made))
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [r for r in results if isinstance(r, BaseException)] == []
    assert len({id_ for id_, _ in results}) == 1  # type: ignore[misc]
    assert sorted(made for _, made in results) == [False] * (callers - 1) + [True]  # type: ignore[misc]


@pytest.mark.parametrize("first_commits", [True, False])
def test_get_or_create_waits_for_who_came_first(
    first_commits: bool, engine: Engine, settle: Callable[[Session], Any]
) -> None:
    kind = EmailSenderIdentityRepository
    with Session(engine) as session, Session(engine) as second:
        home = settle(session)
        new = home.new(kind)
        session.commit()
        first, _ = home.repository(kind).get_or_create(new)
        first_id = first.id
        pid = second.execute(text("SELECT pg_backend_pid()")).scalar_one()
        answers: list[tuple[str, bool]] = []

        def call() -> None:
            row, made = kind(second, home.tenant_id).get_or_create(new)
            answers.append((row.id, made))

        waiting = threading.Thread(target=call)
        waiting.start()
        wait_until_blocked(engine, pid)
        if first_commits:
            session.commit()
        else:
            session.rollback()
        waiting.join(30)
        [(id_, made)] = answers
        assert (id_ == first_id, made) == (first_commits, not first_commits)
        second.rollback()


def wait_until_blocked(engine: Engine, pid: int) -> None:
    deadline = time.monotonic() + 30
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
        while not watcher.execute(text("SELECT cardinality(pg_blocking_pids(:pid)) > 0"), {"pid": pid}).scalar():
            assert time.monotonic() < deadline, f"backend {pid} never waited"


# ---- suppressions and the sending lock


SUPPRESSION_WRITES: dict[str, Callable[[CommunicationSuppressionRepository, Any, str], object]] = {
    "create": lambda repository, new, _: repository.create(new),
    "create_many": lambda repository, new, _: repository.create_many([new]),
    "get_or_create": lambda repository, new, _: repository.get_or_create(new),
    "update": lambda repository, _, id_: repository.update(id_, {"expires_at": None}),
    "delete": lambda repository, _, id_: repository.delete(id_),
}


@pytest.mark.parametrize("write", SUPPRESSION_WRITES)
def test_a_writer_of_suppressions_first_waits_for_what_is_being_handed_over(
    write: str, engine: Engine, settle: Callable[[Session], Any]
) -> None:
    kind = CommunicationSuppressionRepository
    with Session(engine) as session:
        home = settle(session)
        there = home.row(kind).id
        new, tenant_id = home.new(kind), home.tenant_id
        session.commit()
    with engine.begin() as sender, Session(engine) as writer:
        sending_lock.lock_shared(sender, tenant_id, Channel.EMAIL)
        pid = writer.connection().connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        with statements_of(writer) as sent:
            waiting = threading.Thread(target=lambda: SUPPRESSION_WRITES[write](kind(writer, tenant_id), new, there))
            waiting.start()
            wait_until_blocked(engine, pid)
            assert len(sent) == 1
            assert "pg_advisory_xact_lock(" in sent[0]
            sender.rollback()
            waiting.join(30)
        writer.commit()


# ---- look-ups


def test_a_sender_is_found_by_its_address_in_any_case_and_as_the_users_default(home: Any) -> None:
    repository = home.repository(EmailSenderIdentityRepository)
    row = home.row(EmailSenderIdentityRepository, from_email="ann@example.com")
    assert repository.get_by_from_email(" Ann@Example.COM ") is row
    assert repository.get_by_from_email("bob@example.com") is None
    assert repository.default_for(home.user_id) is None
    repository.update(row.id, {"is_default": True})
    assert repository.default_for(home.user_id) is row


def test_a_campaign_is_found_by_contact_and_channel(home: Any) -> None:
    row = home.row(ContactCampaignRepository)
    repository = home.repository(ContactCampaignRepository)
    assert repository.get_by_contact(row.contact_id, Channel.EMAIL) is row
    assert repository.get_by_contact(row.contact_id, Channel.SMS) is None


def test_a_plan_version_is_found_by_its_name_and_as_the_latest(home: Any) -> None:
    kind = CampaignPlanVersionRepository
    old = home.row(kind, version="1")
    new = home.row(
        kind,
        contact_campaign_id=old.contact_campaign_id,
        version="2",
        created_at=old.created_at + timedelta(seconds=1),
    )
    repository = home.repository(kind)
    assert repository.get_version(old.contact_campaign_id, "1") is old
    assert repository.latest(old.contact_campaign_id) is new
    assert repository.get_version(old.contact_campaign_id, "3") is None
    assert repository.latest(new_id()) is None


def test_actions_and_messages_are_found_by_their_dedupe_keys(home: Any) -> None:
    for kind in (ScheduledActionRepository, OutboundMessageRepository):
        row = home.row(kind)
        assert home.repository(kind).get_by_dedupe_key(row.dedupe_key) is row
        assert home.repository(kind).get_by_dedupe_key("other") is None


def test_a_message_is_found_by_its_providers_id_the_latest_first(home: Any) -> None:
    kind = OutboundMessageRepository
    old = home.row(kind, provider_message_id="p")
    new = home.row(kind, provider_message_id="p", created_at=old.created_at + timedelta(seconds=1))
    assert home.repository(kind).get_by_provider_message_id("smtp", "p") is new
    assert home.repository(kind).get_by_provider_message_id("sendgrid", "p") is None


def test_a_messages_status_never_goes_back(home: Any) -> None:
    repository = home.repository(OutboundMessageRepository)
    for stored in MessageStatus:
        for told in MessageStatus:
            row = home.row(OutboundMessageRepository, status=stored)
            before = row.updated_at
            after = repository.update(row.id, {"status": told, "last_error": "told"})
            assert after is row
            taken = told.rank >= stored.rank
            assert (after.status, after.last_error) == ((told, "told") if taken else (stored, None))
            assert (after.updated_at > before) is taken


def test_an_event_is_found_by_its_providers_id_with_and_without_its_time(home: Any) -> None:
    kind = MessageEventRepository
    late = home.row(kind, provider_event_id="e")
    early = home.row(kind, provider_event_id="e", event_at=late.event_at - timedelta(days=200))
    repository = home.repository(kind)
    assert repository.get_by_provider_event("sendgrid", "e", late.event_at) is late
    assert repository.get_by_provider_event("sendgrid", "e") is early
    assert repository.get_by_provider_event("sendgrid", "e", late.event_at + timedelta(days=1)) is None


def test_deliveries_and_inbound_messages_are_found_by_what_makes_them_unique(home: Any) -> None:
    delivery = home.row(WebhookDeliveryRepository)
    found = home.repository(WebhookDeliveryRepository).get_by_hash("sendgrid", delivery.payload_hash)
    assert found is delivery
    assert found.raw == b"\x00\xff[]"
    inbound = home.row(InboundMessageRepository)
    repository = home.repository(InboundMessageRepository)
    assert repository.get_by_provider_message_id(Channel.EMAIL, inbound.provider_message_id) is inbound
    assert repository.get_by_provider_message_id(Channel.SMS, inbound.provider_message_id) is None


def test_an_address_is_suppressed_itself_or_by_its_domain_until_it_expires(home: Any) -> None:
    kind = CommunicationSuppressionRepository
    repository = home.repository(kind)
    itself = home.row(kind, value="ann@example.com")
    now = itself.created_at
    for value, scope, expires_at in (
        ("example.org", SuppressionScope.DOMAIN, None),
        ("brief@example.com", SuppressionScope.ADDRESS, now + timedelta(hours=1)),
        ("example.net", SuppressionScope.ADDRESS, None),
        ("bob@example.net", SuppressionScope.DOMAIN, None),
    ):
        home.row(kind, value=value, scope=scope, expires_at=expires_at)
    suppressed = repository.is_suppressed
    assert suppressed(Channel.EMAIL, " Ann@Example.com")
    assert not suppressed(Channel.SMS, "ann@example.com")
    assert suppressed(Channel.EMAIL, "anybody@example.org")
    assert not suppressed(Channel.EMAIL, "anybody@sub.example.org")
    assert suppressed(Channel.EMAIL, "brief@example.com")
    assert not suppressed(Channel.EMAIL, "brief@example.com", now=now + timedelta(hours=1))
    assert not suppressed(Channel.EMAIL, "bob@example.net"), "a scope says how a value is meant"
    assert repository.get_by_value(Channel.EMAIL, "ANN@example.com", SuppressionType.UNSUBSCRIBE) is itself
    assert repository.get_by_value(Channel.EMAIL, "ann@example.com", SuppressionType.BOUNCE) is None


def test_what_is_in_force_lists_the_address_before_its_domain(home: Any) -> None:
    kind = CommunicationSuppressionRepository
    domain = home.row(kind, value="example.com", scope=SuppressionScope.DOMAIN, type=SuppressionType.BLOCKED)
    itself = home.row(kind, value="ann@example.com")
    assert list(home.repository(kind).in_force(Channel.EMAIL, "ann@example.com")) == [itself, domain]


def test_a_limit_of_its_own_goes_before_the_one_for_its_kind(home: Any) -> None:
    kind = SendRateLimitRepository
    repository = home.repository(kind)
    own = home.row(kind, scope_value="example.com")
    assert repository.get_for(Channel.EMAIL, LimitScope.DOMAIN, "example.org") is None
    of_kind, made = repository.get_or_create(home.new(kind, scope_value=None))
    assert made
    assert repository.get_or_create(home.new(kind, scope_value=None)) == (of_kind, False)
    assert repository.get_for(Channel.EMAIL, LimitScope.DOMAIN, "example.com") is own
    assert repository.get_for(Channel.EMAIL, LimitScope.DOMAIN, "example.org") is of_kind
    assert repository.get_for(Channel.EMAIL, LimitScope.DOMAIN) is of_kind
    assert repository.get_for(Channel.EMAIL, LimitScope.SENDER, "example.com") is None
    assert repository.get_by_scope(Channel.EMAIL, LimitScope.DOMAIN, "example.org") is None
    assert repository.get_by_scope(Channel.EMAIL, LimitScope.DOMAIN) is of_kind


def test_a_validation_result_is_found_by_its_address_in_any_case(home: Any) -> None:
    row = home.row(EmailValidationResultRepository, email="ann@example.com")
    assert home.repository(EmailValidationResultRepository).get_by_email("ANN@example.com") is row


def test_a_contacts_channel_is_found_by_value_and_as_the_primary_one(home: Any) -> None:
    kind = ContactChannelRepository
    repository = home.repository(kind)
    home.row(kind, value="a@example.com")
    primary = home.row(kind, value="b@example.com", is_primary=True)
    assert repository.get_by_value(home.contact_id, Channel.EMAIL, "B@example.com") is primary
    assert repository.primary(home.contact_id, Channel.EMAIL) is primary
    assert repository.primary(home.contact_id, Channel.SMS) is None
    with pytest.raises(ConflictError):
        home.row(kind, value="c@example.com", is_primary=True)


def test_a_chain_is_read_in_order(home: Any) -> None:
    kind = CampaignTransitionRepository
    campaign_id = home.campaign_id()
    home.repository(kind).create_many([home.new(kind, contact_campaign_id=campaign_id, seq=n) for n in (3, 1, 10, 2)])
    home.row(kind)
    assert [move.seq for move in home.repository(kind).chain(campaign_id)] == [1, 2, 3, 10]


def test_a_read_with_a_value_the_database_cannot_hold_is_an_input_error(home: Any) -> None:
    with pytest.raises(DripiqError, match="NUL"):
        home.repository(ContactCampaignRepository).get("\x00")


def test_a_row_that_somebody_else_changed_is_read_as_it_is_now(connection: Connection, home: Any) -> None:
    row = home.row(ContactCampaignRepository)
    connection.execute(
        text("UPDATE dripiq_app.contact_campaigns SET last_error = 'theirs' WHERE id = :id"), {"id": row.id}
    )
    assert home.repository(ContactCampaignRepository).get(row.id).last_error == "theirs"
