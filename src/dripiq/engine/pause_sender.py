"""How is a sender paused, by hand or for its bounces and complaints, and how does it come back?

What a paused sender would send is held, with the reason. Resuming releases it; what bounced or was complained of before then never counts again.
"""

import logging
from datetime import datetime

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dripiq.domain.errors import ConflictError, InputError, NotFoundError
from dripiq.domain.rotation import MOST_WEIGHT
from dripiq.domain.sender_health import PAUSE_CODES, PauseReason, Tolerance, fault_of, say_fault
from dripiq.domain.states import Channel
from dripiq.engine.caller import connection_of, time_of
from dripiq.engine.clock import Clock
from dripiq.repositories import senders
from dripiq.repositories.archive import notify_work
from dripiq.repositories.queue import release_held
from dripiq.repositories.sending_lock import lock_exclusive

logger = logging.getLogger(__name__)


def pause_sender(
    caller: Connection | Session, tenant_id: str, given: str, *, note: str | None = None, now: datetime | None = None
) -> str:
    """Let nothing more leave from a sender: once the caller has committed, no message of it becomes `sending`. Its address.

    Must be the first statement of its transaction; see `suppress` for what it waits for and holds up.

    Args:
        given: the sender's id or address.
        now: the time (aware, UTC); None for the database's.

    Raises:
        NotFoundError: `unknown_sender`.
        ConflictError: `sender_paused`: it is already.
    """
    connection = connection_of(caller)
    _lock(connection, tenant_id)
    now = time_of(connection, now)
    sender_id, address, _ = _find(connection, tenant_id, given)
    if not senders.pause_senders(connection, tenant_id, [(sender_id, PauseReason.MANUAL, note)], now):
        raise ConflictError(f"{address} is paused already.", code="sender_paused", facts={"sender": address})
    return address


def resume_sender(
    caller: Connection | Session, tenant_id: str, given: str, *, now: datetime | None = None
) -> tuple[str, int]:
    """Let a sender send again, and what was held for it pass the gates: its address, and how many sends were released.

    Its rates begin anew. Must be the first statement of its transaction. What another paused sender holds is asked again, and held again.

    Raises:
        NotFoundError: `unknown_sender`.
        ConflictError: `sender_not_paused`.
    """
    connection = connection_of(caller)
    _lock(connection, tenant_id)
    now = time_of(connection, now)
    sender_id, address, reason = _find(connection, tenant_id, given)
    if reason is None or not senders.resume_sender(connection, tenant_id, sender_id, now):
        raise ConflictError(f"{address} is not paused.", code="sender_not_paused", facts={"sender": address})
    released = release_held(connection, tenant_id, PAUSE_CODES[reason], now)
    notify_work(connection)
    return address, released


def weigh_sender(
    caller: Connection | Session, tenant_id: str, given: str, weight: int, *, now: datetime | None = None
) -> str:
    """Say how often a sender has its turn: its address.

    Args:
        weight: 0 to 1000, beside the others' (1 where nothing is said); with 0 it gets nobody new: it sends where it is
            named, and to whom it wrote before.

    Raises:
        NotFoundError: `unknown_sender`.
        InputError: `weight`.
    """
    connection = connection_of(caller)
    if not 0 <= weight <= MOST_WEIGHT:
        raise InputError(f"A weight is a whole number from 0 to {MOST_WEIGHT}.", code="weight")
    sender_id, address, _ = _find(connection, tenant_id, given)
    senders.weigh_sender(connection, tenant_id, sender_id, weight, time_of(connection, now))
    return address


def pause_troubled(database: Engine, clock: Clock, tolerance: Tolerance) -> int:
    """Pause the senders whose bounces or complaints have reached what is tolerated, of all tenants; how many.

    A tenant whose sending somebody's transaction holds up is looked at the next time.
    """
    with database.connect() as connection:
        now = clock.now(connection)
        found = senders.find_troubled_tenants(connection, tolerance, now)
        troubled = [tenant_id for tenant_id in found if _faults(connection, tenant_id, tolerance, now)]
    paused = 0
    for tenant_id in troubled:  # only they wait for the lock, which holds up their sending
        try:
            with database.begin() as connection:
                _lock(connection, tenant_id)
                paused += _pause_troubled_of(connection, tenant_id, tolerance, clock.now(connection))
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
    return paused


def _pause_troubled_of(connection: Connection, tenant_id: str, tolerance: Tolerance, now: datetime) -> int:
    pauses = _faults(connection, tenant_id, tolerance, now)
    paused = senders.pause_senders(connection, tenant_id, list(pauses.values()), now) if pauses else []
    for sender_id in paused:
        logger.warning("Sender %s of tenant %s is paused: %s.", sender_id, tenant_id, pauses[sender_id][2])
    return len(paused)


def _faults(
    connection: Connection, tenant_id: str, tolerance: Tolerance, now: datetime
) -> dict[str, tuple[str, PauseReason, str | None]]:
    """The tenant's senders whose rates are beyond what is tolerated, each with the reason and what to say of it."""
    return {
        sender_id: (sender_id, reason, say_fault(reason, rates, tolerance))
        for sender_id, rates in senders.read_rates(connection, tenant_id, tolerance, now).items()
        if (reason := fault_of(rates, tolerance)) is not None
    }


def _lock(connection: Connection, tenant_id: str) -> None:
    lock_exclusive(connection, [(tenant_id, channel) for channel in Channel])


def find_address(connection: Connection, tenant_id: str, given: str) -> tuple[str, str]:
    """The id and address of the tenant's sender of that id or address.

    Raises:
        NotFoundError: `unknown_sender`.
    """
    return _find(connection, tenant_id, given)[:2]


def _find(connection: Connection, tenant_id: str, given: str) -> tuple[str, str, PauseReason | None]:
    sender = senders.find_sender(connection, tenant_id, given)
    if sender is None:
        raise NotFoundError(
            f"The tenant has no sender {given!r}: `dripiq senders list --tenant …` shows those it has.",
            code="unknown_sender",
            facts={"sender": given},
        )
    return sender.id, sender.from_email, PauseReason(sender.pause_reason) if sender.paused_at is not None else None
