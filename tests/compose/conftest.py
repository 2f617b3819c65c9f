"""Fixtures of the container tests: an engine, compose, and the images of a registry."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def runs(*command: str) -> bool:
    """Return whether a command exists and exits with 0."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def compose() -> list[str]:
    """Return the command of compose: the plugin or the single program."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if runs(*words, "version"):
            return words
    pytest.skip("there is no docker compose here")


@pytest.fixture(scope="session")
def needs_images() -> Callable[..., None]:
    """Skip a test unless an engine runs and has these images: a test pulls nothing."""

    def check(*images: str) -> None:
        if not runs("docker", "version"):
            pytest.skip("no container engine answers")
        for image in images:
            if not runs("docker", "image", "inspect", image):
                pytest.skip(f"the image {image} is not here")

    return check


@pytest.fixture(scope="session")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new .env, as deploy/compose/secrets writes it."""
    path = tmp_path_factory.mktemp("compose") / ".env"
    subprocess.run([ROOT / "deploy/compose/secrets", path], check=True, capture_output=True)
    return path
