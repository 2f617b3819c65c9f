"""Log settings: thousands of simulated cases would log millions of lines."""

import logging

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    monkeypatch.setattr("structlog._config._CONFIG.default_wrapper_class", quiet)
