"""How does a claimed send become a message at the provider, at most once, and never lost?

prepare (one transaction for the batch) → commit to send (one per sub-batch, the point of no return) → hand over (no transaction) → record (one per
sub-batch). A process that dies leaves `queued` messages, which are sent later, or `sending` ones, which become `in_doubt` and are never sent blindly.
"""

from dripiq.engine.dispatch.hand_over import Outbox, Tally, dispatch

__all__ = ["Outbox", "Tally", "dispatch"]
