"""Alembic's entry."""

from service_runtime.migrations import run

run("writer")
