"""How does dripiq come to know a tenant, or an address that it sends from?

Works in the caller's transaction. Where the application has tables of its own for these, they are read and never written to.
"""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.addresses import domain_of, normalise_email
from dripiq.domain.errors import ConflictError, InputError, NotFoundError
from dripiq.domain.plan.faults import did_you_mean
from dripiq.domain.states import ValidationStatus
from dripiq.repositories import EmailSenderIdentityRepository
from dripiq.repositories.registration import (
    TenantName,
    find_tenants_named,
    find_users,
    insert_tenant,
    insert_user,
    list_tenants,
    lock_tenant_name,
    read_own_host_tables,
)
from dripiq.schema import EmailSenderIdentity


def find_tenant(connection: Connection, given: str) -> TenantName:
    """The tenant of an id or exact name; an id goes before a name.

    Raises:
        NotFoundError: `unknown_tenant`.
        InputError: `ambiguous_tenant`, where several have that name.
    """
    found = find_tenants_named(connection, given)
    if not found:
        near = did_you_mean(given, [tenant.name for tenant in list_tenants(connection)])
        raise NotFoundError(
            f"There is no tenant {given!r}{near}: `dripiq tenants list` shows them, `dripiq tenants create` makes one.",
            code="unknown_tenant",
            facts={"tenant": given},
        )
    exact = [tenant for tenant in found if tenant.id == given] or found
    if len(exact) > 1:
        ids = [tenant.id for tenant in exact]
        raise InputError(
            f"{len(ids)} tenants have the name {given!r}: name one by its id ({', '.join(ids[:10])}).",
            code="ambiguous_tenant",
            facts={"tenant": given, "ids": ids},
        )
    return exact[0]


def register_tenant(connection: Connection, name: str) -> TenantName:
    """Make a tenant.

    Raises:
        InputError: `no_name`.
        ConflictError: `tenant_exists`; `host_adopted` where the tenants are the application's own.
    """
    name = " ".join(name.split())
    if not name:
        raise InputError("A tenant needs a name.", code="no_name")
    _own_table(connection, "tenants")
    lock_tenant_name(connection, name)
    if find_tenants_named(connection, name):
        raise ConflictError(f"There is a tenant {name!r} already.", code="tenant_exists", facts={"name": name})
    return insert_tenant(connection, name)


def register_sender(
    connection: Connection,
    tenant_id: str,
    email: str,
    *,
    now: datetime,
    name: str | None = None,
    reply_to: str | None = None,
    user: str | None = None,
    verified: bool = False,
) -> EmailSenderIdentity:
    """Make an address that a tenant sends from; the tenant's first is its default.

    Args:
        now: the engine's time (aware, UTC).
        name: what recipients see; None for the part before the @.
        user: whose it is, by id or e-mail; None for the user of that address, who is made where the users are dripiq's own.
        verified: the operator answers for it that the address may be sent from; also for one that exists.

    Raises:
        InputError: `invalid_email`, `ambiguous_user`.
        NotFoundError: `unknown_user`.
        ConflictError: `sender_exists`: the tenant has that sender already, and there is nothing to verify.
    """
    address = normalise_email(email)
    answer_to = normalise_email(reply_to) if reply_to is not None else None
    shown = name or address.partition("@")[0]
    with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
        senders = EmailSenderIdentityRepository(session, tenant_id)
        verdict = ValidationStatus.VERIFIED if verified else ValidationStatus.PENDING
        checked = now if verified else None
        there = senders.get_by_from_email(address)
        if there is not None and verified and there.validation_status is not ValidationStatus.VERIFIED:
            sender = senders.update(there.id, {"validation_status": verdict, "last_validated_at": now})
            assert sender is not None
        elif there is not None:
            raise ConflictError(
                f"{address} is a sender of the tenant already ({there.validation_status}): `dripiq senders list --tenant …` shows it.",
                code="sender_exists",
                facts={"sender": address, "validation_status": str(there.validation_status)},
            )
        else:
            sender = senders.create(
                {
                    "user_id": _user(connection, user, address, shown),
                    "from_email": address,
                    "from_name": shown,
                    "domain": domain_of(address),
                    "reply_to": answer_to,
                    "validation_status": verdict,
                    "last_validated_at": checked,
                    "is_default": senders.count(is_default=True) == 0,
                }
            )
        session.commit()
        session.expunge_all()
    return sender


def _user(connection: Connection, given: str | None, address: str, name: str) -> str:
    found = find_users(connection, given or address)
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise InputError(
            f"{len(found)} users have the address {given or address!r}: name one by its id, with --user.",
            code="ambiguous_user",
            facts={"user": given or address, "ids": list(found)},
        )
    if given is not None or "users" not in read_own_host_tables(connection):
        raise NotFoundError(
            f"There is no user {given or address!r}: name one by id or address, with --user.",
            code="unknown_user",
            facts={"user": given or address},
        )
    return insert_user(connection, address, name)


def _own_table(connection: Connection, table: str) -> None:
    if table not in read_own_host_tables(connection):
        raise ConflictError(
            f"The {table} in this database belong to the application, and dripiq never writes to them: add them there.",
            code="host_adopted",
            facts={"table": table},
        )
