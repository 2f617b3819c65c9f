"""Settings of the query API, from its environment."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from repair_events.month import time_zone
from service_runtime.settings import HttpSettings


class Settings(HttpSettings):
    """`query_port`, or an inherited `listen_fd`, names the port to listen on."""

    query_database_url: SecretStr
    redis_url: SecretStr
    identity_keys_query: SecretStr
    portal_time_zone: str
    query_host: str = "127.0.0.1"
    listen_fd: int | None = Field(default=None, ge=0)
    query_port: int | None = Field(default=None, ge=0, le=65_535, validate_default=True)
    query_pool_size: int = Field(default=8, ge=4, le=100)
    #: Only the gateways connect, with one connection a stream.
    http_max_connections_per_address: int = Field(default=2_048, ge=1, le=1_000_000)
    query_max_streams: int = Field(default=1_000, ge=1, le=100_000)

    @field_validator("portal_time_zone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        time_zone(name)
        return name

    @field_validator("query_port")
    @classmethod
    def _listens_somewhere(cls, port: int | None, info: ValidationInfo) -> int | None:
        # A validator of the field, so that all missing values are reported together.
        if port is None and info.data.get("listen_fd") is None:
            raise ValueError("set QUERY_PORT or LISTEN_FD")
        return port
