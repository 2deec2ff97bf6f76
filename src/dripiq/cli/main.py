"""The `dripiq` command.

Exit codes: 0 done; 1 refused (a plan with faults); 2 not understood (arguments, settings, files); 3 the database; 4 not found; 5 a conflict with what is
stored; 130 and 143 interrupted. An error is one sentence on stderr; with `--json`, the one document on stdout is
`{"error": {code, message, facts}}`.
"""

import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from dripiq.cli import (
    bench,
    campaigns,
    contacts,
    database,
    demo,
    doctor,
    doubts,
    explaining,
    hostile,
    limits,
    plans,
    quarantine,
    replaying,
    running,
    senders,
    suppressing,
    tenants,
)
from dripiq.cli.output import note, printable
from dripiq.domain.errors import DatabaseError, DripiqError, InputError

app = typer.Typer(
    name="dripiq",
    help="An outreach-campaign engine on PostgreSQL: a plan of messages, waits and reactions for every contact.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command("up")(running.up)
app.command("serve")(running.serve)
app.command("worker")(running.worker)
app.command("demo")(demo.demo)
app.command("hostile")(hostile.hostile)
app.command("explain")(explaining.explain)
app.command("doctor")(doctor.doctor)
app.command("replay")(replaying.replay)
app.command("suppress")(suppressing.suppress)
app.add_typer(database.app, name="db")
app.add_typer(plans.app, name="plan")
app.add_typer(tenants.app, name="tenants")
app.add_typer(senders.app, name="senders")
app.add_typer(limits.app, name="limits")
app.add_typer(suppressing.app, name="suppressions")
app.add_typer(contacts.app, name="contacts")
app.add_typer(campaigns.app, name="campaign")
app.add_typer(doubts.app, name="in-doubt")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(bench.app, name="bench")


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"dripiq {version('dripiq')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What holds for every command."""


def main() -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name in a terminal that has no letters for it
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _end)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; the exit code. What is no error of the caller's passes through."""
    as_json = "--json" in arguments
    try:
        outcome = app(arguments, prog_name="dripiq", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        _tell_misuse(error, as_json)
        return error.exit_code
    except BrokenPipeError:  # the reader has seen enough, as in `dripiq … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        told = _as_told(error)
        if told is None:
            raise
        _tell(told.error_code, told.message, told.facts, as_json)
        return told.exit_code
    return outcome if isinstance(outcome, int) else 0


def _tell_misuse(error: typer.TyperException, as_json: bool) -> None:
    """What of the arguments was not understood, in our words where typer has only those of pydantic."""
    faults = getattr(error.__cause__, "errors", None)
    if faults is not None:
        from dripiq.domain.setting_faults import say_must

        kind, context = (faults()[0].get(name, {}) for name in ("type", "ctx"))
        error.message = str(context["error"]) if kind == "value_error" else f"it {say_must(kind, context)}."
    message = error.format_message().strip()
    if not message:  # a group without a command: its help was shown
        return
    _tell("usage", message, {}, as_json)
    called = getattr(error, "ctx", None)
    if called is not None and not as_json:
        note(f"{called.get_usage()}\n`{called.command_path} --help` explains it.")


def _end(number: int, _frame: object) -> NoReturn:
    """A signal ends a command the orderly way: its transaction is rolled back, and dripiq's own server is left."""
    raise SystemExit(128 + number)


def _as_told(error: BaseException) -> DripiqError | None:
    """The error as it is told to people; None for what is a fault of dripiq's own."""
    if isinstance(error, DripiqError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((told for each in error.exceptions if (told := _as_told(each)) is not None), None)
    if isinstance(error, UnicodeEncodeError):
        return InputError("An argument holds bytes that are not UTF-8: type it again.", code="invalid_text")
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        where = f"{error.filename}: " if error.filename else ""
        return InputError(f"{where}{error.strerror or error}.", code="system", facts={"errno": error.errno})
    if type(error).__module__ == "sqlalchemy.exc":
        from sqlalchemy.exc import DBAPIError

        if isinstance(error, DBAPIError):
            reason = str(error.orig).strip().partition("\n")[0]
            return DatabaseError(f"The database failed: {reason}. What was not committed is undone.")
    return None


def _tell(code: str, message: str, facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        import orjson

        document = {"error": {"code": code, "message": message, "facts": facts}}
        sys.stdout.write(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")
        sys.stdout.flush()
    else:
        note(f"Error: {printable(message)}")
