"""Invalid settings: all are named before any resource is opened."""

import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings

GOOD = {
    "ops_port": 9106,
    "gateway_database_url": "postgresql://gateway:x@db/rswind",
    "query_url": "http://query:8082",
    "writer_url": "http://writer:8081",
    "identity_keys_query": "k1:" + "q" * 32,
    "identity_keys_writer": "k1:" + "w" * 32,
    "gateway_allowed_hosts": "portal.test, .fleet.test ,",
    "gateway_trusted_proxies": "10.0.0.0/8,::1",
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


def test_lists_are_written_with_commas() -> None:
    settings = GatewaySettings.model_validate(GOOD)

    assert settings.allowed_hosts == ["portal.test", ".fleet.test"]
    assert settings.trusted_proxies == ["10.0.0.0/8", "::1"]
    assert settings.gateway_cookie_secure


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gateway_database_url", "mysql://x"),
        ("query_url", "query:8082"),
        ("query_url", "http://query/path"),
        ("writer_url", "https://user@writer"),
        ("identity_keys_query", "short"),
        ("identity_keys_writer", "k1:short"),
        ("gateway_trusted_proxies", "everybody"),
        ("gateway_session_idle_seconds", "0"),
        ("limits_redis_url", "memcached://x"),
        ("gateway_port", "70000"),
        ("identity_keys_writer", GOOD["identity_keys_query"]),
    ],
)
def test_a_bad_setting_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate({**GOOD, name: value})
