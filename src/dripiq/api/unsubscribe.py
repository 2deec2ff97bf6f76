"""How does somebody get out, with one click?

- A GET shows a page and changes nothing: mail scanners and prefetchers follow links.
- A POST of `List-Unsubscribe=One-Click` suppresses the address and ends its campaigns (RFC 8058); a mailbox provider sends it, and so does the page's
  button.
- People read the answers, so that errors are pages too. No page loads anything, and none is indexed, framed or kept.
"""

import logging
from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from html import escape
from http import HTTPStatus

from fastapi import APIRouter
from psycopg.errors import ForeignKeyViolation
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse

from dripiq.api.body import read_body
from dripiq.api.problems import ClosedError, as_dripiq_error, retry_headers
from dripiq.config.settings import Settings
from dripiq.db.session import as_tenant, connect
from dripiq.domain.errors import DripiqError, InputError, SignatureError
from dripiq.domain.unsubscribe import Subscription, read
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.suppress import unsubscribe as unsubscribe_address
from dripiq.wiring import Database

logger = logging.getLogger(__name__)

_MAX_FORM_BYTES = 10_000

_STYLE = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}button{font:inherit;padding:.5rem 1.5rem}"
_FORM = '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click"><button>Unsubscribe</button></form>'
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address of the page is the right to unsubscribe
    "Cache-Control": "no-store",
}


def make_router(settings: Settings, database: Database) -> APIRouter:
    """The page behind the links that `wiring.unsubscribe_links` makes."""
    router = APIRouter(tags=["unsubscribe"], default_response_class=HTMLResponse)

    @router.api_route("/unsubscribe/{token}", methods=["GET", "HEAD"], include_in_schema=False)
    async def show(token: str) -> HTMLResponse:
        """Ask; change nothing."""
        try:
            address = _read(token, settings).address
        except DripiqError as error:
            return _refusal(error)
        text = f"No more messages will be sent to <strong>{escape(address)}</strong> from this sender."
        return _page(HTTPStatus.OK, "Unsubscribe?", f"<p>{text}</p>{_FORM}")

    @router.post("/unsubscribe/{token}", responses={404: {"description": "The link is not valid."}})
    async def unsubscribe(request: Request, token: str) -> HTMLResponse:
        """Suppress the link's address; the same again changes nothing more (RFC 8058)."""
        try:
            subscription = _read(token, settings)
            _check_form(await read_body(request, _MAX_FORM_BYTES))
            await run_in_threadpool(_close, database, subscription)
        except (DripiqError, SQLAlchemyError) as error:
            return _refusal(as_dripiq_error(error))
        text = f"No more messages will be sent to <strong>{escape(subscription.address)}</strong> from this sender."
        return _page(HTTPStatus.OK, "You are unsubscribed", f"<p>{text}</p>")

    return router


def _read(token: str, settings: Settings) -> Subscription:
    if settings.secret is None:
        message = "Unsubscribe links are closed. Set DRIPIQ_SECRET to the key that they are signed with."
        raise ClosedError(message, code="unsubscribe_closed", facts={"setting": "DRIPIQ_SECRET"})
    return read(token, settings.secret.get_secret_value())


def _check_form(body: bytes) -> None:
    """RFC 8058, section 3.2: the key and the value come as an URL-encoded form or as multipart; in both they stand as they are."""
    if b"List-Unsubscribe" not in body or b"One-Click" not in body:
        raise InputError("To unsubscribe, press the button.", code="not_one_click")


def _close(database: Database, subscription: Subscription) -> None:
    try:
        with connect(database.engine) as connection:
            now: datetime = DatabaseClock().now(connection)
            connection.rollback()  # the lock that `unsubscribe` takes must come first in its transaction
            with connection.begin(), as_tenant(connection, subscription.tenant_id):
                unsubscribe_address(
                    connection, subscription.tenant_id, subscription.address, channel=subscription.channel, now=now
                )
    except IntegrityError as error:
        if not isinstance(error.orig, ForeignKeyViolation):
            raise
        # The tenant is gone, and with it whoever could write to this address: what was asked for is true already.
        logger.info("an unsubscribe link of a tenant that no longer exists was used")


def _refusal(error: DripiqError) -> HTMLResponse:
    if isinstance(error, SignatureError):
        # 401 would ask for credentials (RFC 9110, section 15.5.2); there is no such link.
        return _page(HTTPStatus.NOT_FOUND, "This link does not work", f"<p>{escape(error.message)}</p>")
    if error.http_status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _page(error.http_status, "Not unsubscribed yet", f"<p>{escape(error.message)}</p>{_FORM}")
    logger.error("nobody can unsubscribe: %s", error.message)
    text = "You are not unsubscribed yet, and it is not your fault. Please try the same link again in a few minutes."
    return _page(error.http_status, "Something is not working", f"<p>{text}</p>")


def _page(status: int, title: str, content: str) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="robots" content="noindex, nofollow"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{content}</main></body></html>\n",
        status,
        {**_HEADERS, **retry_headers(status)},
    )
