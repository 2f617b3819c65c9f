"""The lines and the measure of the access log."""

import io
import json

import pytest

from service_runtime.access_log import AccessLog
from service_runtime.metrics import REGISTRY
from service_runtime.testing import ManualClock


def written(status: int = 200, *, level: str = "info", log_format: str = "json") -> str:
    out = io.StringIO()
    log = AccessLog(ManualClock(), service="a", level=level, log_format=log_format, out=out)
    log.note(
        method="GET", route="/x", status=status, seconds=0.01234,
        request_id="0123456789", peer="192.0.2.1", user_id=None,
    )  # fmt: skip
    log.flush()
    log.flush()
    return out.getvalue()


async def test_a_line_has_the_fields_that_are_known_and_is_written_once() -> None:
    line = json.loads(written())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "service": "a", "level": "info", "message": "request", "request_id": "0123456789",
        "method": "GET", "route": "/x", "status": 200, "ms": 12.3, "peer": "192.0.2.1",
    }  # fmt: skip


async def test_a_line_for_a_person_has_the_same_fields() -> None:
    line = written(503, log_format="console")
    assert "[warning] request" in line
    assert "status=503" in line
    assert "user_id" not in line


@pytest.mark.parametrize(("status", "lines"), [(200, 0), (503, 1)])
async def test_at_level_warning_only_failures_are_logged_and_all_are_measured(
    status: int, lines: int
) -> None:
    labels = {
        "http_request_method": "GET",
        "http_route": "/x",
        "http_response_status_code": str(status),
    }
    name = "http_server_request_duration_seconds_count"
    before = REGISTRY.get_sample_value(name, labels) or 0
    assert written(status, level="warning").count("\n") == lines
    assert REGISTRY.get_sample_value(name, labels) == before + 1
