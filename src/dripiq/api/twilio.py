"""What does Twilio get for telling us of a text message, of ours or to us?

2xx only when it is archived and committed; what cannot be authenticated reaches neither the parser nor the database. Who writes to us gets no answer by this
way: the answer holds no instruction (TwiML) but that there is none.
"""

from datetime import datetime
from http import HTTPStatus

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dripiq.api.body import read_body
from dripiq.api.problems import ClosedError
from dripiq.channels.twilio_events import PROVIDER
from dripiq.channels.twilio_request import SIGNATURE_HEADER, pack, verify_signature
from dripiq.config.settings import Settings
from dripiq.db.session import connect
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.ingest import ingest
from dripiq.wiring import Database

PATH = "/webhooks/twilio"
_NOTHING_TO_DO = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'

_ANSWERS: dict[int | str, dict[str, object]] = {
    200: {"description": "Archived and committed, now or before."},
    400: {"description": "No form."},
    401: {"description": "The signature is missing or wrong; nothing was archived."},
    413: {"description": "The body is too large."},
    503: {"description": "The database is down, or no token or public address is set."},
}


def make_router(settings: Settings, database: Database) -> APIRouter:
    """Where Twilio reports deliveries, and brings text messages."""
    router = APIRouter(tags=["webhooks"])
    clock = DatabaseClock()

    def archive(raw: bytes) -> None:
        with connect(database.engine) as connection, connection.begin():
            now: datetime = clock.now(connection)
            ingest(connection, raw, now, PROVIDER)

    @router.post(PATH, response_class=Response, responses=_ANSWERS)
    async def receive_twilio(request: Request) -> Response:
        """Twilio's status callbacks, and incoming messages."""
        token, base = settings.twilio_webhook_token, settings.public_url
        if token is None or base is None:
            message = (
                "The Twilio webhook is closed. Set DRIPIQ_TWILIO_AUTH_TOKEN to where the account's auth token lies, and DRIPIQ_PUBLIC_URL to the address that "
                "Twilio reaches this API at, which it signs."
            )
            raise ClosedError(message, code="webhook_closed", facts={"setting": "DRIPIQ_TWILIO_AUTH_TOKEN"})
        body = await read_body(request, settings.webhook_max_bytes)
        query = request.url.query
        url = f"{base.rstrip('/')}{PATH}{'?' if query else ''}{query}"
        verify_signature(token.get_secret_value(), request.headers.get(SIGNATURE_HEADER), url, body)
        await run_in_threadpool(archive, pack(query, body))
        return Response(_NOTHING_TO_DO, HTTPStatus.OK, media_type="text/xml")

    return router
