"""The settings of the gateway, read at start. `.env.example` explains them for operators."""

import ipaddress
from typing import Self

from pydantic import Field, field_validator, model_validator

from portal_access.token import QUERY, WRITER, TokenSigner
from service_runtime.settings import AdminSettings, HttpSettings


class CommandSettings(AdminSettings):
    """The settings of the command line."""

    gateway_database_url: str = Field(pattern=r"^postgres(ql)?://")


class GatewaySettings(HttpSettings):
    """The settings of the process; lists are written with commas."""

    gateway_database_url: str = Field(pattern=r"^postgres(ql)?://")
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8080, ge=0, le=65_535)
    listen_fd: int | None = Field(default=None, ge=0)
    limits_redis_url: str | None = Field(default=None, pattern=r"^rediss?://")
    query_url: str = Field(pattern=r"^http://[^/?#@]+/?$")
    writer_url: str = Field(pattern=r"^http://[^/?#@]+/?$")
    identity_keys_query: str
    identity_keys_writer: str
    gateway_allowed_hosts: str = Field(min_length=1)
    gateway_cookie_secure: bool = True
    gateway_trusted_proxies: str = ""
    gateway_session_idle_seconds: int = Field(default=7_200, ge=2, le=1_209_600)
    gateway_session_max_seconds: int = Field(default=86_400, ge=2, le=1_209_600)
    gateway_sessions_per_user: int = Field(default=100, ge=1, le=10_000)
    #: Attempts to sign in from one address in a minute, successful ones included.
    gateway_login_rate: int = Field(default=300, ge=1)
    #: Requests in a minute; 0 means no limit.
    gateway_session_rate: int = Field(default=0, ge=0)
    gateway_customer_rate: int = Field(default=0, ge=0)
    gateway_audit_days: int = Field(default=400, ge=30, le=3_650)

    @property
    def allowed_hosts(self) -> list[str]:
        """The host names of the portal, without ports."""
        return _parts(self.gateway_allowed_hosts)

    @property
    def trusted_proxies(self) -> list[str]:
        """The addresses whose `X-Forwarded-For` is trusted."""
        return _parts(self.gateway_trusted_proxies)

    @field_validator("gateway_trusted_proxies")
    @classmethod
    def _addresses(cls, text: str) -> str:
        for part in _parts(text):
            ipaddress.ip_network(part, strict=False)
        return text

    @field_validator("identity_keys_query")
    @classmethod
    def _keys_of_query(cls, text: str) -> str:
        TokenSigner(text, QUERY)
        return text

    @field_validator("identity_keys_writer")
    @classmethod
    def _keys_of_writer(cls, text: str) -> str:
        TokenSigner(text, WRITER)
        return text

    @model_validator(mode="after")
    def _different_keys(self) -> Self:
        if self.identity_keys_query == self.identity_keys_writer:
            raise ValueError(
                "identity_keys_query and identity_keys_writer are the same: a service that is "
                "broken into could then speak for customers to the other"
            )
        return self


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
