"""The documents say what is so: links lead somewhere, commands exist, plans are sound, and nothing names the machine it was written on."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import dripiq
from dripiq.cli.main import run
from dripiq.domain.plan.verify import check_plan

ROOT = Path(__file__).parents[2]
KEPT = (".ci", "bench", "docs", "examples", "src", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text()

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Where checkouts lie, and where packages come from, on one machine and not on others. (Written so that it does not match itself.)
MACHINE = re.compile(
    r"""(?<![\w.])/(?:home|Users|workspace|wor[k]|builds|mnt)/\w|py[p]i\.org|pythonhos[t]ed|(?:extra-)?index-ur[l]"""
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    return [block for found, block in BLOCK.findall(text) if found == language]


def anchors(path: Path) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(path.read_text())}


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def kept_texts() -> Iterator[tuple[Path, str]]:
    """Every file of ours that is text: what lies in the folders that are kept, and beside them."""
    folders = [path for folder in KEPT for path in (ROOT / folder).rglob("*")]
    beside = [
        path for path in ROOT.glob("*") if path.suffix in {".md", ".toml", ".txt", ""}
    ]  # logs and CSVs are somebody's own
    for path in sorted([*folders, *beside, ROOT / ".gitignore"]):
        if path.is_file() and "__pycache__" not in path.parts:
            try:
                yield path, path.read_text()
            except UnicodeDecodeError:
                continue


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_between_documents_lead_to_something(document: Path) -> None:
    broken = []
    for link in LINK.findall(BLOCK.sub("", document.read_text())):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (document.parent / target).resolve() if target else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)
    assert broken == []


def test_every_decision_is_listed_by_its_number() -> None:
    records = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    listed = re.findall(
        r"^\| \[(\d+)\]\((\S+)\)", (ROOT / "docs" / "decisions" / "README.md").read_text(), re.MULTILINE
    )
    assert [name for _, name in listed] == records
    assert [int(number) for number, _ in listed] == [int(name[:4]) for name in records]


def test_a_decision_has_context_decision_consequences_and_alternatives() -> None:
    wanted = ("Context", "Decision", "Consequences", "Alternatives")
    for record in (ROOT / "docs" / "decisions").glob("[0-9]*.md"):
        titles = HEADING.findall(record.read_text())
        lacking = [part for part in wanted if not any(title.startswith(part) for title in titles)]
        assert lacking == [], record.name


def test_the_make_targets_that_documents_name_exist() -> None:
    for document in DOCUMENTS:
        code = "\n".join([*re.findall(r"`(make [^`]+)`", document.read_text()), *blocks(document.read_text(), "sh")])
        assert set(re.findall(r"^make ([a-z]+)", code, re.MULTILINE)) <= make_targets(), document.name


def test_make_alone_lists_what_there_is() -> None:
    listed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z]+) ", listed, re.MULTILINE)) == make_targets()
    assert {"demo", "test", "check", "bench"} <= make_targets()


def test_the_dripiq_commands_of_the_readme_exist() -> None:
    commands = set(re.findall(r"^dripiq ((?:[a-z]+ ?)+)", "\n".join(blocks(README, "sh")), re.MULTILINE))
    assert commands
    for command in sorted(commands):
        assert run([*command.split()[:2], "--help"]) == 0, command


def test_the_functions_that_the_readme_calls_exist() -> None:
    for code in blocks(README, "python"):
        compile(code, "README.md", "exec")
        for name in re.findall(r"dripiq\.(\w+)\(", code):
            assert name in dripiq.__all__


def test_plans_in_the_readme_and_among_the_examples_have_no_faults() -> None:
    shown = [block for block in blocks(README, "json") if "nodes" in json.loads(block)]
    examples = [path.read_text() for path in (ROOT / "examples" / "plans").glob("*.json")]
    assert shown
    assert examples
    for plan in (*shown, *examples):
        check_plan(plan)


def test_the_changelog_has_a_section_for_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert versions[0] in {project["version"], "Unreleased"}
    assert project["version"] == dripiq.__version__


def test_constraints_are_names_and_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0].lower())
    assert [line for line in lines if not re.fullmatch(r"[\w.\-]+==[\w.]+", line)] == []


def test_every_dependency_is_constrained_and_has_its_reason() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [name for extra in metadata["project"]["optional-dependencies"].values() for name in extra]
    groups = [name for group in metadata["dependency-groups"].values() for name in group]
    reasons = (ROOT / "docs" / "decisions" / "0006-dependencies.md").read_text()
    constrained = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for requirement in (*metadata["project"]["dependencies"], *extras):
        name = re.split(r"[<>=!~]", requirement)[0]
        assert f"| {name} |" in reasons, f"{name} has no reason in 0006-dependencies.md"
    for requirement in (*metadata["project"]["dependencies"], *extras, *groups):
        name = re.split(r"[<>=!~\[]", requirement)[0]
        assert name.lower() in constrained, f"{name} has no version: run make constraints"


def test_no_file_names_the_machine_it_was_written_on() -> None:
    found = [f"{named(path)}: {match[0]}" for path, text in kept_texts() for match in MACHINE.finditer(text)]
    assert found == []
    here = [named(path) for path, text in kept_texts() if len(ROOT.parts) > 2 and str(ROOT) in text]
    assert here == []
