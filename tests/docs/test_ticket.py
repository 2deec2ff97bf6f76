"""`docs/ticket-01.md` names only what there is, and leaves out no line of the ticket."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_cli_documented import COMMANDS
from tests.docs.test_documents import make_targets

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "ticket-01.md").read_text()

LINES_OF_THE_TICKET = {
    "Acceptance criteria": 6,
    "Tables": 13,
    "Key constraints": 4,
    "Implementation steps": 7,
    "Index strategy and partitioning": 10,
    "Tests": 5,
    "Validation checklist": 7,
    "Rollback plan": 3,
    "Definition of done": 8,
}
"""By heading, how many lines the ticket has (its five steps, and two of its file structure)."""

FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+|[\w-]+\.(?:md|toml)")
TEST = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")


def rows() -> list[tuple[str, str, str, str]]:
    """(heading, what the ticket says, what answers it, what proves it) of each line."""
    found = []
    for part in re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        for line in re.findall(r"^\| (?!the ticket)(.+) \|$", body, re.MULTILINE):
            said, answer, proof = line.split(" | ")
            found.append((heading, said, answer, proof))
    return found


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@cache
def defined_in(path: str) -> set[str]:
    return {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}


def command_of(line: str) -> tuple[Any, int]:
    """The command that a line calls, and how many arguments it hands to it."""
    words = [word for word in line.split() if not word.startswith("-")]
    length = max(n for n in range(len(words) + 1) if n == 0 or " ".join(words[:n]) in COMMANDS)
    assert length, f"{line} is no command"
    return COMMANDS[" ".join(words[:length])], len(words) - length


def test_no_line_of_the_ticket_is_left_out() -> None:
    counts = dict.fromkeys(LINES_OF_THE_TICKET, 0)
    for heading, *_ in rows():
        counts[heading] += 1
    assert counts == LINES_OF_THE_TICKET


@pytest.mark.parametrize(("said", "proof"), [(said, proof) for _, said, _, proof in rows()])
def test_each_line_is_proved_by_tests_that_there_are(said: str, proof: str) -> None:
    if said == "Code review completed":
        assert proof == "*no test can*"
        return
    named = [TEST.fullmatch(name) for name in quoted(proof)]
    assert named
    for found in named:
        assert found, proof
        assert found[2] in defined_in(found[1]), found[0]


@pytest.mark.parametrize(("said", "answer"), [(said, answer) for _, said, answer, _ in rows()])
def test_each_line_is_answered_by_files_and_commands_that_there_are(said: str, answer: str) -> None:
    for name in quoted(answer):
        if name.startswith("make "):
            assert name.split()[1] in make_targets(), name
        elif name.startswith("dripiq "):
            command, takes = command_of(name)
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in name.split() if word.startswith("-")} <= options, name
            assert takes <= sum(parameter.param_type_name == "argument" for parameter in command.params), name
        elif FILE.fullmatch(name):
            assert (ROOT / name).is_file(), name
        else:
            assert re.fullmatch(r"\w+", name), f"{name} is no file, command or name"


def test_each_line_is_answered_by_a_file_or_a_command() -> None:
    unanswered = [
        said
        for _, said, answer, _ in rows()
        if not any(FILE.fullmatch(name) or name.startswith(("make ", "dripiq ")) for name in quoted(answer))
    ]
    assert unanswered == []
