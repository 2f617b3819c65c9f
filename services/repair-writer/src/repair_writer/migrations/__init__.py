"""The writer's tables, one numbered step after another (Alembic)."""
