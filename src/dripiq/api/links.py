"""What does somebody get who follows a link of a mail of ours?

What they came for, whatever becomes of our counting: a click leads on to where its signed token says, an open gets its pixel. The request is archived before it
is answered; what it means is found out later. A link that we did not sign leads nowhere.
"""

import ipaddress
import logging
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from html import escape
from http import HTTPStatus

from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dripiq.api.problems import ClosedError
from dripiq.channels.own_events import Seen
from dripiq.config.settings import Settings
from dripiq.db.session import connect
from dripiq.domain.errors import DatabaseError, SignatureError
from dripiq.domain.events import EventType
from dripiq.domain.tracking import Tracked, read_click, read_open
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.notice import notice
from dripiq.wiring import Database

logger = logging.getLogger(__name__)

_PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_HEADERS = {
    "Cache-Control": "no-store, private",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PREFETCH = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_ANSWERS: dict[int | str, dict[str, object]] = {
    302: {"description": "Where the link led before."},
    404: {"description": "The link is not valid."},
}


def make_router(settings: Settings, database: Database) -> APIRouter:
    """The targets of the links that `tracking.Links` makes."""
    router = APIRouter(tags=["links"])
    clock = DatabaseClock()

    async def follow(request: Request, token: str, read: Callable[[str, str], Tracked]) -> Response:
        try:
            tracked = read(token, _secret(settings))
        except SignatureError as error:
            return _refusal(error)
        await run_in_threadpool(archive, tracked, request)
        if tracked.url is None:
            return Response(_PIXEL, HTTPStatus.OK, _HEADERS, "image/gif")
        return RedirectResponse(tracked.url, HTTPStatus.FOUND, _HEADERS)

    def archive(tracked: Tracked, request: Request) -> None:
        try:
            with connect(database.engine) as connection, connection.begin():
                now: datetime = clock.now(connection)
                notice(connection, tracked.tenant_id, _seen(tracked, request, now), now)
        except (DatabaseError, SQLAlchemyError) as error:  # who follows a link gets there all the same
            logger.warning("a click or an open is lost, because the database failed: %s", type(error).__name__)

    @router.head("/click/{token}", include_in_schema=False)
    @router.get("/click/{token}", response_class=Response, responses=_ANSWERS)
    async def click(request: Request, token: str) -> Response:
        """Lead on to where the link led before it was ours."""
        return await follow(request, token, read_click)

    @router.head("/open/{token}", include_in_schema=False)
    @router.get("/open/{token}", response_class=Response, responses=_ANSWERS)
    async def open_(request: Request, token: str) -> Response:
        """An image of one pixel."""
        return await follow(request, token, read_open)

    return router


def _secret(settings: Settings) -> str:
    if settings.secret is None:
        message = "Links are closed. Set DRIPIQ_SECRET to the key that they are signed with."
        raise ClosedError(message, code="links_closed", facts={"setting": "DRIPIQ_SECRET"})
    return settings.secret.get_secret_value()


def _seen(tracked: Tracked, request: Request, now: datetime) -> Seen:
    said = " ".join(request.headers.get(name, "") for name in _PREFETCH).lower()
    return Seen(
        event=EventType.OPENED if tracked.url is None else EventType.CLICKED,
        message_id=tracked.message_id,
        at=now,
        url=tracked.url,
        ip=_address(request),
        user_agent=request.headers.get("user-agent", ""),
        method=request.method,
        prefetch="prefetch" in said or "preview" in said,
    )


def _address(request: Request) -> str | None:
    """Whose address the request comes from, as the server or a proxy on this machine says."""
    try:
        return str(ipaddress.ip_address(request.client.host)) if request.client is not None else None
    except ValueError:
        return None


def _refusal(error: SignatureError) -> Response:
    page = f"<!doctype html><title>This link does not work</title><p>{escape(error.message)}</p>\n"
    return HTMLResponse(page, HTTPStatus.NOT_FOUND, _HEADERS)
