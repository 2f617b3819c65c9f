from pathlib import Path

import pytest

from service_runtime.failpoints import FailpointError, choose


def test_without_a_folder_nothing_happens() -> None:
    choose(None)("relay.before_mark")


def test_a_point_that_is_not_armed_is_passed(tmp_path: Path) -> None:
    choose(str(tmp_path))("relay.before_mark")


def test_an_armed_point_fires_once_and_leaves_its_trace(tmp_path: Path) -> None:
    (tmp_path / "relay.before_mark").write_text("raise")
    fp = choose(str(tmp_path))

    with pytest.raises(FailpointError, match=r"relay\.before_mark"):
        fp("relay.before_mark")

    fp("relay.before_mark")
    assert [path.name.rpartition(".fired.")[0] for path in tmp_path.iterdir()] == [
        "relay.before_mark"
    ]


def test_a_point_may_sleep(tmp_path: Path) -> None:
    (tmp_path / "projector.before_redis").write_text("sleep 0.001")
    choose(str(tmp_path))("projector.before_redis")
    assert not (tmp_path / "projector.before_redis").exists()
