"""How does somebody who said STOP take it back?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

LIFT_SUPPRESSIONS = text(
    """
    UPDATE dripiq_app.communication_suppressions AS suppression
    SET expires_at = lift.at, updated_at = :now
    FROM unnest(CAST(:channels AS text[]), CAST(:values AS text[]), CAST(:ats AS timestamptz[])) AS lift (channel, value, at)
    WHERE suppression.tenant_id = :tenant_id AND suppression.channel = lift.channel AND suppression.value = lift.value
        AND suppression.type = 'unsubscribe' AND suppression.source = 'reply' AND suppression.last_seen_at <= lift.at
        AND (suppression.expires_at IS NULL OR suppression.expires_at > lift.at)
    """
)
"""Only what a reply has closed, and no later one has closed again."""


@dataclass(frozen=True, slots=True)
class Lift:
    """An address whose owner takes a STOP back, and when."""

    channel: str
    value: str
    at: datetime


def lift_suppressions(connection: Connection, tenant_id: str, lifts: Sequence[Lift], now: datetime) -> None:
    """End what a reply has closed for those who take it back; of several of one address, the last counts."""
    last = {(lift.channel, lift.value): lift for lift in sorted(lifts, key=lambda each: each.at)}.values()
    connection.execute(
        LIFT_SUPPRESSIONS,
        {
            "tenant_id": tenant_id,
            "now": now,
            "channels": [lift.channel for lift in last],
            "values": [lift.value for lift in last],
            "ats": [lift.at for lift in last],
        },
    )
