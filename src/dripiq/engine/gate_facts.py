"""What do the gates know of a batch of sends?

Read once for the batch, and asked for each send, at any time: dispatch asks for now, `explain` and `preview` for later too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from dripiq.domain.addresses import domain_of
from dripiq.domain.buckets import Booking, Bucket, Ledger
from dripiq.domain.contents import Thread
from dripiq.domain.gates import SendFacts, Suppressed, Suppression, suppressing
from dripiq.domain.limits import Key, Rules
from dripiq.domain.moves import Contact
from dripiq.domain.plan.model import Node
from dripiq.domain.rotation import say_choice
from dripiq.domain.sender_health import PauseReason
from dripiq.domain.states import CampaignStatus, Channel, ValidationResult, ValidationStatus
from dripiq.repositories.limits import read_buckets, read_limits
from dripiq.repositories.preparing import read_senders, read_suppressed, read_validated


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """What counts the sends to one address, whoever of these senders sends them."""

    rules: Rules
    buckets: Mapping[Key, Bucket]

    def of(self, sender_id: str, address: str) -> tuple[Bucket, ...]:
        """What counts a send."""
        return tuple(self.buckets[key] for key in self.rules.keys(sender_id, address))


@dataclass(frozen=True, slots=True)
class GateFacts:
    """What one batch over one channel knows beside its rows: senders by id, suppressions, validation results by address; limits for who asks ahead of time."""

    tenant_paused: bool
    senders: Mapping[str, Any]
    default_sender: Any
    suppressed: Suppressed
    validated: Mapping[str, str]
    limits: LimitFacts | None = None

    def sender_of(self, row: Any, node: Node | None, thread: Thread | None = None) -> Any:
        """Whoever sent what it answers, as long as that sender is there; else the node's sender, the campaign's, or the tenant's default; None without any."""
        before = self.senders.get(thread.last.sender_id or "") if thread is not None else None
        if before is not None:
            return before
        name = (node.sender_identity_id if node is not None else None) or row.sender_identity_id
        return self.senders.get(name) if name is not None else self.default_sender

    def why_sender(self, row: Any, node: Node | None, thread: Thread | None = None) -> str | None:
        """Why it is the sender of `sender_of`, as a clause; None without any.

        Args:
            row: has the campaign's sender_identity_id and sender_choice.
        """
        if self.sender_of(row, node, thread) is None:
            return None
        return say_choice(
            row.sender_choice,
            answers=thread is not None and (thread.last.sender_id or "") in self.senders,
            node_names=node is not None and node.sender_identity_id is not None,
            is_default=row.sender_identity_id is None,
        )

    def of(self, row: Any, node: Node | None, sender: Any, at: datetime) -> SendFacts:
        """What the gates look at for one send at that time.

        Args:
            row: has contact_id, contact (its record), address, status, is_current.
        """
        validation = self.validated.get(row.address)
        by_address, by_domain = suppressing(self.suppressed, row.address, at)
        return SendFacts(
            contact=Contact(row.contact_id, row.contact.get("timezone")),
            tenant_paused=self.tenant_paused,
            status=CampaignStatus(row.status),
            is_current=bool(row.is_current) and node is not None,
            address=row.address,
            suppressed_address=by_address,
            suppressed_domain=by_domain,
            validation=ValidationResult(validation) if validation is not None else None,
            sender=ValidationStatus(sender.validation_status) if sender is not None else None,
            sender_paused=PauseReason(sender.pause_reason) if sender is not None and sender.pause_reason else None,
            buckets=self.limits.of(sender.id, row.address) if self.limits and sender and row.address else (),
        )


def read_gate_facts(
    connection: Connection,
    tenant_id: str,
    channel: Channel,
    *,
    tenant_paused: bool,
    addresses: Iterable[str | None],
    sender_ids: Iterable[str | None],
    now: datetime,
) -> GateFacts:
    """Read what the gates need to know.

    Args:
        addresses, sender_ids: of all sends of the batch; None is passed over.
        now: suppressions that end before are left out.
    """
    wanted = sorted({address for address in addresses if address})
    named = sorted({sender_id for sender_id in sender_ids if sender_id is not None})
    senders = {row.id: row for row in read_senders(connection, tenant_id, named)}
    values = [*wanted, *sorted({domain_of(address) for address in wanted})]
    suppressed: dict[tuple[str, str], list[Suppression]] = {}
    for found in read_suppressed(connection, tenant_id, channel, values, now):
        suppressed.setdefault((found.scope, found.value), []).append(found)
    return GateFacts(
        tenant_paused=tenant_paused,
        senders=senders,
        default_sender=next((sender for sender in senders.values() if sender.is_default), None),
        suppressed=suppressed,
        validated=read_validated(connection, tenant_id, wanted) if channel is Channel.EMAIL else {},
    )


def read_limit_facts(
    connection: Connection,
    tenant_id: str,
    channel: Channel,
    *,
    address: str,
    sender_ids: Iterable[str],
    booking: Booking | None,
    now: datetime,
) -> LimitFacts:
    """Read what limits the sends to an address, without locks.

    Args:
        booking: the slot of the send that is asked about: it is its own, and not in its way.
    """
    senders = list(sender_ids)
    rules = Rules(read_limits(connection, tenant_id, channel, [*senders, domain_of(address)]), now)
    wanted = dict(chain.from_iterable(rules.keys(sender_id, address).items() for sender_id in senders))
    buckets = read_buckets(connection, tenant_id, channel, wanted)
    Ledger(buckets).return_booking(booking)
    return LimitFacts(rules, buckets)
