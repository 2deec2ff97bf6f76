"""How does a new revision begin? `make migration NAME=…` runs this: the next number, a .py from the template, and the .sql beside it."""

import re
import sys
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from dripiq.db.standing import scripts_config


def start(name: str, folder: Path | None = None) -> list[Path]:
    """Write the files of a revision after the newest one; what was written.

    Args:
        name: what it does, in a few words (`add notes`).
        folder: the migrations' folder; None is this one.

    Raises:
        ValueError: the name has no letters, or something else than letters, digits, spaces and underscores.
    """
    if not re.fullmatch(r"[A-Za-z][\w ]*", name, re.ASCII):
        raise ValueError(f"{name!r} is no name for a migration: write what it does, as in NAME='add notes'.")
    config = scripts_config()
    if folder is not None:
        config.set_main_option("script_location", str(folder))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    head = ScriptDirectory.from_config(config).get_current_head()
    written = command.revision(config, message=name.replace("_", " ").capitalize(), rev_id=f"{int(head or 0) + 1:04}")
    assert written is not None
    assert not isinstance(written, list)
    revision = Path(written.path)
    statements = revision.with_suffix(".sql")
    statements.write_text(
        "-- What it is for. A statement ends with a semicolon at the end of a line.\n", encoding="utf-8"
    )
    return [revision, statements]


if __name__ == "__main__":
    try:
        start(" ".join(sys.argv[1:]))
    except ValueError as error:
        sys.exit(str(error))
