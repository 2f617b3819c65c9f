"""The writer's only door to Postgres: each function is one statement with a verb for a name.

Raw asyncpg: a command is four round trips, and SQLAlchemy's compiler would cost as much again.
Nothing here decides anything, and only `repair_writer` modules above call it.
"""
