"""`./dev test --fast`: the members that differ from the main branch, and their integration tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.local import git
from deploy.local.layout import ROOT
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable

MAIN = "main"
# Member -> the prefixes of its files, and its integration tests.
MEMBERS = {
    "shared": (("shared/",), ("shared/tests/integration",)),
    "repair-writer": (("services/repair-writer/",), ("services/repair-writer/tests/integration",)),
    "portal-query": (
        ("services/portal-query/",),
        ("services/portal-query/tests/integration", "services/portal-query/tests/api/integration"),
    ),
    "gateway": (("services/gateway/",), ("services/gateway/tests/integration",)),
    "tools": (("conftest.py", "deploy/", "bench/", "tests/"), ("tests/unit", "tests/dev")),
}


def changed_files() -> list[str]:
    """Return the files that differ from the merge base with main, committed or not.

    Raises Trouble if there is no branch main.
    """
    base = git.lines(ROOT, "merge-base", MAIN, "HEAD")
    changed = git.lines(ROOT, "diff", "--name-only", *base) if base else None
    added = git.lines(ROOT, "ls-files", "--others", "--exclude-standard")
    if changed is None or added is None:
        raise Trouble(
            "it is not known what has changed", f"a Git clone with a branch {MAIN}, or ./dev test"
        )
    return [*changed, *added]


def members_of(files: Iterable[str]) -> list[str]:
    """Return the members that own these files."""
    paths = list(files)
    return [
        name
        for name, (places, _) in MEMBERS.items()
        if any(path.startswith(places) for path in paths)
    ]


def integration_tests(members: Iterable[str]) -> list[str]:
    """Return the folders of the integration tests of these members."""
    return [folder for name in members for folder in MEMBERS[name][1]]
