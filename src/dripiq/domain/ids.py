"""What is the identity of a thing that must happen once?

A row's `id` is a cuid2 made at random (see `dripiq.schema.ids`); here are the identities that are *derived*, so that the same intention made
twice meets its first copy in a unique key.
"""

import hashlib


def send_key(campaign_id: str, contact_id: str, node_id: str, visit: int, channel: str) -> str:
    """The identity of one send: this contact, campaign, node, visit and channel. One accepted message per key, ever."""
    return digest(contact_id, campaign_id, node_id, str(visit), channel)


def action_key(campaign_id: str, node_id: str, visit: int, name: str) -> str:
    """The identity of one scheduled action: what (`name`: `send`, or the timer's name) at which visit of which node of which campaign."""
    return digest(campaign_id, node_id, str(visit), name)


def digest(*parts: str) -> str:
    """SHA-256 over the parts, hex; no two lists of parts run together (each carries its length)."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
