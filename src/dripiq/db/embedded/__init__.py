"""A PostgreSQL of dripiq's own, for when no database is configured (see docs/decisions/0004-embedded-postgres.md).

`server` says who uses it and when it stops, `cluster` what is done to a data directory, `layout` where things lie and as whom they run,
`watch` is the small process that stops it for users who were killed.
"""

from dripiq.db.embedded.layout import has_data
from dripiq.db.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "has_data"]
