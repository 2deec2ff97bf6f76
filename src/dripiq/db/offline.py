"""What would a migration do to a database, as SQL that somebody can read, and run by hand?

No database is asked. Where a revision depends on what is there (the host's tables, rows that would be lost), the SQL looks for itself. It holds what `dripiq db
upgrade` does in its revisions, and their stamps in the version table; the months' partitions are made by the next worker or `dripiq db partitions make`.
"""

from io import StringIO

from alembic import command
from alembic.script import ScriptDirectory

from dripiq.db.migrate import TABLE_LOCK_TIMEOUT, told_clearly
from dripiq.db.standing import scripts_config
from dripiq.domain.errors import InputError


def migration_sql(revisions: str | None = None, *, down: bool = False) -> str:
    """The SQL of revisions, in the order in which it runs.

    Args:
        revisions: `0025` for that one alone, `0025:0027` for what lies after the first up to the last; down, from the first back to the last
            (`0027:0024`). None is all there are.
        down: the SQL of going back, which refuses by itself where tables hold rows.

    Raises:
        InputError: `unknown_revision`; `wrong_way` when a range runs against the direction.
    """
    scripts = ScriptDirectory.from_config(scripts_config())
    with told_clearly():
        first, last = _range(scripts, revisions, down=down)
        order = [step.revision for step in scripts.iterate_revisions("head", "base")][::-1]
        known = ["base", *order]
        start, end = known.index(first), known.index(last)
    if (start <= end) is down or start == end:
        raise InputError(
            f"From {first} to {last} is not {'down' if down else 'up'}: {'leave out' if down else 'add'} --downgrade, or turn them round.",
            code="wrong_way",
        )
    config, output = scripts_config(), StringIO()
    config.attributes.update(going_up=not down, lock_timeout=TABLE_LOCK_TIMEOUT, output=output)
    with told_clearly():
        (command.downgrade if down else command.upgrade)(config, f"{first}:{last}", sql=True)
    return output.getvalue().strip() + "\n"


def _range(scripts: ScriptDirectory, revisions: str | None, *, down: bool) -> tuple[str, str]:
    """The ids of the revisions to start from and to end at."""
    first, separator, last = (revisions or "base:head").partition(":")
    if not separator:
        script = scripts.get_revision(first)
        assert script is not None
        last, first = script.revision, str(script.down_revision or "base")
    ends = [_named(scripts, name) for name in (first or "base", last or "head")]
    if down and not (separator and revisions):
        ends.reverse()
    return ends[0], ends[1]


def _named(scripts: ScriptDirectory, name: str) -> str:
    if name == "base":
        return name
    script = scripts.get_revision(name)
    assert script is not None
    return script.revision
