"""What documents show can be pasted: every command parses, and those that answer at once are run, in their order."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from dripiq.cli.main import run
from tests.docs.test_cli_documented import COMMANDS
from tests.docs.test_documents import DOCUMENTS, README, ROOT, blocks, named

DOCS = ROOT / "docs"


def shell_of(text: str) -> str:
    """What a document's blocks for a shell would have somebody paste; of a console's, what stands behind its prompt."""
    typed = [line for block in blocks(text, "console") for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE)]
    return "\n".join([*blocks(text, "sh"), *typed])


def calls_of(text: str) -> list[list[str]]:
    """The arguments of each call of dripiq in a document's blocks."""
    lines = [shlex.split(line, comments=True) for line in shell_of(text).replace("\\\n", " ").splitlines()]
    bare = [[word for word in line if not re.match(r"DRIPIQ_\w+=", word)] for line in lines]
    return [line[1:] for line in bare if line[:1] == ["dripiq"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_shell_snippets_are_of_a_shell_and_their_commands_take_their_arguments(document: Path) -> None:
    text = document.read_text()
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        assert language in {"sh", "console"} or "dripiq " not in block.partition("\n")[0], f"no shell's: {block}"
    if shell := shell_of(text):
        subprocess.run(["sh", "-n"], input=shell, text=True, check=True)
    for arguments in calls_of(text):
        name = max((name for name in COMMANDS if f"dripiq {shlex.join(arguments)} ".startswith(f"{name} ")), key=len)
        rest = arguments[len(name.split()) - 1 :]
        COMMANDS[name].make_context(name, rest)  # raises what the user would be told


@pytest.mark.parametrize("document", sorted(DOCS.rglob("*.md")), ids=named)
def test_python_snippets_compile(document: Path) -> None:
    for code in blocks(document.read_text(), "python"):
        compile(code, document.name, "exec")


def test_the_commands_that_are_shown_do_what_they_are_shown_to_do(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRIPIQ_DATABASE_URL", database.replace("+psycopg", ""))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "people.csv").write_text("email,name,company\nann@example.com,Ann,Example\n")
    welcome = (ROOT / "examples" / "plans" / "welcome.json").read_text()
    (tmp_path / "new.json").write_text(json.dumps(json.loads(welcome.replace('"intro"', '"hello"'))))
    own = [["senders", "add", "ann@example.com", "--tenant", "Acme"]]
    shown = [*calls_of(README), *own]
    for page in ("explain", "limits", "plan-versions", "senders"):
        shown += calls_of((DOCS / f"{page}.md").read_text())
    at_once = [call for call in shown if call[0] not in {"up", "worker"}]
    assert len(at_once) >= 15

    for call in at_once:
        assert run(call) == 0, f"dripiq {shlex.join(call)}\n{capsys.readouterr().err}"
