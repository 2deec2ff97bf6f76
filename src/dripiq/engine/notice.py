"""How is it kept that somebody followed a link of a mail of ours?"""

from datetime import datetime

from sqlalchemy import Connection

from dripiq.channels.own_events import PROVIDER, Seen, pack
from dripiq.repositories.archive import Slice, archive, notify_work


def notice(connection: Connection, tenant_id: str, seen: Seen, now: datetime) -> bool:
    """Archive a request in the caller's transaction; whether it is news.

    Raises:
        sqlalchemy.exc.IntegrityError: the tenant is gone.
    """
    news = archive(connection, PROVIDER, [Slice(tenant_id, pack(seen), fits_jsonb=False)], now) > 0
    if news:
        notify_work(connection)
    return news
