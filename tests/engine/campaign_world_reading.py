"""What `campaign_machine` asks of the database after each step, and what it must not find there.

The rules of the plan are told here once more, in SQL and by the stored rows alone, so that nothing of the engine's is asked about itself.
"""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, text

ENDED = ("completed", "stopped", "error")

CAMPAIGNS = text("SELECT id, contact_id, status FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id")
STARTS = text(
    """
    SELECT campaign.contact_id, count(*) AS times
    FROM dripiq_app.campaign_transitions AS move
    JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = :tenant_id AND campaign.id = move.contact_campaign_id
    WHERE move.tenant_id = :tenant_id AND move.trigger = 'started'
    GROUP BY campaign.contact_id
    """
)
NEWLY_SENDING = text(
    """
    SELECT message.id, message.attempts, message.to_address, campaign.contact_id, campaign.status
    FROM dripiq_app.outbound_messages AS message
    JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = :tenant_id AND campaign.id = message.contact_campaign_id
    WHERE message.tenant_id = :tenant_id AND message.status = 'sending'
    ORDER BY message.id
    """
)
ASSUMED = text(
    "SELECT id FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id AND error_code = 'assumed_sent'"
)
OPEN = "SELECT count(*) FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id AND status NOT IN ('completed', 'stopped', 'error')"
UNREAD = text("SELECT count(*) FROM dripiq_app.webhook_deliveries WHERE tenant_id = :tenant_id AND status = 'received'")

_HELD_BACK = """
    SELECT action.contact_campaign_id, action.status, action.reason
    FROM dripiq_app.scheduled_actions AS action
    JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = :tenant_id AND campaign.id = action.contact_campaign_id
    WHERE action.tenant_id = :tenant_id AND action.action_type = 'send' AND campaign.contact_id = ANY (:people)
"""
AFTER: Mapping[str, str] = {
    "pause": _HELD_BACK + "AND campaign.status = 'paused' AND action.status IN ('pending', 'queued')",
    "resume": _HELD_BACK + "AND action.status = 'held' AND action.reason <> 'in_doubt'",
    "stop": _HELD_BACK + "AND action.status IN ('pending', 'queued', 'held')",
    "suppress": _HELD_BACK + "AND action.status IN ('pending', 'queued', 'held')",
    "switch back": _HELD_BACK + "AND action.status = 'held' AND action.reason = 'tenant_paused'",
}
"""Sends of these people that must not be there once somebody has taken hold of them."""

_ANSWERED = """(VALUES ('intro', 'opened', INTERVAL '3 hours'), ('intro', 'clicked', INTERVAL '3 hours'),
        ('follow', 'clicked', INTERVAL '100 days'), ('bump', 'clicked', INTERVAL '100 days')) AS answered (node_id, event_type, span)"""

MUST_NOT_BE: Mapping[str, str] = {
    "an ended campaign went on": """
        SELECT contact_campaign_id, seq FROM dripiq_app.campaign_transitions
        WHERE tenant_id = :tenant_id AND from_status IN ('completed', 'stopped', 'error')""",
    "an event was taken twice": """
        SELECT contact_campaign_id, event_ref, trigger FROM dripiq_app.campaign_transitions
        WHERE tenant_id = :tenant_id AND event_ref IS NOT NULL GROUP BY contact_campaign_id, event_ref, trigger HAVING count(*) > 1""",
    "an open came too late for its window, and counted": """
        SELECT move.contact_campaign_id, event.event_at, message.sent_at
        FROM dripiq_app.campaign_transitions AS move
        JOIN dripiq_app.message_events AS event ON event.tenant_id = :tenant_id AND event.id = move.event_ref
        JOIN dripiq_app.outbound_messages AS message ON message.tenant_id = :tenant_id AND message.id = event.outbound_message_id
        WHERE move.tenant_id = :tenant_id AND move.from_node_id = 'intro' AND move.trigger = 'opened'
            AND event.event_at > message.sent_at + INTERVAL '3 hours'""",
    "an event was in time, and moved nothing": f"""
        SELECT campaign.id, campaign.current_node_id, event.event_type, event.event_at, message.sent_at
        FROM dripiq_app.contact_campaigns AS campaign
        JOIN dripiq_app.outbound_messages AS message ON message.tenant_id = :tenant_id AND message.contact_campaign_id = campaign.id
            AND message.node_id = campaign.current_node_id AND message.visit = campaign.visit
        JOIN dripiq_app.message_events AS event ON event.tenant_id = :tenant_id AND event.outbound_message_id = message.id
        JOIN {_ANSWERED} ON answered.node_id = message.node_id AND answered.event_type = event.event_type
        WHERE campaign.tenant_id = :tenant_id AND campaign.status IN ('active', 'paused')
            AND event.event_at BETWEEN greatest(message.sent_at, campaign.node_entered_at) AND message.sent_at + answered.span
            AND NOT EXISTS (
                SELECT FROM dripiq_app.scheduled_actions AS timer
                WHERE timer.tenant_id = :tenant_id AND timer.contact_campaign_id = campaign.id AND timer.action_type = 'timeout'
                    AND timer.status IN ('pending', 'queued', 'held') AND timer.run_at < event.event_at
            )""",
    "a timer went off that an open had made void": """
        SELECT move.contact_campaign_id, move.at, event.event_at
        FROM dripiq_app.campaign_transitions AS move
        JOIN LATERAL (
            SELECT id, sent_at FROM dripiq_app.outbound_messages
            WHERE tenant_id = :tenant_id AND contact_campaign_id = move.contact_campaign_id AND node_id = 'bump' AND sent_at <= move.at
            ORDER BY visit DESC LIMIT 1
        ) AS message ON true
        JOIN dripiq_app.message_events AS event ON event.tenant_id = :tenant_id AND event.outbound_message_id = message.id
            AND event.event_type = 'opened' AND event.event_at BETWEEN message.sent_at AND move.at AND event.created_at < move.created_at
        WHERE move.tenant_id = :tenant_id AND move.from_node_id = 'bump' AND move.trigger = 'no_open'""",
    "an event went before a timer that was due before it": """
        SELECT move.contact_campaign_id, event.event_type, event.event_at, timer.run_at
        FROM dripiq_app.campaign_transitions AS move
        JOIN dripiq_app.message_events AS event ON event.tenant_id = :tenant_id AND event.id = move.event_ref
        JOIN dripiq_app.outbound_messages AS message ON message.tenant_id = :tenant_id AND message.id = event.outbound_message_id
        JOIN dripiq_app.scheduled_actions AS timer ON timer.tenant_id = :tenant_id AND timer.contact_campaign_id = move.contact_campaign_id
            AND timer.node_id = message.node_id AND timer.visit = message.visit AND timer.action_type = 'timeout'
        WHERE move.tenant_id = :tenant_id AND move.trigger IN ('opened', 'clicked') AND move.from_node_id = message.node_id
            AND timer.run_at < event.event_at AND timer.updated_at >= move.created_at
            AND NOT EXISTS (
                SELECT FROM dripiq_app.message_events AS earlier
                WHERE message.node_id = 'bump' AND earlier.tenant_id = :tenant_id AND earlier.outbound_message_id = message.id
                    AND earlier.event_type = 'opened' AND earlier.event_at <= timer.run_at
            )""",
    "an action is of a visit that is over": """
        SELECT campaign.id, campaign.status, action.node_id, action.visit, action.status AS action_status
        FROM dripiq_app.scheduled_actions AS action
        JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = :tenant_id AND campaign.id = action.contact_campaign_id
        WHERE action.tenant_id = :tenant_id AND action.status IN ('pending', 'queued', 'held')
            AND ((action.node_id, action.visit) <> (campaign.current_node_id, campaign.visit)
                OR campaign.status IN ('completed', 'stopped', 'error'))""",
    "a message is prepared for a visit that is over": """
        SELECT campaign.id, campaign.status, message.node_id, message.visit
        FROM dripiq_app.outbound_messages AS message
        JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = :tenant_id AND campaign.id = message.contact_campaign_id
        WHERE message.tenant_id = :tenant_id AND message.status = 'queued'
            AND ((message.node_id, message.visit) <> (campaign.current_node_id, campaign.visit)
                OR campaign.status IN ('completed', 'stopped', 'error'))""",
    "a send in doubt is due": """
        SELECT message.id, message.status, action.reason
        FROM dripiq_app.outbound_messages AS message
        JOIN dripiq_app.scheduled_actions AS action ON action.tenant_id = :tenant_id
            AND action.contact_campaign_id = message.contact_campaign_id AND action.node_id = message.node_id
            AND action.visit = message.visit AND action.action_type = 'send'
        WHERE message.tenant_id = :tenant_id AND message.status IN ('sending', 'in_doubt') AND action.status = 'pending'""",
    "a neighbour's campaign was touched": """
        SELECT id, status FROM dripiq_app.contact_campaigns WHERE tenant_id = :neighbour_id AND (status <> 'active' OR transition_seq <> 1)""",
}
_ALL = text(
    "\nUNION ALL\n".join(
        f"SELECT '{what.replace(chr(39), chr(39) * 2)}' AS what, to_jsonb(found)::text AS found FROM ({statement}) AS found"
        for what, statement in MUST_NOT_BE.items()
    )
)


def breaches(connection: Connection, tenant_id: str, neighbour_id: str) -> Iterator[str]:
    """What must not be, and is."""
    for row in connection.execute(_ALL, {"tenant_id": tenant_id, "neighbour_id": neighbour_id}):
        yield f"{row.what}: {row.found}"
