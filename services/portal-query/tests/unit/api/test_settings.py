import pytest
from pydantic import ValidationError

from portal_query.api.settings import Settings

GOOD = {
    "OPS_PORT": "9105",
    "QUERY_DATABASE_URL": "postgresql://query:x@127.0.0.1/rswind",
    "REDIS_URL": "redis://127.0.0.1/0",
    "IDENTITY_KEYS_QUERY": "one:" + "k" * 40,
    "PORTAL_TIME_ZONE": "America/Chicago",
    "QUERY_PORT": "8082",
}


def test_what_is_missing_is_named_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert {str(fault["loc"][0]).upper() for fault in refused.value.errors()} == set(GOOD)


def test_a_socket_that_was_handed_over_needs_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("QUERY_PORT")
    monkeypatch.setenv("LISTEN_FD", "7")
    assert Settings().listen_fd == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORTAL_TIME_ZONE", "Chicago"), ("QUERY_PORT", "70000"), ("QUERY_POOL_SIZE", "1")],
)
def test_what_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for good, text in GOOD.items():
        monkeypatch.setenv(good, text)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert [str(fault["loc"][0]).upper() for fault in refused.value.errors()] == [name]
