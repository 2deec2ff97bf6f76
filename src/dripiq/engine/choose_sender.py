"""Can this plan's mail leave, and from which address?

Asked before contacts are enrolled: a send without a verified sender would only wait at its gate.
"""

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.addresses import normalise_email
from dripiq.domain.errors import InputError, NotFoundError
from dripiq.domain.plan.model import NodeAction, Plan
from dripiq.domain.states import ValidationStatus
from dripiq.repositories import EmailSenderIdentityRepository
from dripiq.repositories.outbox import read_senders
from dripiq.schema import EmailSenderIdentity


def choose_sender(connection: Connection, tenant_id: str, plan: Plan, email: str | None = None) -> str | None:
    """The id of the sender for a campaign: the tenant's of that address, else its default; None where each node names its own.

    Raises:
        NotFoundError: `unknown_sender`, also for a sender that a node names.
        InputError: `no_sender` where the tenant has no default one; `sender_unverified`.
    """
    named = [node.sender_identity_id for node in plan.nodes.values() if node.action is NodeAction.SEND]
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        senders = EmailSenderIdentityRepository(session, tenant_id)
        for sender_id in dict.fromkeys(name for name in named if name is not None):
            _usable(senders.get(sender_id), sender_id)
        if email is not None:
            return _usable(senders.get_by_from_email(normalise_email(email)), email)
        if all(name is not None for name in named):
            return None
        default = next(iter(senders.list(is_default=True, limit=1).items), None)
        if default is None:
            raise InputError(
                "The tenant has no default sender: name one with --sender, or make one with `dripiq senders add EMAIL --verified --tenant …`.",
                code="no_sender",
            )
        return _usable(default, default.from_email)


def refuse_unknown_senders(connection: Connection, tenant_id: str, plan: Plan, sender_id: str | None = None) -> None:
    """See that the tenant has the sender that is named, and those that the plan's nodes name. Whether they may be used yet is the gate's question.

    Raises:
        NotFoundError: `unknown_sender`.
    """
    named = {node.sender_identity_id for node in plan.nodes.values()} | {sender_id}
    wanted = {name for name in named if name is not None}
    if not wanted:
        return
    known = {row.id for row in read_senders(connection, tenant_id, sorted(wanted))}
    for name in sorted(wanted - known):
        raise _unknown(name)


def _unknown(given: str) -> NotFoundError:
    return NotFoundError(
        f"The tenant has no sender {given!r}: `dripiq senders list --tenant …` shows those it has.",
        code="unknown_sender",
        facts={"sender": given},
    )


def _usable(sender: EmailSenderIdentity | None, given: str) -> str:
    if sender is None:
        raise _unknown(given)
    if sender.validation_status is not ValidationStatus.VERIFIED:
        raise InputError(
            f"The sender {sender.from_email} is {sender.validation_status}, and nothing leaves from it: "
            f"`dripiq senders add {sender.from_email} --verified --tenant …` says that it may be used.",
            code="sender_unverified",
            facts={"sender": sender.from_email, "validation_status": str(sender.validation_status)},
        )
    return sender.id
