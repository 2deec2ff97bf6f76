"""What time is it for the engine?

SQL takes `now` as a parameter, so that a simulation can drive the same statements. In production it is the database's, one clock for all workers.
"""

from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, text

_NOW = text("SELECT clock_timestamp()")


class Clock(Protocol):
    """Something that knows the engine's time."""

    def now(self, connection: Connection) -> datetime:
        """The time (aware, UTC)."""
        ...


class DatabaseClock:
    """The database server's own clock."""

    def now(self, connection: Connection) -> datetime:
        """The server's time at this call, not at the transaction's start."""
        found: datetime = connection.execute(_NOW).scalar_one()
        return found
