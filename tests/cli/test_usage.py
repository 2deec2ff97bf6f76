"""What holds for every command."""

from dripiq import __version__
from tests.cli.conftest import Dripiq


def test_the_command_says_its_version_and_its_commands(as_process: Dripiq) -> None:
    assert as_process("--version").out == f"dripiq {__version__}\n"
    told = as_process("--help")
    assert told.code == 0
    assert all(
        command in told.out for command in ("up", "serve", "worker", "demo", "db", "plan", "contacts", "campaign")
    )


def test_what_is_not_understood_is_told_in_the_form_that_was_asked_for(as_process: Dripiq) -> None:
    people = as_process("plan", "chek")
    programs = as_process("campaign", "stop", "--all", "--json")

    assert (people.code, people.out) == (2, "")
    assert "No such command 'chek'" in people.err
    assert (programs.code, programs.error["code"]) == (2, "usage")
    assert "--tenant" in programs.error["message"]


def test_an_argument_that_is_no_text_is_refused(as_process: Dripiq) -> None:
    assert as_process("tenants", "create", "\udcff", "--json").error["code"] == "invalid_text"
