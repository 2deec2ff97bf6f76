"""What does a provider get for bringing us somebody's answer?

2xx only when the mail is archived and committed; what it means is found out afterwards, by a worker. SendGrid does not sign Inbound Parse unless it is told to,
so the URL itself carries a secret: as `?secret=…`, or as the password of HTTP Basic (https://any:SECRET@host/…). It posts again for three days what was
answered with a 5xx, and nothing else (Twilio SendGrid, "Inbound Email Parse Webhook").
"""

import hmac
from base64 import b64decode
from http import HTTPStatus

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dripiq.api.body import read_body
from dripiq.api.problems import ClosedError
from dripiq.channels.inbound_form import PROVIDER
from dripiq.config.settings import Settings
from dripiq.db.session import connect
from dripiq.domain.errors import SignatureError
from dripiq.engine.arrive import arrive
from dripiq.engine.clock import DatabaseClock
from dripiq.wiring import Database, reply_addresses

_ANSWERS: dict[int | str, dict[str, object]] = {
    200: {"description": "This very request is archived already."},
    202: {"description": "Archived and committed."},
    400: {"description": "No form of Inbound Parse."},
    401: {"description": "The secret is missing or wrong; nothing was archived."},
    413: {"description": "The mail is too large."},
    503: {"description": "The database is down, or no secret is set. Send it again later."},
}


def make_router(settings: Settings, database: Database) -> APIRouter:
    """Where mail comes in over HTTP."""
    router = APIRouter(tags=["webhooks"])
    clock = DatabaseClock()

    def archive(raw: bytes) -> bool:
        with connect(database.engine) as connection, connection.begin():
            return arrive(connection, PROVIDER, raw, clock.now(connection), reply_addresses(settings))

    @router.post("/webhooks/sendgrid/inbound", status_code=202, response_class=Response, responses=_ANSWERS)
    async def receive_inbound(request: Request) -> Response:
        """SendGrid's Inbound Parse, with the raw mail or in parts."""
        if settings.inbound_secret is None:
            message = (
                "Inbound Parse is closed. Set DRIPIQ_INBOUND_SECRET to where a secret lies (env:NAME or file:PATH), and add ?secret=… "
                "with it to the URL in SendGrid's settings."
            )
            raise ClosedError(message, code="inbound_closed", facts={"setting": "DRIPIQ_INBOUND_SECRET"})
        check_secret(request, settings.inbound_secret.get_secret_value())
        raw = await read_body(request, settings.inbound_max_bytes)
        new = await run_in_threadpool(archive, raw)
        return Response(status_code=HTTPStatus.ACCEPTED if new else HTTPStatus.OK)

    return router


def check_secret(request: Request, secret: str) -> None:
    """Return if the request carries the secret, in its query or as the password of HTTP Basic (RFC 7617).

    Raises:
        SignatureError: `bad_secret`.
    """
    given = request.query_params.get("secret") or _password(request.headers.get("authorization", ""))
    if not hmac.compare_digest(given.encode(), secret.encode()):
        raise SignatureError("The URL does not carry the secret that DRIPIQ_INBOUND_SECRET names.", code="bad_secret")


def _password(authorization: str) -> str:
    kind, _, credentials = authorization.partition(" ")
    try:
        decoded = b64decode(credentials.strip(), validate=True).decode() if kind.lower() == "basic" else ""
    except ValueError:
        decoded = ""
    return decoded.partition(":")[2]
