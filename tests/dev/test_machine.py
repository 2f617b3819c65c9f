import errno
import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import pytest
from deploy.local import __main__ as front
from deploy.local import credentials, kafka, machine, unprivileged
from deploy.local.layout import Place
from deploy.local.trouble import Trouble


class Usage(NamedTuple):
    free: int


def a_java(folder: Path, said: str) -> str:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_392"', 8),
        ("this is no Java", None),
    ],
)
def test_the_version_of_a_java_is_read(tmp_path: Path, said: str, version: int | None) -> None:
    assert machine.java_version(a_java(tmp_path, said)) == version


def test_a_java_that_does_not_exist_has_no_version() -> None:
    assert machine.java_version("/nowhere/java") is None


def test_a_java_that_is_too_old_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = a_java(tmp_path, 'java version "1.8.0_392"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = machine.find_java()

    assert found is None or found[0] != old


def test_too_little_disk_says_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=100 * 2**20))

    with pytest.raises(Trouble, match=r"only 0\.1 GiB free .* 3\.0 GiB are needed") as found:
        machine.check_disk(tmp_path, first=True)
    assert "./dev reset" in found.value.remedy


def test_a_full_disk_is_said_in_words() -> None:
    assert (
        front.in_words(OSError(errno.ENOSPC, "No space left on device")).what == "the disk is full"
    )


def test_without_maven_and_engine_it_says_what_to_install(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(kafka, "POM", tmp_path / "pom.xml")
    (tmp_path / "pom.xml").write_text("<another/>")

    with pytest.raises(Trouble, match="neither Maven nor a container engine") as found:
        kafka.Broker(place).fetch()
    assert "apt-get install maven" in found.value.remedy
    assert "KAFKA_BOOTSTRAP_SERVERS" in found.value.remedy


def test_secrets_are_random_stay_the_same_and_are_their_owners_alone(place: Place) -> None:
    first = credentials.every(place.secrets)

    assert credentials.every(place.secrets) == first
    assert len(set(first.values())) == len(first)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in place.secrets.iterdir()}
    assert modes == {0o600}


def test_an_api_key_has_the_form_that_the_writer_takes() -> None:
    prefix, live, name, secret = credentials.api_key().split("_", 3)

    assert (prefix, live, len(name), len(secret)) == ("rsw", "live", 8, 43)


def test_a_folder_that_others_cannot_reach_is_seen(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    assert not unprivileged.reachable(closed / "data")
    assert unprivileged.reachable(Path("/usr/bin"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its rights up")
def test_data_of_a_closed_folder_goes_where_the_servers_can_reach_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    folder = unprivileged.folder_for(closed, "postgres")

    assert unprivileged.reachable(folder)
    assert folder == unprivileged.folder_for(closed, "postgres")
