"""A whole campaign on a host's own people: whom dripiq may write to, what a template can say of them, and what the host may change meanwhile."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dripiq.db.session import make_engine, tenant_transaction
from dripiq.domain.errors import ConflictError, NotFoundError
from dripiq.domain.states import Channel
from dripiq.engine.enroll import Enrolment, enroll
from dripiq.engine.register import register_sender, register_tenant
from dripiq.engine.seed import seed
from dripiq.repositories import ContactCampaignRepository, ContactChannelRepository
from dripiq.schema import ContactCampaign
from tests.engine.conftest import NOON, World, email_plan
from tests.host.conftest import execute_file

PLAN = email_plan(
    {
        "id": "intro",
        "subject": "{{ contact.title }} of {{ lead.name }}",
        "body": "Dear {{ contact.name }}, {{ tenant.website }} serves {{ lead.industry | default: 'all' }}.",
        "transitions": [{"on": "opened", "to": "more", "within": "PT72H"}],
    },
    {"id": "more", "subject": "More for {{ lead.name }}", "body": "From {{ sender.name }}, on {{ lead.created_at | slice: 0, 4 }}."},
)  # fmt: skip


def enroll_as_tenant(world: World, plan: dict[str, Any] = PLAN, contacts: list[str] | None = None) -> Enrolment:
    """As the API and the commands do: in the tenant's role, which sees people through the views alone."""
    with tenant_transaction(world.database, world.tenant_id) as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar_one() == "dripiq_tenant"
        return enroll(connection, world.tenant_id, plan, contacts or world.contacts, now=world.clock.time)


def mail_to(world: World, address: str) -> list[Any]:
    mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in world.mails()]
    return [mail for mail in mails if address in mail["To"]]


def messages(world: World, node: str) -> list[str]:
    statement = "SELECT id FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id AND node_id = :node ORDER BY to_address"
    return [row.id for row in world.rows(statement, node=node)]


def run_campaign(world: World) -> None:
    """Enrol, send, receive a webhook, send what follows."""
    assert set(enroll_as_tenant(world).enrolled) == {"mara", "yann"}
    world.work()
    first, second = messages(world, "intro")
    world.receive({"event": "open", "message": first}, {"event": "delivered", "message": second})
    world.clock.pass_(hours=1)
    world.work()


def test_a_campaign_runs_from_enrolment_over_a_webhook_to_the_next_mail(north: World) -> None:
    run_campaign(north)

    intro, more = mail_to(north, "mara@mill.example.com")
    assert {intro["Subject"], more["Subject"]} == {'Head of "Wood" of The Old Mill', "More for The Old Mill"}
    (captain,) = mail_to(north, "yann@yard.example.com")
    assert captain["Subject"] == "Captain of Boat Yard"
    assert "Dear Yann Yar, https://north.example.com serves all." in captain.get_body().get_content()
    assert north.rows(
        "SELECT contact_id, lead_id, current_node_id FROM dripiq_app.contact_campaigns ORDER BY contact_id"
    ) == [("mara", "mill", "more"), ("yann", "yard", "intro")]


def test_a_campaign_changes_nothing_of_the_hosts(north: World, adopted: str, dump_hosts: Any) -> None:
    before = dump_hosts(adopted)
    run_campaign(north)

    assert dump_hosts(adopted) == before


@pytest.fixture
def as_engine(adopted: str, adopted_engine: Engine) -> Iterator[Engine]:
    """Connections in the engine's role, as a user of its own has it; the host lets it read its people."""
    with adopted_engine.begin() as connection:
        connection.exec_driver_sql(
            "GRANT SELECT ON dripiq_app.tenants, dripiq_app.users, dripiq_app.leads, dripiq_app.lead_point_of_contacts TO dripiq_engine"
        )
    made = make_engine(adopted)

    @event.listens_for(made, "begin")
    def take_role(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL ROLE dripiq_engine")

    yield made
    made.dispose()


def test_a_campaign_runs_in_the_engines_role(north: World, as_engine: Engine) -> None:
    owner, north.database = north.database, as_engine
    north.clock.time = datetime.now(UTC)  # making partitions is the owner's; those of these months are there
    with as_engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar_one() == "dripiq_engine"
    north.database = owner
    assert set(enroll_as_tenant(north).enrolled) == {"mara", "yann"}
    north.database = as_engine
    north.work()
    north.receive({"event": "open", "message": messages(north, "intro")[0]})
    north.work()

    assert len(mail_to(north, "mara@mill.example.com")) == 2


def test_the_hosts_next_migration_runs_while_a_campaign_does(north: World, adopted: str) -> None:
    """The connections of the pool stay open, with what they have prepared."""
    assert set(enroll_as_tenant(north).enrolled) == {"mara", "yann"}
    worker = north.worker()
    north.work(worker)

    execute_file(adopted, "next_migration.sql")

    north.receive(*({"event": "open", "message": message} for message in messages(north, "intro")))
    north.work(worker)
    assert {"More for The Old Mill", "More for Boat Yard"} < {mail["Subject"] for mail in mail_to(north, "example.com")}
    with north.database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO dripiq_app.lead_point_of_contacts (id, lead_id, name, email, timezone)"
            " VALUES ('nele', 'yard', 'Nele', 'nele@yard.example.com', 'Europe/Zurich')"
        )
    region = email_plan({"id": "intro", "subject": "In {{ lead.region }}"})
    assert set(enroll_as_tenant(north, region, ["nele"]).enrolled) == {"nele"}
    north.work(worker)
    assert [mail["Subject"] for mail in mail_to(north, "nele@yard.example.com")] == ["In unknown"]


def test_a_contacts_tenant_is_its_leads(north: World) -> None:
    outcome = enroll_as_tenant(north, PLAN, ["mara", "bess", "nobody"])

    assert set(outcome.enrolled) == {"mara"}
    assert set(outcome.unknown) == {"bess", "nobody"}
    with tenant_transaction(north.database, "south") as connection:
        assert set(enroll(connection, "south", PLAN, ["mara", "bess"], now=NOON).enrolled) == {"bess"}


def test_a_repository_refuses_another_tenants_adopted_contact(north: World) -> None:
    with tenant_transaction(north.database, "north") as connection, Session(connection) as session:
        channels = ContactChannelRepository(session, "north")
        channels.create({"contact_id": "mara", "channel": Channel.EMAIL, "value": "m@example.com"})
        with pytest.raises(NotFoundError):
            channels.create({"contact_id": "bess", "channel": Channel.EMAIL, "value": "b@example.com"})
        campaigns = ContactCampaignRepository(session, "north")
        with pytest.raises(NotFoundError):
            campaigns.create(
                {"lead_id": "yard", "contact_id": "mara", "channel": Channel.EMAIL, "plan_json": {}, "plan_hash": "h"}
            )


def test_the_tenants_role_sees_its_own_people_through_the_views_and_never_the_tables(north: World) -> None:
    with tenant_transaction(north.database, "north") as connection:
        seen = connection.exec_driver_sql(
            "SELECT id, tenant_id, record ->> 'title' FROM dripiq_app.tenant_contacts ORDER BY id"
        )
        assert [tuple(row) for row in seen] == [
            ("mara", "north", 'Head of "Wood"'),
            ("milo", "north", None),
            ("yann", "north", "Captain"),
        ]
        for statement in (
            "SELECT FROM dripiq_app.leads",
            "SELECT FROM dripiq_app.lead_point_of_contacts",
            "SELECT FROM dripiq_app.contact_notes",
            "DELETE FROM dripiq_app.tenant_contacts",
            "UPDATE dripiq_app.tenant_leads SET tenant_id = 'south'",
        ):
            with (
                pytest.raises(DBAPIError, match=r"permission denied|cannot delete from view"),
                connection.begin_nested(),
            ):
                connection.exec_driver_sql(statement)


def test_a_contact_without_an_address_is_not_written_to(north: World) -> None:
    enroll_as_tenant(north, PLAN, ["milo"])
    north.work()

    assert north.mails() == []
    assert north.campaign().status == "stopped"


def test_a_campaign_is_walked_to_the_hosts_people_by_its_relations(north: World) -> None:
    """With no column of theirs but those that every host has."""
    with north.database.begin() as connection:
        for table in ("tenants", "users", "lead_point_of_contacts"):
            connection.exec_driver_sql(f"ALTER TABLE dripiq_app.{table} DROP COLUMN created_at, DROP COLUMN updated_at")
    with tenant_transaction(north.database, "north") as connection:
        enroll(connection, "north", PLAN, ["mara"], now=NOON, sender_identity_id=north.sender_id)
    with Session(north.database) as session:
        campaign = session.query(ContactCampaign).filter_by(contact_id="mara").one()
        assert (campaign.contact.name, campaign.lead.tenant_id, campaign.tenant.id) == ("Mara Moss", "north", "north")
        assert {contact.id for contact in campaign.lead.contacts} == {"mara", "milo"}
        assert campaign.sender_identity is not None
        assert campaign.sender_identity.user.id == "uma"


def test_what_a_host_deletes_takes_its_campaigns_along(north: World) -> None:
    run_campaign(north)
    with north.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM dripiq_app.lead_point_of_contacts WHERE id = 'mara'")

    assert north.rows("SELECT contact_id FROM dripiq_app.contact_campaigns") == [("yann",)]
    assert north.rows("SELECT DISTINCT contact_id FROM dripiq_app.outbound_messages") == [("yann",)]
    north.clock.pass_(days=4)
    north.work()


def test_dripiq_never_makes_people_on_a_hosts_database(north: World, adopted: str, dump_hosts: Any) -> None:
    before = dump_hosts(adopted)
    for attempt in (
        lambda connection: register_tenant(connection, "West"),
        lambda connection: seed(connection, now=NOON),
    ):
        with north.database.begin() as connection, pytest.raises(ConflictError) as refused:
            attempt(connection)
        assert refused.value.error_code == "host_adopted"
    with north.database.begin() as connection, pytest.raises(NotFoundError, match="no user"):
        register_sender(connection, "north", "new@north.example.com", now=NOON)
    assert dump_hosts(adopted) == before
