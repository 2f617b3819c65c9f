"""Locks of the images: each is a part of requirements.lock, with the same hashes."""

import importlib.util
import re
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

LOCKS = ("repair-writer", "portal-query", "gateway", "build")
Locked = dict[str, tuple[str, frozenset[str]]]


def read_lock(path: Path) -> Locked:
    """Return version and hashes by name."""
    text = path.read_text().replace("\\\n", " ")
    locked = {}
    for line in text.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^ ;]+)", line):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            locked[name] = (match[2], frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", line)))
    return locked


@pytest.fixture(scope="module")
def tested(root: Path) -> Locked:
    return read_lock(root / "requirements.lock")


@pytest.fixture(scope="module")
def compiler(root: Path) -> ModuleType:
    loader = SourceFileLoader("compile_locks", str(root / "deploy/requirements/compile"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", LOCKS)
def test_every_version_and_hash_is_one_that_was_tested(
    root: Path, tested: Locked, name: str
) -> None:
    locked = read_lock(root / f"deploy/requirements/{name}.lock")

    assert locked
    for package, (version, hashes) in locked.items():
        assert package in tested, package
        assert tested[package][0] == version, package
        assert hashes, package
        assert hashes <= tested[package][1], package


@pytest.mark.parametrize("service", ["repair-writer", "portal-query", "gateway"])
def test_every_dependency_of_a_service_is_in_its_lock(
    root: Path, compiler: ModuleType, service: str
) -> None:
    locked = read_lock(root / f"deploy/requirements/{service}.lock")
    needed = {re.match(r"[A-Za-z0-9._-]+", text)[0] for text in compiler.requirements_of(service)}  # type: ignore[index]

    assert needed
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in needed} <= locked.keys()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place_to_get_things_from(root: Path, name: str) -> None:
    text = (root / f"deploy/requirements/{name}.lock").read_text()

    assert "://" not in text
    assert "index-url" not in text
