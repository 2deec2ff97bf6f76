"""How somebody takes hold of people's campaigns, or of the tenant's sending, in `campaign_machine`: one transaction each, and what it has to leave."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from dripiq.domain.states import Channel, SuppressionScope, SuppressionType
from dripiq.engine import steer
from dripiq.engine.enroll import enroll
from dripiq.engine.pause_sender import pause_sender, resume_sender
from dripiq.engine.suppress import suppress
from dripiq.repositories.suppressing import end_suppressions
from tests.engine.campaign_machine_model import Model
from tests.engine.campaign_world import PLAN, SENDER
from tests.engine.campaign_world_reading import AFTER, CAMPAIGNS, ENDED
from tests.engine.conftest import World


def take_hold(world: World, model: Model, deed: str, people: Sequence[str]) -> list[str]:
    """Do it, and tell the model once it is committed; what it should not have left.

    Raises:
        OperationalError: somebody holds what it needs; nothing was done.
    """
    if deed == "change address":
        _change_addresses(world, model, people)
        return []
    if deed == ("pause sender" if model.sender_paused else "resume sender"):
        return []
    with world.database.begin() as connection:
        rows = connection.execute(CAMPAIGNS, {"tenant_id": world.tenant_id}).all()
        connection.rollback()
        standing = {row.contact_id: row.status for row in rows}
        ids = [row.id for row in rows if row.contact_id in people]
    if deed == "enrol":
        return _enrol(world, model, people, standing)
    with world.database.begin() as connection:
        _do(connection, world, deed, ids, [model.addresses[person] for person in people])
    model.took_hold(deed, people, standing)
    if deed not in AFTER:
        return []
    concerned = list(model.addresses) if deed == "switch back" else list(people)
    return [f"after {deed}: {row}" for row in world.rows(AFTER[deed], people=concerned)]


def _do(connection: Connection, world: World, deed: str, ids: Sequence[str], addresses: Sequence[str]) -> None:
    tenant_id, now = world.tenant_id, world.clock.time
    match deed:
        case "pause":
            steer.pause(connection, tenant_id, ids, now=now)
        case "resume":
            steer.resume(connection, tenant_id, ids, now=now)
        case "stop":
            steer.stop(connection, tenant_id, ids, now=now)
        case "suppress":
            suppress(connection, tenant_id, addresses, now=now)
        case "lift":
            kinds, scope = list(SuppressionType), SuppressionScope.ADDRESS
            end_suppressions(connection, tenant_id, Channel.EMAIL, scope, addresses, kinds, now)
        case "switch":
            steer.pause_sending(connection, tenant_id, reason="test", now=now)
        case "switch back":
            steer.resume_sending(connection, tenant_id, now=now)
        case "pause sender":
            pause_sender(connection, tenant_id, SENDER, now=now)
        case "resume sender":
            resume_sender(connection, tenant_id, SENDER, now=now)
        case _:
            raise AssertionError(deed)


def _enrol(world: World, model: Model, people: Sequence[str], standing: dict[str, str]) -> list[str]:
    """Whose campaign is under way keeps it; all others begin."""
    with world.database.begin() as connection:
        result = enroll(connection, world.tenant_id, PLAN, people, now=world.clock.time)
    ready = {person for person in people if standing.get(person, ENDED[0]) in ENDED}
    model.enrolled(ready)
    return [] if set(result.enrolled) == ready else [f"enrolled were {result}, and not {ready}"]


def _change_addresses(world: World, model: Model, people: Sequence[str]) -> None:
    """They have other addresses from now on, and their old ones are closed: their campaigns go on, but for what was written for the old ones."""
    old = {model.addresses[person] for person in people}
    moved = {person: f"new{sum(model.started.values())}-{model.addresses[person]}" for person in people}
    with world.database.begin() as connection:
        connection.execute(
            text(
                "UPDATE dripiq_app.lead_point_of_contacts AS contact SET email = moved.email"
                " FROM unnest(CAST(:ids AS text[]), CAST(:emails AS text[])) AS moved (id, email)"
                " WHERE tenant_id = :tenant_id AND contact.id = moved.id"
            ),
            {"tenant_id": world.tenant_id, "ids": list(moved), "emails": list(moved.values())},
        )
    model.addresses |= moved
    with world.database.begin() as connection:
        rows = connection.execute(CAMPAIGNS, {"tenant_id": world.tenant_id}).all()
    with world.database.begin() as connection:
        suppress(connection, world.tenant_id, sorted(old), now=world.clock.time)
    model.close(old, [row.contact_id for row in rows])
