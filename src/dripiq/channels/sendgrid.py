"""How does a mail leave over SendGrid's v3 Mail Send, and what does each of its answers mean?

Rules:

- Our ids travel as custom arguments, so that each webhook event names its message: SendGrid keeps our Message-ID only for an authenticated domain.
- 202 is accepted. Its `X-Message-Id` is the first part, before the dot, of `sg_message_id` in the events.
- 400 and 413 are refusals of this mail, for good; but what they say of the sender (from, IP pool, categories) is our set-up, and no message's fault.
- 401, 403 and whatever an API at this URL should not say (404, a redirect) refuse us, not the mail: temporary, and said aloud in the log.
- A 403 about `from` is about one sender identity; every other is everybody's.

Source: Twilio SendGrid, "Mail Send" (POST /v3/mail/send), its "Errors" and "Responses", "X-Message-ID".
"""

import json
import re
import ssl
from collections.abc import Mapping, Sequence

from dripiq.channels.base import Outcome, OutgoingMessage, Secret, Verdict, one_line
from dripiq.channels.http_answers import Answer, Judgement, refusal_of_us, setup_fault
from dripiq.channels.http_sender import HttpSender, Request
from dripiq.domain.errors import ConfigurationError, InputError
from dripiq.domain.states import Channel

URL = "https://api.sendgrid.com"
MAX_CATEGORIES = 10

_HEADER = re.compile(r"[!-~]+(?: [!-~]+)*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_OUR_SETUP = ("from", "ip_pool_name", "categories", "reply_to", "headers")


class SendGridSender(HttpSender):
    """A `Sender` over SendGrid's Web API.

    Args:
        key: an API key with the permission "Mail Send".
        categories: given to every mail, for SendGrid's statistics; 10 at most.
        url: the API, or SendGrid's for the EU (https://api.eu.sendgrid.com).

    Raises:
        ConfigurationError: as `HttpSender`; too many categories.
    """

    provider = "sendgrid"
    channel = Channel.EMAIL

    def __init__(
        self,
        key: Secret,
        *,
        url: str = URL,
        categories: Sequence[str] = (),
        connections: int = 20,
        timeout: float = 30.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(url, key, connections=connections, timeout=timeout, tls_context=tls_context)
        if len(categories) > MAX_CATEGORIES:
            raise ConfigurationError(f"SendGrid takes {MAX_CATEGORIES} categories at most: leave some out.")
        self._categories = list(categories)

    def _authorization(self, secret: str) -> str:
        return f"Bearer {secret}"

    def _request(self, message: OutgoingMessage) -> Request:
        parts = {"text/plain": message.body, "text/html": message.html or ""}
        # SendGrid refuses a part without a character in it; of a mail that is a picture, the text has none.
        content = [{"type": kind, "value": value} for kind, value in parts.items() if value]
        mail: dict[str, object] = {
            "personalizations": [{"to": [_mailbox(message.to_address, message.to_name)]}],
            "from": _mailbox(message.from_address, message.from_name),
            "subject": _CONTROLS.sub(" ", message.subject or "").strip(),
            "content": content,
            "headers": _headers(message),
            "custom_args": {"dripiq_tenant": message.tenant_id, "dripiq_message": message.id},
        }
        if message.reply_to is not None:
            mail["reply_to"] = {"email": message.reply_to}
        if self._categories:
            mail["categories"] = self._categories
        if message.ip_pool is not None:
            mail["ip_pool_name"] = message.ip_pool
        return Request("/v3/mail/send", "application/json", json.dumps(mail).encode())

    def _judge(self, id: str, answer: Answer) -> Judgement:
        errors = _errors(answer)
        detail = one_line("; ".join(text for _, text in errors) or f"SendGrid answered {answer.status}.")
        code = str(answer.status)
        match answer.status:
            case 202:
                return Judgement(Outcome(id, Verdict.ACCEPTED, answer.headers.get("X-Message-Id"), code))
            case 400 | 413:
                if errors and all(field.split(".")[0] in _OUR_SETUP for field, _ in errors):
                    return setup_fault(id, code, detail, everyones=False)
                return Judgement(Outcome(id, Verdict.PERMANENT, code=code, detail=detail))
            case 403 if any(field == "from" for field, _ in errors):
                return setup_fault(id, code, detail, everyones=False)
            case _:
                return refusal_of_us(id, answer.status, code, detail)


def _mailbox(address: str, name: str | None) -> dict[str, str]:
    shown = " ".join(_CONTROLS.sub(" ", name).split()) if name else ""
    return {"email": address, "name": shown} if shown else {"email": address}


def _headers(message: OutgoingMessage) -> Mapping[str, str]:
    headers = {"Message-ID": f"<{message.message_id}>"}
    if message.in_reply_to is not None:
        headers["In-Reply-To"] = f"<{message.in_reply_to}>"
    if message.references:
        headers["References"] = " ".join(f"<{name}>" for name in message.references)
    if message.unsubscribe_url is not None:
        headers["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for name, value in headers.items():
        if not _HEADER.fullmatch(value):
            raise InputError(
                f"{value!r} cannot stand in {name}: correct the address, id or URL it came from.",
                code="invalid_header",
                facts={"field": name, "value": value},
            )
    return headers


def _errors(answer: Answer) -> list[tuple[str, str]]:
    """SendGrid's own list: (field, message), with an empty field where it names none."""
    listed = answer.json().get("errors")
    return [
        (str(error.get("field") or ""), str(error.get("message") or ""))
        for error in (listed if isinstance(listed, list) else [])
        if isinstance(error, dict)
    ]
