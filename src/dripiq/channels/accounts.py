"""How does mail leave over many senders' own accounts?

Each account has connections of its own, opened when they are needed: a server that refuses one sender's login rests for that sender alone. Of the accounts
in use at least, and of `most` that were used last, connections are kept; the others' are closed.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dripiq.channels.base import Sender
from dripiq.domain.accounts import Account

PROVIDER = "smtp"
"""The provider's name stored with what leaves over an account."""


@dataclass(slots=True)
class _Pool:
    sender: Sender
    users: int = 0


class AccountSenders:
    """The senders' own ways of sending.

    Args:
        make: a `Sender` over an account's server.
        most: for how many accounts connections are kept while nobody uses them.
    """

    provider = PROVIDER

    def __init__(self, make: Callable[[Account], Sender], most: int = 50) -> None:
        self._make, self._most = make, most
        self._pools: dict[Account, _Pool] = {}

    def __len__(self) -> int:
        """How many accounts have connections, or may have."""
        return len(self._pools)

    @asynccontextmanager
    async def lend(self, account: Account) -> AsyncIterator[Sender]:
        """The account's way of sending, for as long as this lasts. An account that was changed is another one."""
        pool = self._pools.pop(account, None) or _Pool(self._make(account))
        self._pools[account] = pool  # the last one in the order is the last one used
        pool.users += 1
        try:
            yield pool.sender
        finally:
            pool.users -= 1
            await self._close_beyond(self._most)

    async def close(self) -> None:
        """Give up all connections that nobody uses."""
        await self._close_beyond(0)

    async def _close_beyond(self, most: int) -> None:
        idle = [account for account, pool in self._pools.items() if not pool.users]
        for account in idle[: max(0, len(self._pools) - most)]:
            pool = self._pools.pop(account)
            await pool.sender.close()
