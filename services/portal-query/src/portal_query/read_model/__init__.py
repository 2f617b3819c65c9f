"""The read model, shared by both processes: Postgres is the copy of record, Redis the fast one."""
