"""What holds for every command."""

import pytest

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


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "limits set nonsense --tenant Acme",
            "Invalid value for 'SCOPE': 'nonsense' is not one of 'tenant', 'sender', 'domain'.",
        ),
        ("campaign list --tenant Acme --limit 0", "Invalid value for '--limit': it must be 1 or more."),
        ("campaign list --tenant Acme --limit x", "Invalid value for '--limit': it must be a whole number."),
        ("db partitions drop --keep-months 99999999999", "Invalid value for '--keep-months': it must be 1200 at most."),
        (
            "replay --since 0001-01-01T00:00+14:00",
            "Invalid value for --since: '0001-01-01T00:00+14:00' is not in the years 1970 to 2199.",
        ),
        ("plan simulate p.json --open 1.5", "Invalid value for '--open': it must be 1 at most."),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_place_and_how_it_must_be(
    dripiq: Dripiq, command: str, said: str
) -> None:
    people, programs = dripiq(*command.split()), dripiq(*command.split(), "--json")
    path = command.partition(" --")[0].removesuffix(" p.json").removesuffix(" nonsense")
    assert (people.code, people.out) == (2, "")
    assert people.err.startswith(f"Error: {said}\nUsage: dripiq {path} [OPTIONS]")
    assert people.err.endswith(f"\n`dripiq {path} --help` explains it.\n")
    assert programs.error == {"code": "usage", "message": said, "facts": {}}


def test_a_group_without_a_command_shows_its_commands(dripiq: Dripiq) -> None:
    told = dripiq("plan")
    assert (told.code, "simulate" in told.out, told.err) == (2, True, "")


def test_an_argument_that_is_no_text_is_refused(as_process: Dripiq) -> None:
    assert as_process("tenants", "create", "\udcff", "--json").error["code"] == "invalid_text"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("campaign stop x", 4, "There is no campaign 'x', so nothing was changed."),
        ("campaign stop x y", 4, "There are no campaigns 'x', 'y', so nothing was changed."),
        ("doctor --domain no_domain", 2, "'no_domain' is no domain."),
        ("plan rollback --tenant Acme --plan zzz", 2, "'zzz' is neither a file nor the hash of a plan"),
        ("senders account set kim@acme.example.com --tenant Acme --smtp-host h --imap-port 44", 2, "Without a host"),
        ("senders add kim@acme.example.com --tenant Acme", 5, "is a sender of the tenant already (verified)"),
        ("senders pause kim@acme.example.com --tenant Acme", 0, "--tenant Acme lets it send again."),
    ],
)
def test_what_is_not_there_is_named(dripiq: Dripiq, acme: str, command: str, code: int, said: str) -> None:
    told = dripiq(*command.split())
    assert (told.code, said in told.out + told.err) == (code, True)
