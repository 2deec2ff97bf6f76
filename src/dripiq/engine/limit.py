"""How is a tenant's limit set, lifted, or taken back to the default?"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.domain.errors import InputError, NotFoundError
from dripiq.domain.limits import Period, parse_ramp
from dripiq.domain.states import Channel, LimitScope, SuppressionScope
from dripiq.domain.suppression_list import stored_value
from dripiq.engine.caller import connection_of, time_of
from dripiq.repositories.limits import delete_limit, write_limit
from dripiq.repositories.senders import find_sender


def set_limit(
    caller: Connection | Session,
    tenant_id: str,
    scope: LimitScope,
    value: str | None = None,
    *,
    maxima: Mapping[Period, int],
    ramp: Mapping[str, Any] | None = None,
    channel: Channel = Channel.EMAIL,
    now: datetime | None = None,
) -> str | None:
    """Say how much may leave; holds from the next sub-batch on. Takes the place of what was said of the same scope and value.

    Args:
        value: a sender's id or address, or a recipient domain; None for each one of the scope.
        maxima: at most so many in any window of the period; without any, nothing limits this scope.
        ramp: how the day's limit grows to `maxima[DAY]`: see `limits.parse_ramp`.
        now: the time (aware, UTC); None for the database's.

    Returns:
        Whom it is for, as it is shown: the sender's address, or the domain in stored form.

    Raises:
        InputError: `limit`, where a number or value does not fit; `invalid_domain`; `ramp`.
        NotFoundError: `unknown_sender`.
    """
    connection = connection_of(caller)
    value, shown = _checked(connection, tenant_id, scope, value)
    wrong = next((period for period, most in maxima.items() if not 1 <= most <= _MOST), None)
    if wrong is not None:
        raise InputError(f"A limit for a {wrong} is a whole number from 1 to {_MOST:,}.", code="limit")
    if ramp is not None:
        if Period.DAY not in maxima:
            raise InputError("A ramp grows to the day's limit: say that too (--per-day).", code="ramp")
        if parse_ramp(ramp).start > maxima[Period.DAY]:
            raise InputError("A ramp starts at no more than the day's limit, which it grows to.", code="ramp")
    write_limit(connection, tenant_id, channel, scope, value, maxima, ramp, time_of(connection, now))
    return shown


def clear_limit(
    caller: Connection | Session,
    tenant_id: str,
    scope: LimitScope,
    value: str | None = None,
    *,
    channel: Channel = Channel.EMAIL,
) -> str | None:
    """Forget what was said of a scope and value: what is said of each one holds again, or the default. Whom it was for, as `set_limit` tells it.

    Raises:
        InputError: `limit`, `invalid_domain`.
        NotFoundError: `unknown_limit`, `unknown_sender`.
    """
    connection = connection_of(caller)
    value, shown = _checked(connection, tenant_id, scope, value)
    if not delete_limit(connection, tenant_id, channel, scope, value):
        raise NotFoundError(
            "Nothing was said of it; the default holds. `dripiq limits list` shows what was said.", code="unknown_limit"
        )
    return shown


def lift_limits(caller: Connection | Session, tenant_id: str, *, now: datetime | None = None) -> None:
    """Let nothing limit a tenant, on any channel: for trials, where nobody is written to."""
    for channel in Channel:
        for scope in LimitScope:
            set_limit(caller, tenant_id, scope, maxima={}, channel=channel, now=now)


_MOST = 10_000_000


def _checked(
    connection: Connection, tenant_id: str, scope: LimitScope, value: str | None
) -> tuple[str | None, str | None]:
    """The value in stored form, if it fits the scope, and as it is shown."""
    if value is None:
        return None, None
    if scope is LimitScope.TENANT:
        raise InputError("A tenant's limit is for the tenant: it takes no value.", code="limit")
    if scope is LimitScope.DOMAIN:
        domain = stored_value(value, Channel.EMAIL, SuppressionScope.DOMAIN)
        return domain, domain
    sender = find_sender(connection, tenant_id, value.strip())
    if sender is None:
        raise NotFoundError(
            f"The tenant has no sender {value!r}: `dripiq senders list` shows them.", code="unknown_sender"
        )
    return sender.id, sender.from_email
