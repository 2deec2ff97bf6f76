"""The process says how it is, every error is a problem that one can act on, and the server comes and goes as it is told."""

import asyncio
import signal
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from dripiq.api.problems import answer_errors_with_problems
from dripiq.api.server import serve
from dripiq.db.session import make_engine
from dripiq.domain.errors import ConfigurationError, ConflictError
from tests.api.conftest import PATIENCE, Api, Serve, problem_of, served

UNREACHABLE = "postgresql://nobody:hidden@127.0.0.1:1/none"


def test_a_process_with_its_database_is_alive_and_ready(api: Api) -> None:
    for path in ("/healthz", "/readyz"):
        response = api.client.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_without_a_database_a_process_is_alive_and_not_ready(serve_api: Serve) -> None:
    api = serve_api(UNREACHABLE)
    assert api.client.get("/healthz").status_code == 200
    response = api.client.get("/readyz")
    assert response.status_code == 503
    assert problem_of(response)["code"] == "database_unreachable"
    assert "hidden" not in response.text


def test_on_a_database_that_is_not_migrated_a_process_is_not_ready_and_says_what_to_do(
    serve_api: Serve, empty_database: str
) -> None:
    said = problem_of(serve_api(empty_database).client.get("/readyz"))
    assert (said["status"], said["code"]) == (503, "database_behind")
    assert "dripiq db upgrade" in said["detail"]


def test_on_a_database_newer_than_the_code_a_process_is_not_ready(serve_api: Serve, database: str) -> None:
    api = serve_api(database)
    with api.engine.begin() as connection:
        connection.execute(text("UPDATE dripiq_app.dripiq_alembic_version SET version_num = '9999'"))
    assert problem_of(api.client.get("/readyz"))["code"] == "database_newer"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not_found"), ("GET", "/webhooks/sendgrid", 405, "method_not_allowed")],
)
def test_what_does_not_exist_is_a_problem_too(api: Api, method: str, path: str, status: int, code: str) -> None:
    response = api.client.request(method, path)
    said = problem_of(response)
    assert (said["status"], said["code"], said["type"]) == (status, code, "about:blank")
    assert status != 405 or response.headers["allow"] == "POST"


def test_the_description_names_every_way_in(api: Api) -> None:
    assert {
        "/webhooks/sendgrid",
        "/webhooks/twilio",
        "/unsubscribe/{token}",
        "/click/{token}",
        "/open/{token}",
        "/healthz",
        "/readyz",
    } <= set(api.client.get("/openapi.json").json()["paths"])


@contextmanager
def faulty_app() -> Iterator[httpx.Client]:
    app = FastAPI()
    answer_errors_with_problems(app)

    @app.get("/ours")
    async def ours() -> None:
        raise ConflictError("It is there already.", code="taken", facts={"name": "a"})

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the secret is 42")

    with served(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        yield client


def test_an_error_of_ours_becomes_its_status_its_code_its_sentence_and_its_facts() -> None:
    with faulty_app() as client:
        assert problem_of(client.get("/ours")) == {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "It is there already.",
            "code": "taken",
            "facts": {"name": "a"},
        }


def test_a_request_that_does_not_fit_says_where_and_why() -> None:
    with faulty_app() as client:
        said = problem_of(client.get("/number/one"))
    assert (said["status"], said["code"]) == (422, "invalid_request")
    assert said["facts"]["faults"][0]["at"] == ["path", "number"]


def test_a_bug_shows_nobody_its_traceback() -> None:
    with faulty_app() as client:
        response = client.get("/bug")
        assert (problem_of(response)["status"], problem_of(response)["code"]) == (500, "internal")
        assert "42" not in response.text
        assert client.get("/number/1").status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=PATIENCE) as raw:
        raw.sendall(b"POST /webhooks/sendgrid HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
    assert api.client.get("/healthz").status_code == 200
    assert "Traceback" not in caplog.text


def test_the_server_leaves_the_processes_signals_alone() -> None:
    async def run() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        stop = asyncio.Event()
        during: list[object] = []

        def ready(_port: int) -> None:
            during.extend(signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM))
            stop.set()

        await asyncio.wait_for(serve(FastAPI(), "127.0.0.1", 0, ready=ready, stop=stop), PATIENCE)
        assert during == before

    assert threading.current_thread() is threading.main_thread()
    asyncio.run(run())


def test_what_is_in_hand_when_the_server_is_told_to_stop_is_answered() -> None:
    app = FastAPI()

    async def run() -> None:
        stop, arrived, may_answer = asyncio.Event(), asyncio.Event(), asyncio.Event()
        ports: asyncio.Queue[int] = asyncio.Queue()

        @app.get("/slow")
        async def slow() -> str:
            arrived.set()
            await may_answer.wait()
            return "done"

        serving = asyncio.create_task(serve(app, "127.0.0.1", 0, ready=ports.put_nowait, stop=stop))
        port = await asyncio.wait_for(ports.get(), PATIENCE)
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/slow"))
            await asyncio.wait_for(arrived.wait(), PATIENCE)
            stop.set()
            while await _takes_connections(port):
                await asyncio.sleep(0.02)
            may_answer.set()
            assert (await answer).json() == "done"
        await asyncio.wait_for(serving, PATIENCE)

    asyncio.run(asyncio.wait_for(run(), 2 * PATIENCE))


async def _takes_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def test_a_server_whose_task_is_cancelled_lets_its_port_go() -> None:
    async def run() -> None:
        ports: asyncio.Queue[int] = asyncio.Queue()
        serving = asyncio.create_task(serve(FastAPI(), "127.0.0.1", 0, ready=ports.put_nowait, stop=asyncio.Event()))
        port = await asyncio.wait_for(ports.get(), PATIENCE)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, PATIENCE)
        assert not await _takes_connections(port)

    asyncio.run(run())


def test_a_port_that_is_taken_is_told_with_the_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="DRIPIQ_PORT") as refused:
            asyncio.run(serve(FastAPI(), "127.0.0.1", port, stop=asyncio.Event()))
    assert refused.value.error_code == "cannot_listen"


def test_many_requests_at_once_wait_for_a_connection_instead_of_failing(serve_api: Serve, database: str) -> None:
    api = serve_api(database)
    assert make_engine(database).pool.size() < 20  # type: ignore[attr-defined]

    async def ask() -> list[int]:
        async with httpx.AsyncClient(base_url=api.client.base_url, timeout=PATIENCE) as client:
            answers = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
        return [answer.status_code for answer in answers]

    assert set(asyncio.run(ask())) == {200}


def test_answers_over_one_connection_are_not_held_back_for_the_clients_acknowledgement(api: Api) -> None:
    """Nagle's algorithm against delayed acknowledgements costs 40 ms an answer; a machine that is merely busy does not cost that every time."""
    times = []
    for _ in range(30):
        started = time.perf_counter()
        assert api.client.get("/healthz").status_code == 200
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 0.03
