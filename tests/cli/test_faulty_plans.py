"""The gallery of faulty plans: one for each fault code, and beside it what `dripiq plan check` says of it, to the letter."""

from pathlib import Path

import pytest

from dripiq.cli.main import run
from dripiq.domain.plan.document import MAX_BYTES
from dripiq.domain.plan.faults import FaultCode

GALLERY = Path(__file__).parents[2] / "examples" / "faulty"


def source(code: FaultCode, folder: Path) -> Path:
    """The plan with that fault; the one that is too large is made, so that nobody has to carry it."""
    if code is not FaultCode.TOO_LARGE:
        return GALLERY / f"{code}.json"
    plan = (GALLERY / f"{FaultCode.MISSING_CONTENT}.json").read_text()
    path = folder / "too_large.json"
    path.write_text(plan.replace("shall we talk?", "shall we talk? " * (MAX_BYTES // 15)))
    return path


@pytest.mark.parametrize("code", list(FaultCode))
def test_each_fault_has_a_plan_and_the_check_says_what_stands_beside_it(
    code: FaultCode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, told, contacts = source(code, tmp_path), GALLERY / f"{code}.txt", GALLERY / f"{code}.csv"
    assert plan.exists(), f"a new fault code: write examples/faulty/{code}.json, a small plan with this one fault"

    ended = run(["plan", "check", str(plan), *(["--contacts", str(contacts)] if contacts.exists() else [])])

    output = capsys.readouterr().out
    expected = told.read_text() if told.exists() else ""
    assert output == expected, (
        f"if this is right: dripiq plan check examples/faulty/{code}.json > examples/faulty/{code}.txt"
    )
    assert [line.split(": ")[1] for line in output.splitlines()[:-1]] == [code.value], "one plan, one fault"
    assert ended == (2 if code is FaultCode.UNREADABLE else 1)


def test_no_plan_of_the_gallery_is_of_a_code_that_there_is_not() -> None:
    assert {path.stem for path in GALLERY.glob("*.*")} - {"README"} == set(FaultCode)
