"""What both processes know about where counts are kept: Postgres is the copy of record, Redis the fast one."""
