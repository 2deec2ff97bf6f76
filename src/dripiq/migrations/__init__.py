"""How does a database come to have the tables? Alembic's environment and the static revisions; `dripiq.db.migrate` runs them."""
