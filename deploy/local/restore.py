"""Restore of a backup: check everything, then replace the databases in one transaction; the rest follows automatically.

The read model needs no restore. It is newer than the restored event streams, or has diverged from them. The projectors
compare the heads at their start and rebuild each such customer under a higher epoch (refold number).
"""

from __future__ import annotations

import json
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from deploy.local import addresses, backup, control, postgres, probe, start, stores
from deploy.local.backup import DUMP, MANIFEST, SCHEMAS, SECRETS, Manifest
from deploy.local.layout import write_private
from deploy.local.system import System
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploy.local.layout import Place
    from deploy.local.say import Steps

# Four own steps, and the seven of a start without demo.
STEPS = 11
AGREE_SECONDS = 900.0
LOOK_SECONDS = 0.5
CHUNK_BYTES = 2**16

_DROP = "; ".join(f"DROP SCHEMA IF EXISTS {schema} CASCADE" for schema in SCHEMAS)
# Sent after the last byte of the dump. Without it the sender has died, and the transaction rolls back.
_WHOLE = "\nSET rswind.restored = 'whole';\n"
_CHECK = """
DO $check$
DECLARE
    customers bigint; revisions bigint; events bigint;
BEGIN
    IF current_setting('rswind.restored', true) IS DISTINCT FROM 'whole' THEN
        RAISE EXCEPTION 'the dump was not read to its end';
    END IF;
    SELECT count(*), coalesce(sum(revision), 0) INTO customers, revisions FROM writer.customer;
    SELECT count(*) INTO events FROM writer.event;
    IF (customers, revisions, events) IS DISTINCT FROM ({customers}::bigint, {changes}::bigint, {changes}::bigint) THEN
        RAISE EXCEPTION 'it holds % customers, % revisions and % events instead of {customers} and {changes}',
            customers, revisions, events;
    END IF;
END
$check$
"""

# Customers whose counts differ from their stream. Recently accepted changes are in flight; a parked customer waits for
# an operator.
_DIFFERENT = """
SELECT count(*) FROM writer.customer w FULL JOIN portal.customer p USING (customer_id)
WHERE p.parked_at IS NULL AND (w.changed_at IS NULL OR w.changed_at < clock_timestamp() - interval '5 seconds')
  AND (coalesce(w.revision, 0), w.event_id) IS DISTINCT FROM (coalesce(p.revision, 0), p.event_id)
"""


def checked(system: System, folder: Path) -> Manifest:
    """Return the manifest of a backup if it can be restored here. Raises Trouble with the reason if not."""
    backup.check_local(system)
    manifest = _manifest(folder)
    if backup.major(system) < manifest.postgresql:
        raise Trouble(
            f"the backup is of PostgreSQL {manifest.postgresql}, newer than the one here",
            "Restore it with the version of this project that made it, or a newer one.",
        )
    for schema, version in manifest.schemas.items():
        if not list(stores.MIGRATIONS[schema].glob(f"{version}_*.py")):
            raise Trouble(
                f"the backup's {schema} schema is of migration {version}, which is not known here",
                "Restore it with the version of this project that made it, or a newer one.",
            )
    for name, sum_now in backup.checksums(folder, manifest.files).items():
        if sum_now != manifest.files[name]:
            raise Trouble(
                f"{folder / name} is {'not what was written' if sum_now else 'missing'}",
                "The backup is damaged; nothing was changed. Take another one.",
            )
    return manifest


def _manifest(folder: Path) -> Manifest:
    file = folder / MANIFEST
    if not file.exists():
        raise Trouble(f"{folder} is no backup: it has no {MANIFEST}", "./dev backup makes one.")
    try:
        found = json.loads(file.read_text())
        if found.get("format") != backup.FORMAT:
            raise Trouble(
                f"the backup is of format {found.get('format')}, not {backup.FORMAT}",
                "Restore it with the version of this project that made it.",
            )
        manifest = Manifest(**found)
    except (ValueError, TypeError, AttributeError) as problem:
        raise Trouble(f"{file} cannot be read: {problem}", "Take another backup.") from problem
    if set(manifest.schemas) != set(SCHEMAS) or DUMP not in manifest.files:
        raise Trouble(f"{file} does not name what a backup holds", "Take another backup.")
    return manifest


def restore(system: System, folder: Path, manifest: Manifest, steps: Steps) -> None:
    """Restore a checked backup, start everything, and wait until all counts equal those of the streams.

    Raises Trouble. After a failure before the replacement everything is unchanged, and runs again if it ran.
    """
    ran = bool(_ours(system))
    try:
        replace(system, folder, manifest, steps)
    except BaseException:
        if ran:
            control.want(system.place, [*system.backends(), *system.services()])
        raise
    renewed = System.found(system.place)
    start.start(renewed, steps, demo=False)
    with steps.step("heads compared") as step:
        wait_for_agreement(renewed, step.note)
        step.note("every customer's figures are those of the list")


def replace(system: System, folder: Path, manifest: Manifest, steps: Steps) -> None:
    """Stop the own processes and replace the databases and their secrets; the processes stay down."""
    with steps.step("stopping our processes") as step:
        control.want(system.place, system.backends())
        others = {spec.name for spec in system.backends()}
        control.wait_for_silence(system.place, others, step.note)
    with steps.step("writer and gateway") as step:
        ready = partial(probe.postgres, system.ports["postgres"])
        if not probe.eventually(ready, start.BACKEND_SECONDS):
            raise Trouble("PostgreSQL does not answer", "./dev logs postgres says why.")
        _load(system, folder / DUMP, manifest, step.note)
        # A restored system has only its own data: no start adds the demo.
        stores.mark_restored(system)
        step.note(manifest.summary())
    with steps.step("keys and passwords") as step:
        _put_secrets(system.place, folder / SECRETS)
        step.note("those of the backup")


def _ours(system: System) -> list[str]:
    """Return the names of the own processes that run."""
    return control.running(system.place, {spec.name for spec in system.backends()})


def _load(system: System, dump: Path, manifest: Manifest, show: Callable[[str], None]) -> None:
    """Replace both schemas in one transaction, which commits only after the whole dump."""
    port = system.ports["postgres"]
    reading = [system.cluster.program("pg_restore"), "-f", "-", str(dump)]
    check = _CHECK.format(customers=manifest.customers, changes=manifest.changes)
    writing = [*system.cluster.client("psql", port, addresses.DATABASE), *postgres.PSQL, "-1"]
    writing += ["-c", _DROP, "-f", "-", "-c", check]
    settings = system.cluster.client_settings(f"-c lock_timeout={backup.LOCK_SECONDS}s")
    log = system.place.logs / "restore.log"
    with (
        log.open("w") as words,
        subprocess.Popen(reading, stdout=subprocess.PIPE, stderr=words) as source,
        subprocess.Popen(
            writing, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words, env=settings
        ) as target,
    ):
        try:
            _pour(source, target, show)
        except BrokenPipeError:
            pass  # psql has ended early, and its log says why
        except BaseException:
            target.kill()
            raise
        finally:
            source.stdout.close() if source.stdout else None
    if source.returncode != 0 or target.returncode != 0:
        said = backup.complaint(log.read_text())
        raise Trouble(f"the databases are as they were: {said}", "See the log.", str(log))


def _pour(
    source: subprocess.Popen[bytes], target: subprocess.Popen[bytes], show: Callable[[str], None]
) -> None:
    """Send the dump to psql, and the mark of its end only if pg_restore succeeds."""
    if source.stdout is None or target.stdin is None:
        raise RuntimeError("both ends of the pipe are ours")
    poured = 0
    with target.stdin as into:
        while chunk := source.stdout.read(CHUNK_BYTES):
            into.write(chunk)
            poured += len(chunk)
            show(f"{poured / backup.MEBIBYTE:.0f} MiB")
        if source.wait() == 0:
            into.write(_WHOLE.encode())
    show("checking")


def _put_secrets(place: Place, folder: Path) -> None:
    """Replace the secrets whose hashes are in the databases by those of the backup."""
    wanted = {path.name: path for path in backup.kept_secrets(folder)}
    for name, path in wanted.items():
        write_private(place.secrets / name, path.read_text())
    for path in backup.kept_secrets(place.secrets):
        if path.name not in wanted:
            path.unlink()


def wait_for_agreement(system: System, show: Callable[[str], None]) -> None:
    """Wait until each customer's counts equal its stream. Raises Trouble if that takes too long."""
    deadline = time.monotonic() + AGREE_SECONDS
    while different := _different(system):
        show(f"{different:,} customers are being rebuilt")
        if time.monotonic() > deadline:
            raise Trouble(
                f"{different:,} customers are still being rebuilt; that continues automatically",
                "./dev run portal-query verify names them; ./dev logs projector-1 has the reason.",
            )
        time.sleep(LOOK_SECONDS)


def _different(system: System) -> int:
    port = system.ports["postgres"]
    return int(system.cluster.run_sql(port, addresses.DATABASE, sql=_DIFFERENT))
