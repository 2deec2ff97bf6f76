"""Whoever is in the wrong folder, or gives the wrong file, is told which one was looked at and what to do."""

from pathlib import Path

import pytest

from dripiq.cli.contacts import IMPORT_HINTS, read_contacts
from dripiq.cli.migrating import hash_of
from dripiq.domain.errors import InputError
from tests.cli.conftest import Dripiq


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """No database is configured, and this is a folder without one."""
    return {"home": str(tmp_path / "home")}


@pytest.mark.parametrize("command", ["tenants list", "db status", "worker --until-idle"])
def test_where_there_is_no_database_none_is_made_in_silence(dripiq: Dripiq, tmp_path: Path, command: str) -> None:
    told = dripiq(*command.split(), "--json")
    assert (told.code, told.error["code"], told.error["facts"]) == (3, "no_database", {"home": str(tmp_path / "home")})
    assert "`dripiq up`" in told.error["message"]
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "The file is empty"),
        (b"email\n\xfcber@example.com\n", "Save it as UTF-8."),
        (b"who\nann@example.com\n", 'name the one that does "email".'),
    ],
)
def test_a_list_that_cannot_be_read_is_named_and_no_option_is_advised_that_the_command_lacks(
    dripiq: Dripiq, plan: Path, tmp_path: Path, raw: bytes, said: str
) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(raw)
    told = dripiq("plan", "check", plan, "--contacts", path)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"Error: {path}: ")
    assert said in told.err
    assert "--" not in told.err
    with pytest.raises(InputError) as refused:
        read_contacts(str(path), hints=IMPORT_HINTS)
    assert ("--encoding" in refused.value.message or "--map" in refused.value.message) is (raw != b"")


def test_a_picture_that_would_be_no_svg_is_refused_before_anything_runs(dripiq: Dripiq, plan: Path) -> None:
    told = dripiq("plan", "simulate", plan, "--picture", "flow.png", "--json")
    assert (told.code, told.error["code"]) == (2, "picture")
    assert "flow.svg" in told.error["message"]


def test_the_first_letters_of_a_hash_are_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert hash_of("ffff") == "ffff"
    (tmp_path / "ffff").write_bytes(plan.read_bytes())
    assert len(hash_of("ffff")) == 64, "a file of that name goes before"
