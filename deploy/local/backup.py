"""Backup: one folder with the writer's and the gateway's schemas of one moment, and the data to verify it.

- `databases.dump`: both schemas in pg_dump's custom format, of one snapshot, so they are consistent
- `secrets/`: the API keys and demo passwords whose hashes are in the dump
- `manifest.json`: time, versions, sizes, and the checksum of every other file

A backup excludes the read model, Kafka and Valkey, because they are derived data. It excludes users' sessions, because
a session that has ended since must stay ended: after a restore every user signs in again.
The folder gets its final name once all of it is on the disk, so a folder of that name is always complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.local import addresses
from deploy.local.layout import write_private
from deploy.local.ports import HOST
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from deploy.local.say import Steps
    from deploy.local.system import System

FORMAT = 1
STEPS = 3
DUMP = "databases.dump"
MANIFEST = "manifest.json"
SECRETS = "secrets"
SCHEMAS = ("writer", "gateway")
# Secrets whose hash is in the databases. All others belong to this installation.
KEPT_SECRETS = ("writer_history_key", "internal_key", "login_*")
LOCK_SECONDS = 30
PAUSE_SECONDS = 0.2
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Manifest:
    """Manifest of a backup.

    `schemas` is the migration of each schema, `customers` the number of customers, `changes` the sum of their
    revisions, `files` the SHA-256 of each file by its path in the folder.
    """

    format: int
    made_at: str
    postgresql: int
    schemas: dict[str, str]
    time_zone: str
    customers: int
    changes: int
    files: dict[str, str]

    def summary(self) -> str:
        """Return the content in a few words."""
        return f"{self.customers:,} customers, {self.changes:,} changes, of {self.made_at}"


def back_up(system: System, folder: Path, steps: Steps) -> Manifest:
    """Write a backup of a running system into a new folder. Raises Trouble, and then leaves no files."""
    _check_target(system, folder)
    with _unfinished(folder) as fresh:
        with steps.step("copy of writer and gateway") as step:
            schemas = {schema: _migration(system, schema) for schema in SCHEMAS}
            _dump(system, fresh / DUMP, step.note)
        with steps.step("what it holds") as step:
            customers, changes = _heads(system, fresh / DUMP)
            step.note(f"{customers:,} customers, {changes:,} changes")
        with steps.step("checksums") as step:
            _copy_secrets(system, fresh / SECRETS)
            manifest = Manifest(
                format=FORMAT,
                made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                postgresql=major(system),
                schemas=schemas,
                time_zone=system.at.time_zone,
                customers=customers,
                changes=changes,
                files=checksums(fresh),
            )
            (fresh / DUMP).chmod(0o600)
            write_private(fresh / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
            _to_disk(*fresh.rglob("*"), fresh)
            step.note(f"{(fresh / DUMP).stat().st_size / MEBIBYTE:.1f} MiB")
    return manifest


def check_local(system: System) -> None:
    """Raise Trouble if a database of the system is on another server than the local one."""
    ours = (HOST, system.ports["postgres"])
    for url in system.at.databases.values():
        at = urlsplit(url)
        if (at.hostname, at.port) != ours:
            raise Trouble(
                f"a database is at {at.hostname}, not on the server of this place",
                "Use pg_dump and pg_restore there; docs/operating.md (Backup and restore) says how.",
            )


def major(system: System) -> int:
    """Return the major version of the local PostgreSQL."""
    command = [system.cluster.program("postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(said.split()[-1].split(".")[0])


def checksums(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Return path -> SHA-256 of the named files of a folder; without names, of all files but the manifest.

    A missing file has an empty checksum.
    """
    if names is None:
        found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        names = sorted(str(path) for path in found if str(path) != MANIFEST)
    return {name: _checksum(folder / name) for name in names}


def _checksum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _check_target(system: System, folder: Path) -> None:
    check_local(system)
    if folder.exists():
        raise Trouble(f"{folder} exists already", "Name a new folder: nothing is ever overwritten.")
    if not folder.parent.is_dir():
        raise Trouble(f"there is no folder {folder.parent}", "Make it, then run the command again.")


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """Yield a private temporary folder beside `folder`; rename it to `folder` when the body succeeds."""
    fresh = Path(
        tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".unfinished", dir=folder.parent)
    )
    try:
        yield fresh
        fresh.rename(folder)
        _to_disk(folder.parent)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _dump(system: System, file: Path, show: Callable[[str], None]) -> None:
    command = [
        *system.cluster.client("pg_dump", system.ports["postgres"], addresses.DATABASE),
        *("--format=custom", f"--file={file}", f"--lock-wait-timeout={LOCK_SECONDS}s"),
        *(f"--schema={schema}" for schema in SCHEMAS),
        "--exclude-table-data=gateway.session",
    ]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=system.cluster.client_settings()
    ) as running:
        try:
            said = _watched(running, lambda: show(_size(file)))
        except BaseException:
            running.kill()
            raise
    if running.returncode != 0:
        raise Trouble(f"the databases could not be copied: {said}", "Nothing was written.")


def _watched(running: subprocess.Popen[str], look: Callable[[], None]) -> str:
    """Wait for a process and call `look` meanwhile; return its error message."""
    while True:
        try:
            _, said = running.communicate(timeout=PAUSE_SECONDS)
        except subprocess.TimeoutExpired:
            look()
        else:
            return complaint(said)


def complaint(said: str) -> str:
    """Return the line with the error in the output of a PostgreSQL program."""
    lines = said.strip().splitlines() or ["it did not say why"]
    return next((line for line in lines if "error:" in line.lower()), lines[-1])


def _size(file: Path) -> str:
    return f"{file.stat().st_size / MEBIBYTE:.1f} MiB" if file.exists() else ""


def _migration(system: System, schema: str) -> str:
    sql = f"SELECT version_num FROM {schema}.alembic_version"  # noqa: S608 - our own constants
    return system.cluster.run_sql(system.ports["postgres"], addresses.DATABASE, sql=sql)


def _heads(system: System, dump: Path) -> tuple[int, int]:
    """Return (number of customers, sum of their revisions) of a dump.

    The source is the dump rather than the database, because the writer continues during the backup.
    """
    program = system.cluster.program("pg_restore")
    command = [program, "--data-only", "--schema=writer", "--table=customer", "-f", "-", str(dump)]
    place, customers, changes = None, 0, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as reading:
        for line in reading.stdout or ():
            if line.startswith("COPY "):
                place = line.partition("(")[2].partition(")")[0].split(", ").index("revision")
            elif line.startswith("\\."):
                place = None
            elif place is not None:
                customers += 1
                changes += int(line.split("\t")[place])
    if reading.returncode != 0:
        raise Trouble("the copy cannot be read again", "Is the disk sound? Nothing was kept.")
    return customers, changes


def _copy_secrets(system: System, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for path in kept_secrets(system.place.secrets):
        write_private(folder / path.name, path.read_text())


def kept_secrets(folder: Path) -> list[Path]:
    """Return the files of a folder of secrets that belong in a backup."""
    return sorted(path for pattern in KEPT_SECRETS for path in folder.glob(pattern))


def _to_disk(*paths: Path) -> None:
    """Flush files and folders to the disk, before the rename makes them visible."""
    for path in paths:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
