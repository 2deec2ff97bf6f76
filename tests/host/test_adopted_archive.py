"""A host's database while the campaign tables lie in the archive, and after they came back."""

from collections.abc import Callable

from dripiq.db import migrate, standing
from tests.engine.conftest import World
from tests.host.conftest import Dump, execute_file

DumpHosts = Callable[[str], str]


def test_archiving_and_coming_back_leaves_the_hosts_tables_and_the_whole_schema_as_they_were(
    adopted: str, dump: Dump, dump_hosts: DumpHosts
) -> None:
    hosts, schema = dump_hosts(adopted), dump(adopted, "--schema-only")

    migrate.archive(adopted)
    assert dump_hosts(adopted) == hosts

    migrate.upgrade(adopted)
    assert dump_hosts(adopted) == hosts
    assert dump(adopted, "--schema-only", "--exclude-schema=dripiq_archive") == schema


def test_the_host_migrates_its_tables_while_ours_are_archived_and_they_come_back(
    adopted: str, north: World, dump_hosts: DumpHosts
) -> None:
    migrate.archive(adopted)
    execute_file(adopted, "next_migration.sql")
    after = dump_hosts(adopted)

    migrate.upgrade(adopted)

    assert dump_hosts(adopted) == after
    found = standing.status(adopted)
    assert (found.is_current, found.archived.orphans) == (True, {})
    assert north.value("SELECT id FROM dripiq_app.email_sender_identities") == north.sender_id
