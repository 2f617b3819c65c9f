"""Access to Postgres: the only package of the writer that sends SQL, one statement a function.

It uses raw asyncpg: a command is four round trips, and the SQLAlchemy compiler would double its
cost. The package makes no decisions. Only `repair_writer` modules above it call it.
"""
