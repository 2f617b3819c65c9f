"""Access to Postgres: outside the migrations, only this package sends SQL.

Each function is one statement. The package uses raw asyncpg: a command is four round trips, and
the SQLAlchemy compiler would double its cost. It makes no decisions. Only `repair_writer` modules
above it call it.
"""
