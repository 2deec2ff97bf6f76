"""What does a provider get for telling us something?

2xx only when all of it is archived and committed. Whatever else it gets, SendGrid posts the same again for 24 hours (Twilio SendGrid, "Troubleshooting
the Event Webhook"), and that stores nothing twice. What cannot be authenticated reaches neither the parser nor the database.
"""

from datetime import UTC, datetime
from http import HTTPStatus

import orjson
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dripiq.api.body import read_body
from dripiq.api.problems import ClosedError
from dripiq.channels.sendgrid_request import SIGNATURE_HEADER, TIMESTAMP_HEADER, verify_signature
from dripiq.config.settings import Settings
from dripiq.db.session import connect
from dripiq.engine.clock import DatabaseClock
from dripiq.engine.ingest import Receipt, ingest
from dripiq.wiring import Database

_ANSWERS: dict[int | str, dict[str, object]] = {
    200: {"description": "Nothing new in it: all of this is archived already."},
    202: {"description": "Archived and committed."},
    400: {"description": "No JSON array."},
    401: {"description": "The signature is missing, wrong or stale; nothing was archived."},
    413: {"description": "The body is too large."},
    503: {"description": "The database is down, or no verification key is set. Send it again later."},
}


def make_router(settings: Settings, database: Database) -> APIRouter:
    """The webhooks of providers."""
    router = APIRouter(tags=["webhooks"])
    clock = DatabaseClock()

    def archive(key: str, signature: str | None, timestamp: str | None, raw: bytes) -> Receipt:
        # By this machine's clock: a forged request costs no database connection, and the tolerance is of hours.
        verify_signature(key, signature, timestamp, raw, now=datetime.now(UTC), tolerance=settings.webhook_tolerance)
        with connect(database.engine) as connection, connection.begin():
            return ingest(connection, raw, clock.now(connection))

    @router.post("/webhooks/sendgrid", status_code=202, response_class=Response, responses=_ANSWERS)
    async def receive_sendgrid(request: Request) -> Response:
        """SendGrid's signed Event Webhook. The answer counts the tenants' slices that are new and those known before, and the events in quarantine."""
        key = settings.sendgrid_webhook_key
        if key is None:
            message = (
                "The SendGrid webhook is closed. Set DRIPIQ_SENDGRID_WEBHOOK_KEY to the verification key that SendGrid "
                "shows in the Event Webhook's settings."
            )
            raise ClosedError(message, code="webhook_closed", facts={"setting": "DRIPIQ_SENDGRID_WEBHOOK_KEY"})
        raw = await read_body(request, settings.webhook_max_bytes)
        signature, timestamp = request.headers.get(SIGNATURE_HEADER), request.headers.get(TIMESTAMP_HEADER)
        return _answer(await run_in_threadpool(archive, key, signature, timestamp, raw))

    return router


def _answer(receipt: Receipt) -> Response:
    counts = {"stored": receipt.stored, "known": receipt.known, "quarantined": receipt.quarantined}
    status = HTTPStatus.ACCEPTED if receipt.changed else HTTPStatus.OK
    return Response(orjson.dumps(counts), status, media_type="application/json")
