"""Selection of tests by `./dev test --fast` for a change."""

from __future__ import annotations

import pytest
from deploy.local import checks, fast
from deploy.local.layout import ROOT


@pytest.mark.parametrize(
    ("files", "members"),
    [
        ([], []),
        (["README.md", "docs/operating.md"], []),
        (["services/gateway/src/gateway/out.py", "docs/operating.md"], ["gateway"]),
        (["tests/unit/test_fast.py", "shared/src/x.py"], ["shared", "tools"]),
        (["conftest.py"], ["tools"]),
    ],
)
def test_a_file_belongs_to_one_member(files: list[str], members: list[str]) -> None:
    assert fast.members_of(files) == members


def test_each_member_has_types_and_tests() -> None:
    assert fast.MEMBERS.keys() == checks.TYPED.keys()
    for folder in fast.integration_tests(fast.MEMBERS):
        assert (ROOT / folder).is_dir(), folder


def test_a_member_that_did_not_change_is_left_to_the_whole_check() -> None:
    types, others = checks.lanes(["gateway"])
    assert {check.name.split(",")[0] for check in types} == {"types of gateway"}
    assert {"format", "lint", "imports"} <= {check.name for check in others}
