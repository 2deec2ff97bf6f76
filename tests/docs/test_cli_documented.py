"""Every command, option and setting is documented, and nothing is that does not exist."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from dripiq.cli.main import app
from dripiq.config.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
ON_EVERY_COMMAND = {"--json", "--help", "-h", "--version"}


def commands(group: Any, path: str = "dripiq") -> dict[str, Any]:
    """Every command by its full name."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        full = f"{path} {name}"
        if hasattr(command, "commands"):
            found |= commands(command, full)
        if not hasattr(command, "commands") or command.invoke_without_command:
            found[full] = command
    return found


def sections() -> dict[str, str]:
    """What docs/cli.md says, by command."""
    parts = re.split(r"^### (.*)$", (DOCS / "cli.md").read_text(), flags=re.MULTILINE)
    return {
        " ".join(word for word in named.split() if not re.match(r"[A-Z\[]", word)): text
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
        for named in re.findall(r"`([^`]*)`", heading)
    }


COMMANDS = commands(typer.main.get_command(app))
SECTIONS = sections()


def test_the_commands_documented_are_those_that_there_are() -> None:
    assert sorted(SECTIONS) == sorted(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_options_documented_are_those_that_there_are(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts if option.startswith("-")}
    documented = set(re.findall(r"`(--[a-z-]+)", SECTIONS[name].split("\n## ")[0]))

    assert options - documented <= ON_EVERY_COMMAND
    assert documented - options <= ON_EVERY_COMMAND


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_explains_itself(name: str) -> None:
    assert COMMANDS[name].help
    assert all(getattr(parameter, "help", None) for parameter in COMMANDS[name].params)


def test_every_setting_is_documented_with_its_description_and_default() -> None:
    rows = re.findall(r"^\| `(DRIPIQ_\w+)` \| (.*) \| (.*) \|$", (DOCS / "settings.md").read_text(), re.MULTILINE)

    assert rows == [
        (f"DRIPIQ_{name.upper()}", field.description, shown(field.default))
        for name, field in Settings.model_fields.items()
    ]


def shown(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, timedelta):
        return f"`{default.total_seconds():g}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
