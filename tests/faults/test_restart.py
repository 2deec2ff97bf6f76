"""PostgreSQL is cut off (mode `immediate`) under load, again and again: what was committed is there, and workers and the API go on by themselves."""

import tempfile
from pathlib import Path

import pytest

from dripiq.simulate.malice import Malice
from tests.faults.torture import Ordeal, told, torture


@pytest.mark.timeout(300)
def test_a_database_that_is_cut_off_under_load_costs_no_mail_no_event_and_no_enrolment() -> None:
    deeds, mild = {"restart_postgres": 1, "enrol": 3}, Malice(0, 0, 0, 0, 0, 0)
    ordeal = Ordeal(6, seed=3, workers=2, deeds=deeds, pause=0.3, armed=False, malice=mild, haste=10)
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="dripiq-restart-", dir=parent) as folder:
        result = torture(ordeal, Path(folder))
    assert result.holds, told(result)
    assert result.tally["restarts of PostgreSQL"] >= 2
    assert result.tally["mails accepted"] > 100
