"""How does a text message leave over Twilio, and what does each of its answers mean?

Rules:

- 201 is accepted; the message's `sid` is what status callbacks and replies name.
- Twilio cannot be asked to take a message at most once (its "20500" says that who repeats a POST may send twice): no answer, and every 5xx, is unknown.
- A refusal (400) is for good, for Twilio refines its codes from time to time; but the codes of `_OUR_SETUP` speak of our number, service, account or
  permissions, and are no message's fault. 21610 is a recipient who said STOP: the number is suppressed.
- 401, 403, 404 and redirects refuse us, not the message: temporary, and said aloud in the log.
- Addresses are E.164 numbers. What is none is refused here, and costs no request.

Source: Twilio, "Messages resource" (POST /2010-04-01/Accounts/{sid}/Messages.json), "Error and Warning Dictionary".
"""

import re
import ssl
from base64 import b64encode
from urllib.parse import urlencode

from dripiq.channels.base import Outcome, OutgoingMessage, Secret, Verdict, one_line
from dripiq.channels.http_answers import Answer, Judgement, refusal_of_us, setup_fault
from dripiq.channels.http_sender import HttpSender, Request
from dripiq.domain.errors import ConfigurationError, InputError
from dripiq.domain.states import Channel, SuppressionType

URL = "https://api.twilio.com"

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")

SAID_STOP = 21610

_OUR_SETUP = frozenset(
    {
        20003,  # authentication failed
        21212,  # invalid From
        21266,  # To and From are the same
        21408,  # no permission to send to that region
        21603,  # a From or a Messaging Service is required
        21606,  # From is not a valid SMS-capable number of ours
        21608,  # a trial account may write to verified numbers alone
        21609,  # invalid StatusCallback
        21611,  # From has too many messages queued
        21659,  # From is not a Twilio number
        21660,  # From belongs to another account
        21661,  # From cannot send SMS
        21701,  # the Messaging Service does not exist
        21703,  # the Messaging Service has no numbers
        21705,  # the Messaging Service's SID is none
    }
)


class TwilioSender(HttpSender):
    """A `Sender` of SMS over Twilio's REST API.

    Args:
        account: the account's SID (AC…).
        password: the account's auth token, or the API key's secret.
        user: the API key's SID; None for the account itself.
        sent_from: a number (E.164) or sender name of ours, or a Messaging Service's SID (MG…).
        status_url: where Twilio reports deliveries; our ids are added as `dripiq_tenant` and `dripiq_message`.

    Raises:
        ConfigurationError: as `HttpSender`; the account's SID is none.
    """

    provider = "twilio"
    channel = Channel.SMS

    def __init__(
        self,
        account: str,
        password: Secret,
        *,
        sent_from: str,
        user: str | None = None,
        status_url: str | None = None,
        url: str = URL,
        connections: int = 10,
        timeout: float = 30.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(url, password, connections=connections, timeout=timeout, tls_context=tls_context)
        if not _ACCOUNT.fullmatch(account):
            raise ConfigurationError("A Twilio account's SID is AC and 32 hexadecimal digits: the console shows it.")
        self._path = f"/2010-04-01/Accounts/{account}/Messages.json"
        self._user = user or account
        self._sender = {"MessagingServiceSid" if _SERVICE.fullmatch(sent_from) else "From": sent_from}
        self._status_url = status_url

    def _authorization(self, secret: str) -> str:
        return f"Basic {b64encode(f'{self._user}:{secret}'.encode()).decode()}"

    def _request(self, message: OutgoingMessage) -> Request:
        if not _NUMBER.fullmatch(message.to_address):
            raise InputError(
                f"{message.to_address!r} is no phone number: write it as +, country code and number, without spaces (E.164).",
                code="invalid_number",
                facts={"value": message.to_address},
            )
        fields = {"To": message.to_address, **self._sender, "Body": message.body}
        if self._status_url is not None:
            ids = urlencode({"dripiq_tenant": message.tenant_id, "dripiq_message": message.id})
            fields["StatusCallback"] = f"{self._status_url}?{ids}"
        return Request(self._path, "application/x-www-form-urlencoded", urlencode(fields, errors="replace").encode())

    def _judge(self, id: str, answer: Answer) -> Judgement:
        said = answer.json()
        error = said.get("code")
        code = str(error or answer.status)
        detail = one_line(str(said.get("message") or f"Twilio answered {answer.status}."))
        match answer.status:
            case 200 | 201:
                sid = said.get("sid")
                return Judgement(Outcome(id, Verdict.ACCEPTED, str(sid) if sid else None, str(answer.status)))
            case 400 if error in _OUR_SETUP:
                return setup_fault(id, code, detail, everyones=False)
            case 400 | 413:
                closes = SuppressionType.UNSUBSCRIBE if error == SAID_STOP else None
                return Judgement(Outcome(id, Verdict.PERMANENT, code=code, detail=detail, closes=closes))
            case _:
                return refusal_of_us(id, answer.status, code, detail)
