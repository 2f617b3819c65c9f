"""URLs of databases: passwords as operators write them, and what a process loads to read one."""

import subprocess
import sys

import pytest
from sqlalchemy.engine import make_url

from service_runtime.postgres import with_quoted_password


@pytest.mark.parametrize(
    "password", ["plain", "p%40x", "p#x", "a/b?c", "50%", "[x]", "a:b", "%2F%", "\u00e4 \u00f6", ""]
)
def test_a_password_is_read_as_the_migrations_read_it(password: str) -> None:
    url = f"postgresql://writer:{password}@db:5432/rswind?sslmode=require"

    quoted = with_quoted_password(url)

    assert make_url(quoted) == make_url(url)
    assert quoted.startswith("postgresql://writer:")
    assert not set("#/?[]") & set(quoted.partition("writer:")[2].partition("@")[0])
    assert with_quoted_password(quoted) == quoted


@pytest.mark.parametrize("url", ["postgresql://db/rswind", "postgresql://writer@db/rswind", "x"])
def test_a_url_without_a_password_stays_as_it_is(url: str) -> None:
    assert with_quoted_password(url) == url


@pytest.mark.parametrize(
    "module",
    [
        "gateway.main",
        "portal_query.api.main",
        "portal_query.projector.main",
        "repair_writer.api.main",
        "repair_writer.relay.main",
        "gateway.admin",
        "portal_query.admin",
        "repair_writer.admin",
    ],
)
def test_what_only_migrations_need_is_loaded_by_no_process(module: str) -> None:
    program = f"import sys, {module}; print(*{{'sqlalchemy', 'alembic'}} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []
