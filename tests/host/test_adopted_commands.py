"""What the commands say on a host's database."""

from pathlib import Path

import pytest

from tests.cli.conftest import Dripiq, dripiq
from tests.host.conftest import Dump

__all__ = ["dripiq"]


@pytest.fixture
def settings(adopted: str, tmp_path: Path) -> dict[str, str]:
    """What commands of the test are set to."""
    return {"database_url": adopted, "home": str(tmp_path / "home"), "port": "0"}


def test_contacts_import_refuses_and_says_where_people_are_added(dripiq: Dripiq, adopted: str, dump: Dump) -> None:
    before = dump(adopted)
    csv = b"email,name,company\nnew@example.com,New,The Old Mill\n"

    answer = dripiq("contacts", "import", "-", "--tenant", "north", "--json", stdin=csv)

    assert answer.code == 5
    assert answer.error["code"] == "host_adopted"
    assert "belong to the application, and dripiq never writes to them: add people there" in answer.error["message"]
    assert dump(adopted) == before


def test_an_import_that_would_make_its_tenant_refuses_too(dripiq: Dripiq) -> None:
    answer = dripiq(
        "contacts", "import", "-", "--tenant", "West", "--create-tenant", "--json", stdin=b"email\na@example.com\n"
    )

    assert answer.error["code"] == "host_adopted"


def test_the_hosts_tenants_are_listed_by_their_names(dripiq: Dripiq) -> None:
    assert {"Northwind Tools", "Southbank Legal"} <= set(dripiq("tenants", "list").out.replace("  ", "\n").split("\n"))
