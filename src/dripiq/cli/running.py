"""`dripiq up`, `serve` and `worker`: what runs until it is told to end.

The first SIGINT (Ctrl-C), SIGTERM or SIGHUP ends it: what is in hand is finished, and the exit code is 0. A second one gives that up; what was being handed
over then is in doubt, and never sent again blindly.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from dripiq.cli.opening import open_database
from dripiq.cli.output import JsonOption, note, say, show_json

if TYPE_CHECKING:
    from dripiq.config.settings import Settings
    from dripiq.engine.loop import Worker
    from dripiq.wiring import Database

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends it; SIGHUP not under nohup, which has it ignored."""

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def up(as_json: JsonOption = False) -> None:
    """Run everything in one process: the database, its migrations, the API and a worker. Ctrl-C ends it all.

    Without DRIPIQ_DATABASE_URL, dripiq runs a PostgreSQL of its own. With --json, one document says what runs where as soon as it does.
    """
    from dripiq.db.migrate import upgrade

    _log_to_stderr()
    with open_database(check=False, begin=True) as (settings, database):
        upgrade(database.direct_url)
        database.check()
        asyncio.run(_up(settings, database, as_json))


def serve(as_json: JsonOption = False) -> None:
    """Run the API alone: webhooks and unsubscribe links. With --json, one document says where as soon as it listens."""
    _log_to_stderr()
    with open_database() as (settings, database):
        asyncio.run(_serve(settings, database, as_json))


def worker(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when nothing is due and nothing has come in, instead of waiting.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a worker: it sends what is due and reads what came in. Any number may run side by side, on any number of machines.

    Prints what it did when it ends.
    """
    from dripiq.wiring import make_accounts, make_senders, make_worker

    _log_to_stderr()
    with open_database() as (settings, database):
        senders = make_senders(settings)
        accounts = make_accounts(settings)
        working = make_worker(settings, database, senders, accounts)

        async def work() -> None:
            with _ending(working.stop):
                if until_idle:
                    await working.run_until_idle()
                else:
                    note(f"Worker: {_mail(settings)}. Ctrl-C ends it.")
                    await working.run()
            for sender in senders.values():
                await sender.close()
            if accounts is not None:
                await accounts.close()

        asyncio.run(work())
        done = {kind: count for kind, count in sorted(working.done.items()) if count}
        if as_json:
            show_json({"done": done})
        else:
            say(
                "Done: " + (", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in done.items()) or "nothing")
            )


async def _serve(settings: "Settings", database: "Database", as_json: bool) -> None:
    from dripiq.api.app import make_app
    from dripiq.api.server import serve as serve_api

    def ready(port: int) -> None:
        _announce({"database": _address(database), "api": _url(settings, port)}, as_json)
        warn_of_port(settings.public_url, port)

    stop = asyncio.Event()
    with _ending(stop.set):
        await serve_api(make_app(settings, database), settings.host, settings.port, ready=ready, stop=stop)


async def _up(settings: "Settings", database: "Database", as_json: bool) -> None:
    """The API is there before the worker, and until after it: what providers say meanwhile is archived."""
    from dripiq.api.app import make_app
    from dripiq.api.server import serve as serve_api
    from dripiq.wiring import make_accounts, make_senders, make_worker

    senders = make_senders(settings)
    accounts = make_accounts(settings)
    working = make_worker(settings, database, senders, accounts)
    listening, stop = asyncio.Event(), asyncio.Event()

    def ready(port: int) -> None:
        where = {"database": _address(database), "api": _url(settings, port), "worker": _mail(settings)}
        if settings.database_url is None:
            where["home"] = str(settings.home.absolute())
        _announce(where, as_json)
        warn_of_port(settings.public_url, port)
        listening.set()

    with _ending(working.stop):
        api = asyncio.create_task(
            serve_api(make_app(settings, database), settings.host, settings.port, ready=ready, stop=stop)
        )
        started = asyncio.create_task(listening.wait())
        try:
            await asyncio.wait((api, started), return_when=asyncio.FIRST_COMPLETED)
            if not api.done():
                await _work_beside(api, working)
        finally:
            started.cancel()
            stop.set()
            await api
            for sender in senders.values():
                await sender.close()
            if accounts is not None:
                await accounts.close()


async def _work_beside(api: "asyncio.Task[None]", working: "Worker") -> None:
    """Work until told to stop, or the API has failed; cancelled, what is in hand is given up."""
    work = asyncio.create_task(working.run())
    try:
        await asyncio.wait((api, work), return_when=asyncio.FIRST_COMPLETED)
        working.stop()
        await asyncio.wait((work,))
    finally:
        work.cancel()  # without effect where it has ended
    await work


@contextmanager
def _ending(stop: Callable[[], None]) -> Iterator[asyncio.Event]:
    """Until the block ends, the first signal calls `stop`, a second one cancels the task; yields the event of the first."""
    loop, task, told = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def end() -> None:
        if told.is_set() and task is not None:
            task.cancel()
            return
        told.set()
        stop()  # before a word is said: who listened may be gone
        note("Ending: finishing what is in hand …")

    heard = [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, end)
    try:
        yield told
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


def _announce(where: dict[str, str], as_json: bool) -> None:
    if as_json:
        show_json(where)
        return
    for part, place in where.items():
        say(f"{part.capitalize() if part != 'api' else 'API'}: {place}")
    note("Ctrl-C ends it.")


def _address(database: "Database") -> str:
    from sqlalchemy import make_url

    return make_url(database.direct_url).set(drivername="postgresql").render_as_string(hide_password=True)


def _url(settings: "Settings", port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}"


def warn_of_port(public_url: str | None, port: int) -> None:
    """Say that links lead past this API, where its public address is one of this machine at another port; elsewhere a proxy stands between."""
    from urllib.parse import urlsplit

    if public_url is None:
        return
    try:
        parts = urlsplit(public_url)
        linked = parts.port or {"https": 443}.get(parts.scheme, 80)
    except ValueError:  # no address at all
        note(f"DRIPIQ_PUBLIC_URL is no address: {public_url}. Links to it lead nowhere.")
        return
    if parts.hostname in _THIS_MACHINE and linked != port:
        note(
            f"DRIPIQ_PUBLIC_URL leads to port {linked} of this machine, and the API listens on {port}: unsubscribe links lead nowhere, unless something "
            "passes them on. Set DRIPIQ_PORT to the same (0 takes another each time)."
        )


def _mail(settings: "Settings") -> str:
    match settings.email_channel:
        case "smtp":
            mail = f"e-mail over SMTP to {settings.smtp_host}:{settings.smtp_port}"
        case "sendgrid":
            mail = f"e-mail over {settings.sendgrid_url}"
        case "folder":
            mail = f"e-mail into the folder {(settings.mail_folder or settings.home / 'mail').absolute()}"
    return f"{mail}, SMS over {settings.twilio_url}" if settings.twilio_account is not None else mail


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
