import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from deploy.local import control, ports, process_id, supervisor
from deploy.local.layout import ROOT, Place, read_json
from deploy.local.probe import eventually
from deploy.local.spec import Spec

FOREVER = "import signal; signal.pause()"
SECONDS = 20.0

Script = Callable[..., Spec]


def found(place: Place, name: str) -> dict[str, Any]:
    return next((one for one in control.processes(place) if one["name"] == name), {})


def runs(place: Place, name: str) -> bool:
    return found(place, name).get("state") == "running"


def test_a_process_that_dies_is_started_again(place: Place, script: Script) -> None:
    control.want(place, [script("one", FOREVER)])
    assert eventually(lambda: runs(place, "one"), SECONDS)
    first = found(place, "one")["pid"]
    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: found(place, "one")["pid"] not in {None, first}, SECONDS)
    assert found(place, "one")["restarts"] == 1


def test_a_process_that_dies_at_once_is_given_ever_longer_pauses(
    place: Place, script: Script
) -> None:
    control.want(
        place, [script("one", "import time; print(time.monotonic()); raise SystemExit(3)")]
    )
    assert eventually(lambda: found(place, "one").get("restarts", 0) >= 3, SECONDS)
    deaths = [float(line) for line in (place.logs / "one.log").read_text().split()]

    # Pauses of 0.1, 0.2 and 0.4 seconds: each is longer than the previous one on any machine.
    assert deaths[2] - deaths[1] >= 0.2
    assert found(place, "one")["last_exit"] == 3


def test_a_program_that_does_not_exist_is_named_in_its_log(place: Place) -> None:
    control.want(place, [Spec(name="one", argv=["/nowhere/program"])])

    log = place.logs / "one.log"
    assert eventually(lambda: log.exists() and "could not be started" in log.read_text(), SECONDS)


def test_what_is_wanted_no_more_is_stopped_and_the_rest_is_left_alone(
    place: Place, script: Script
) -> None:
    one, two = script("one", FOREVER), script("two", FOREVER)
    control.want(place, [one, two])
    assert eventually(lambda: runs(place, "one") and runs(place, "two"), SECONDS)
    pid = found(place, "one")["pid"]
    control.want(place, [one])

    assert eventually(lambda: not found(place, "two"), SECONDS)
    assert found(place, "one")["pid"] == pid


def test_stopping_goes_from_the_last_stage_to_the_first(place: Place, script: Script) -> None:
    program = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open('order', 'a').write(NAME + ' ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('on', flush=True)\n"
        "signal.pause()\n"
    )
    names = ("first", "second", "third")
    control.want(
        place,
        [
            script(name, f"NAME = {name!r}\n{program}", stage=stage)
            for stage, name in enumerate(names)
        ],
    )
    logs = [place.logs / f"{name}.log" for name in names]
    assert eventually(lambda: all(log.exists() and log.read_text() for log in logs), SECONDS)

    assert control.stop(place, lambda _: None)
    assert (place.state / "order").read_text() == "third second first "


def test_who_does_not_stop_is_ended_after_its_grace(place: Place, script: Script) -> None:
    program = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('on', flush=True)\n"
        "while True: signal.pause()"
    )
    control.want(place, [script("deaf", program, grace_seconds=0.5)])
    log = place.logs / "deaf.log"
    assert eventually(lambda: log.exists() and bool(log.read_text()), SECONDS)
    pid = found(place, "deaf")["pid"]
    control.stop(place, lambda _: None)

    assert process_id.is_gone(pid)


def test_a_connection_made_while_a_process_restarts_is_answered_by_its_successor(
    place: Place, script: Script
) -> None:
    port = ports.choose({"web": 0})["web"]
    program = (
        "import os, socket\n"
        "listener = socket.socket(fileno=int(os.environ['LISTEN_FD']))\n"
        "while True:\n"
        "    near, _ = listener.accept()\n"
        "    near.sendall(str(os.getpid()).encode())\n"
        "    near.close()\n"
    )
    control.want(place, [script("web", program, listen_port=port)])

    def ask() -> int:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as far:
            return int(far.recv(20))

    assert eventually(lambda: runs(place, "web"), SECONDS)
    first = ask()
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: process_id.is_gone(first), SECONDS)

    # One attempt: a connection in between waits in the supervisor's socket.
    assert ask() != first


def test_only_one_supervisor_serves_a_folder(place: Place, script: Script) -> None:
    control.want(place, [script("one", FOREVER)])
    second = [sys.executable, "-m", "deploy.local.supervisor", str(place.state)]

    assert subprocess.run(second, cwd=ROOT, check=False).returncode == 3


def test_what_a_killed_supervisor_left_behind_is_stopped_before_a_new_start(
    place: Place, script: Script
) -> None:
    control.want(place, [script("one", FOREVER)])
    assert eventually(lambda: runs(place, "one"), SECONDS)
    orphan = found(place, "one")["pid"]
    pid = control.supervisor(place)
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: control.supervisor(place) is None, SECONDS)
    assert process_id.alive(orphan)

    control.want(place, [script("one", FOREVER)])
    assert eventually(lambda: runs(place, "one"), SECONDS)
    assert process_id.is_gone(orphan)


def test_a_log_that_grows_too_long_is_begun_anew_and_one_older_part_is_kept(place: Place) -> None:
    log = place.logs / "one.log"
    log.write_bytes(b"x" * (supervisor.LOG_BYTES + 1))
    supervisor.bound(log)

    assert log.stat().st_size == 0
    assert (place.logs / "one.log.1").stat().st_size == supervisor.LOG_BYTES + 1


def test_secrets_in_settings_are_written_for_their_owner_alone(
    place: Place, script: Script
) -> None:
    control.want(place, [script("one", FOREVER, env={"KEY": "secret"})])

    assert read_json(place.wanted)["processes"][0]["env"] == {"KEY": "secret"}
    assert place.wanted.stat().st_mode & 0o077 == 0


def test_a_system_that_belongs_to_a_process_ends_with_it(place: Place, script: Script) -> None:
    owner = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from deploy.local import control\n"
        "from deploy.local.layout import Place\n"
        "control.belong_to_this_process(Place(Path(sys.argv[2])))\n"
        "print('on', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", owner, str(ROOT), str(place.state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owning:
        assert owning.stdout
        owning.stdout.readline()
        control.want(place, [script("one", FOREVER)])
        assert eventually(lambda: runs(place, "one"), SECONDS)
        owning.kill()

    assert eventually(lambda: control.supervisor(place) is None, SECONDS)
