"""References in the documents for contributors: each names an existing file."""

import re

import pytest
from deploy.local.layout import ROOT

#: Folders that the local start creates.
CREATED = {".run/", ".venv/"}
_PATH = re.compile(r"`((?:[\w.*-]+/)+[\w.*-]*)`|\]\(([^):#]+)[#)]")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "README.md"])
def test_each_path_exists(name: str) -> None:
    found = {one or other for one, other in _PATH.findall((ROOT / name).read_text())} - CREATED

    assert found
    assert [path for path in found if not list(ROOT.glob(path.rstrip("/")))] == []
