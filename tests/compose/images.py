"""The images that the compose files and the Dockerfile name: each once, so that no test names another."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NAMED = re.compile(r"^\s*(?:image:|FROM) (?!rswind/)(\S+)", re.MULTILINE)
FILES = (
    ROOT / "docker-compose.yml",
    ROOT / "deploy/Dockerfile",
    *ROOT.glob("deploy/compose/*.yml"),
)
IMAGES = tuple(sorted({found for file in FILES for found in _NAMED.findall(file.read_text())}))


def image(name: str) -> str:
    """Return the image of a name, with its version."""
    return str(next(one for one in IMAGES if one.startswith(f"{name}:")))
