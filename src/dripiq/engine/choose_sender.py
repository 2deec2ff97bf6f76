"""Can this plan's mail leave, and from which address?

Asked before contacts are enrolled: a send without a verified sender would only wait at its gate.
"""

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.addresses import normalise_email
from dripiq.domain.errors import InputError, NotFoundError
from dripiq.domain.plan.model import NodeAction, Plan
from dripiq.domain.rotation import Chosen, SenderChoice, take_turn
from dripiq.domain.sender_health import PAUSE_CODES
from dripiq.domain.states import ValidationStatus
from dripiq.repositories import EmailSenderIdentityRepository
from dripiq.repositories.preparing import read_senders
from dripiq.repositories.senders import read_kept, read_turns
from dripiq.schema import EmailSenderIdentity


def choose_sender(connection: Connection, tenant_id: str, plan: Plan, email: str | None = None) -> str | None:
    """The id of the sender that a campaign names: the tenant's of that address; None where the senders take turns, or each node names its own.

    Raises:
        NotFoundError: `unknown_sender`, also for a sender that a node names.
        InputError: `no_sender` where the tenant has none that takes turns; `sender_unverified`; `sender_paused`.
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
        if read_turns(connection, tenant_id):
            return None
        first = next(iter(senders.list(is_default=True, limit=1).items), None) or next(
            iter(senders.list(limit=1).items), None
        )
        if first is None:
            raise InputError(
                "The tenant has no sender: make one with `dripiq senders add EMAIL --verified --tenant …`.",
                code="no_sender",
            )
        _usable(first, first.from_email)
        raise InputError(
            "None of the tenant's senders takes turns: name one with --sender, or give one a weight with `dripiq senders weigh`.",
            code="no_sender",
        )


def share_out(
    connection: Connection, tenant_id: str, plan: Plan, contact_ids: Sequence[str], sender_id: str | None = None
) -> dict[str, Chosen]:
    """Whose each contact is, by contact id. Who wrote to a contact before goes on; the others are dealt out by turn. Writes nothing.

    Nobody is dealt out where every node names its sender, or where no sender takes turns: then the tenant's default one stands at the gate.

    Args:
        sender_id: the one that was named for all of them.
    """
    if sender_id is not None:
        return dict.fromkeys(contact_ids, Chosen(sender_id, SenderChoice.NAMED))
    if all(node.sender_identity_id is not None for node in plan.nodes.values() if node.action is NodeAction.SEND):
        return {}
    chosen = {
        contact_id: Chosen(kept, SenderChoice.KEPT)
        for contact_id, kept in read_kept(connection, tenant_id, contact_ids).items()
    }
    turns = read_turns(connection, tenant_id)
    for contact_id in contact_ids:
        if contact_id not in chosen and (sender := take_turn(contact_id, turns)) is not None:
            chosen[contact_id] = Chosen(sender, SenderChoice.TURN)
    return chosen


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
            f"`dripiq senders verify {sender.from_email} --tenant …` mails it a code; `dripiq senders add … --verified` takes your word.",
            code="sender_unverified",
            facts={"sender": sender.from_email, "validation_status": str(sender.validation_status)},
        )
    if sender.pause_reason is not None:
        raise InputError(
            f"The sender {sender.from_email} is paused ({sender.pause_note or sender.pause_reason}), and nothing leaves from it: "
            f"`dripiq senders resume {sender.from_email} --tenant …` lets it send again.",
            code=PAUSE_CODES[sender.pause_reason],
            facts={"sender": sender.from_email, "pause_reason": str(sender.pause_reason)},
        )
    return sender.id
