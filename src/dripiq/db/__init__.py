"""The database under the tables: sessions, migrations, and a server of dripiq's own."""
