"""Data, logs and secrets of the local start are readable by their owner only; command lines hold no
secret.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import redis
from deploy.local import unprivileged

if TYPE_CHECKING:
    from deploy.local.whole import Stack


def test_nobody_else_may_read_a_file_or_look_into_a_folder(stack: Stack) -> None:
    state = stack.system.place.state
    found = [
        path
        for top in (state, unprivileged.elsewhere(state))
        for path in top.rglob("*")
        # Programs are not data, and PostgreSQL's user must run them.
        if not path.is_symlink() and "programs-" not in str(path.relative_to(top.parent))
    ]
    kinds = {path.name for path in found}
    assert {"meta.properties", "PG_VERSION", "valkey.conf", "gateway.log", "internal_key"} <= kinds
    open_to_others = {str(path): oct(mode) for path in found if (mode := _mode_of(path)) & 0o077}
    assert open_to_others == {}
    # Servers of another user need to pass through the folder itself.
    assert stat.S_IMODE(state.stat().st_mode) == (0o711 if unprivileged.is_root() else 0o700)


def _mode_of(path: Path) -> int:
    """Return the rights of a path; 0 for one that a running server has removed meanwhile."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0


def test_no_command_line_holds_a_secret(stack: Stack) -> None:
    secrets = set(stack.system.secrets.values()) - {stack.system.secrets["kafka_cluster_id"]}
    for process in stack.status()["processes"]:
        line = Path(f"/proc/{process['pid']}/cmdline").read_text()
        assert line, process
        assert not [secret for secret in secrets if secret in line], process["name"]


@pytest.mark.parametrize("use", ["documents", "limits"])
def test_a_valkey_answers_nobody_without_its_password(stack: Stack, use: str) -> None:
    address = getattr(stack.system.at, use)
    with redis.Redis.from_url(address) as known:
        assert known.ping()
    at = urlsplit(address)
    unknown = redis.Redis(host=at.hostname or "", port=at.port or 0)
    with unknown, pytest.raises(redis.AuthenticationError):
        unknown.ping()
