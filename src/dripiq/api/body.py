"""How much of a request's body do we take?"""

from starlette.requests import Request

from dripiq.domain.errors import InputError


class TooLargeError(InputError):
    """The body is larger than what is taken."""

    code = "too_large"
    http_status = 413


async def read_body(request: Request, limit: int) -> bytes:
    """The body as received, held to `limit` bytes: by what its header announces, and by what comes.

    Raises:
        TooLargeError: it is larger; no more than `limit` bytes and one chunk of it were held.
        ClientDisconnect: the client left before its end.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body is larger than {limit} bytes. Send less at once.", facts={"max_bytes": limit})
