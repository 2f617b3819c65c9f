"""The system in containers as an operator has it: one project of compose."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

PASSWORD = "a long password of nobody else's"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stack:
    """One project of compose with a .env, volumes, networks and a port of its own."""

    def __init__(self, root: Path, compose: list[str], env_file: Path) -> None:
        self.root = root
        self.address = f"127.0.0.1:{free_port()}"
        self.words = [
            *compose,
            "--project-name",
            f"rswind-test-{os.getpid()}",
            "--env-file",
            str(env_file),
        ]
        self.settings = {
            **os.environ,  # compose needs PATH and HOME
            "PORTAL_ADDRESS": self.address,
            "EDGE_SUBNET": f"10.213.{8 + os.getpid() % 240}.0/28",
            "RSWIND_VERSION": "test",
        }

    def compose(self, *arguments: str, said: str | None = None) -> str:
        """Run a command of compose and return its output; fail with its error text."""
        result = subprocess.run(
            [*self.words, *arguments],
            cwd=self.root,
            env=self.settings,
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=1_000,
        )
        if result.returncode != 0:
            pytest.fail(f"{arguments}: {result.stdout[-4_000:]}{result.stderr[-8_000:]}")
        return result.stdout

    def remove(self) -> None:
        """Remove the containers, volumes, networks and built images."""
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "40")
        images = [
            f"rswind/{service}:test" for service in ("repair-writer", "portal-query", "gateway")
        ]
        subprocess.run(["docker", "image", "rm", *images], capture_output=True, check=False)

    def add_user(self, name: str, *options: str) -> None:
        command = f"cat >/tmp/{name} && gateway users add {name} {' '.join(options)} --password-file /tmp/{name}"
        self.compose("exec", "-T", "gateway", "sh", "-euc", command, said=PASSWORD)

    def new_key(self, scopes: str) -> str:
        """Create an API key as an operator does, and return its text."""
        printed = self.compose(
            "exec", "-T", "writer", "repair-writer", "keys", "create", "--client", "test",
            "--scopes", scopes, "--expires-days", "1", "--json",
        )  # fmt: skip
        found = re.search(r"rsw_live_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", printed)
        assert found, printed
        return found[0]
