"""What does a caller get when something is wrong?

RFC 9457 problem details, always: `type` is `about:blank`, `title` the status in words, `detail` the sentence that says what to do, `code` its stable
name for programs, `facts` the values it is about. Nobody sees a traceback; what is the database's own says nothing of statements and values.
"""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dripiq.domain.errors import ConfigurationError, DatabaseError, DripiqError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 30


class ClosedError(ConfigurationError):
    """A part of the API that is closed until a setting opens it; who calls may come again later."""

    code = "closed"
    http_status = 503


def answer_errors_with_problems(app: FastAPI) -> None:
    """Turn every error that leaves a handler into a problem."""
    app.add_exception_handler(DripiqError, _on_dripiq_error)
    app.add_exception_handler(SQLAlchemyError, _on_database_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unknown_error)


def as_dripiq_error(error: Exception) -> DripiqError:
    """An error of ours as it is, one of the database as a `database_failed` that keeps to itself what was stored or asked; the log names its kind."""
    if isinstance(error, DripiqError):
        return error
    kind = type(error.orig if isinstance(error, DBAPIError) else error).__name__
    logger.error("a request failed because the database did: %s", kind)
    return DatabaseError(
        "The database failed meanwhile. Send the same again later: nothing is stored twice.", code="database_failed"
    )


def retry_headers(status: int) -> dict[str, str]:
    """When to come again, where that helps (RFC 9110, section 10.2.3)."""
    return {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    facts: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem as an answer."""
    said = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "facts": dict(facts or {}),
    }
    content = orjson.dumps(said, default=str, option=orjson.OPT_NON_STR_KEYS)
    return Response(content, status, {**retry_headers(status), **(headers or {})}, MEDIA_TYPE)


def _of(error: DripiqError) -> Response:
    return problem(error.http_status, error.error_code, error.message, facts=error.facts)


async def _on_dripiq_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, DripiqError)
    return _of(error)


async def _on_database_error(_request: Request, error: Exception) -> Response:
    return _of(as_dripiq_error(error))


async def _on_invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [{"at": list(fault["loc"]), "fault": fault["msg"]} for fault in error.errors()]
    detail = "The request is not as it should be; `facts` says where and why."
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail, facts={"faults": faults})


async def _on_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    code = re.sub(r"\W+", "_", phrase.lower())
    return problem(error.status_code, code, f"{phrase}: see /openapi.json for what there is.", headers=error.headers)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it


async def _on_unknown_error(_request: Request, _error: Exception) -> Response:
    # The server logs the traceback, and closes the connection.
    detail = "Something failed in dripiq, and its log says what. It is not your request's fault."
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail, headers={"Connection": "close"})
