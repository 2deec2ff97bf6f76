"""The real API on a real socket, on a database of the test's own, and SendGrid's key to sign with."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Engine, text
from starlette.types import ASGIApp

from dripiq.api.app import make_app
from dripiq.api.server import serve
from dripiq.channels.sendgrid_request import SIGNATURE_HEADER, TIMESTAMP_HEADER
from dripiq.config.settings import Settings
from dripiq.db.session import make_engine
from dripiq.schema.ids import new_id
from dripiq.wiring import Database

SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = "an installation's secret, of 32 characters or more"
PATIENCE = 20.0


def shown(key: ec.EllipticCurvePrivateKey) -> str:
    """A verification key as SendGrid shows it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def signed(
    raw: bytes, *, age: float = 0, key: ec.EllipticCurvePrivateKey = SENDGRID_KEY, timestamp: str | None = None
) -> dict[str, str]:
    """The headers that SendGrid sends with a body which it signed `age` seconds ago."""
    stamp = str(int(time.time() - age)) if timestamp is None else timestamp
    signature = base64.b64encode(key.sign(stamp.encode() + raw, ec.ECDSA(SHA256()))).decode()
    return {SIGNATURE_HEADER: signature, TIMESTAMP_HEADER: stamp, "Content-Type": "application/json"}


def event(**fields: Any) -> dict[str, Any]:
    """An event as SendGrid posts it."""
    return {
        "event": "delivered",
        "timestamp": int(time.time()),
        "sg_event_id": new_id(),
        "email": "ann@example.com",
        **fields,
    }


def body_of(*events: Any) -> bytes:
    """A request's body, laid out as SendGrid does: a line for each event."""
    return b"[" + b",\r\n".join(json.dumps(e).encode() for e in events) + b"]\r\n"


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """The port on which an app is served by a real server for as long as the block lasts."""
    ports: list[int] = []
    listening = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def ready(port: int) -> None:
        ports.append(port)
        listening.set()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve(app, "127.0.0.1", 0, ready=ready, stop=stop))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert listening.wait(PATIENCE)
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()


@dataclass
class Api:
    """A served API, a client that talks to it, and the database beneath, to look into."""

    client: httpx.Client
    port: int
    engine: Engine

    def post(self, raw: bytes, **signing: Any) -> httpx.Response:
        """Post a webhook as SendGrid would."""
        return self.client.post("/webhooks/sendgrid", content=raw, headers=signed(raw, **signing))

    def rows(self, statement: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement)).all())

    def deliveries(self) -> list[Any]:
        return self.rows("SELECT * FROM dripiq_app.webhook_deliveries ORDER BY tenant_id, received_at")

    def quarantined(self) -> list[Any]:
        return self.rows("SELECT * FROM dripiq_app.webhook_quarantine ORDER BY received_at")

    def suppressions(self) -> list[Any]:
        return self.rows("SELECT * FROM dripiq_app.communication_suppressions ORDER BY value")

    def tenant(self) -> str:
        """A new tenant's id."""
        tenant_id = new_id()
        with self.engine.begin() as connection:
            connection.execute(text("INSERT INTO dripiq_app.tenants (id, name) VALUES (:id, 'T')"), {"id": tenant_id})
        return tenant_id


Serve = Callable[..., Api]


@pytest.fixture
def serve_api() -> Iterator[Serve]:
    """Serves the API on the database at a URL; settings by name, SendGrid's key and the secret unless given."""
    with ExitStack() as stack:

        def start(url: str, **settings: Any) -> Api:
            engine = make_engine(url)
            stack.callback(engine.dispose)
            chosen = Settings(**{"sendgrid_webhook_key": shown(SENDGRID_KEY), "secret": SECRET, **settings})
            port = stack.enter_context(served(make_app(chosen, Database(url, engine))))
            client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE))
            return Api(client, port, engine)

        yield start


@pytest.fixture
def api(serve_api: Serve, database: str) -> Api:
    """The API with default settings on a database of the test's own."""
    return serve_api(database)


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem that a response holds, checked against RFC 9457."""
    assert response.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = response.json()
    assert set(said) == {"type", "title", "status", "detail", "code", "facts"}
    assert said["status"] == response.status_code
    assert "Traceback" not in response.text
    return said
