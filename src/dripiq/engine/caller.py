"""In whose transaction, and at what time, does a caller's request happen?"""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.engine.clock import DatabaseClock


def connection_of(caller: Connection | Session) -> Connection:
    """The connection of the caller's transaction; an ORM session is flushed first, so that its new rows are there to be found."""
    if isinstance(caller, Session):
        caller.flush()
        return caller.connection()
    return caller


def time_of(connection: Connection, now: datetime | None) -> datetime:
    """The time given, or the database's."""
    return DatabaseClock().now(connection) if now is None else now
