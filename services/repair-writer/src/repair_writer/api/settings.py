"""The settings of the writer's API and of its commands."""

import ipaddress
from typing import Self

from pydantic import Field, field_validator, model_validator

from portal_access.token import WRITER, TokenVerifier
from service_runtime.settings import AdminSettings, HttpSettings


class Settings(HttpSettings):
    """The settings of the API. `writer_port` or an inherited `listen_fd` is required."""

    writer_database_url: str = Field(min_length=1)
    writer_host: str = "127.0.0.1"
    writer_port: int | None = Field(default=None, ge=0, le=65_535)
    listen_fd: int | None = Field(default=None, ge=0)
    identity_keys_writer: str
    writer_pool_size: int = Field(default=12, ge=2, le=100)
    writer_imports_at_once: int = Field(default=2, ge=1, le=20)
    writer_imports_open: int = Field(default=16, ge=1, le=1_000)
    writer_import_max_bytes: int = Field(default=4 * 1024**3, ge=1)
    writer_import_spool_bytes: int = Field(default=2 * 1024**3, ge=1024**2)

    writer_trusted_proxies: str = ""

    @property
    def trusted_proxies(self) -> list[str]:
        """Return the addresses and networks whose X-Forwarded-For is trusted."""
        return [name for one in self.writer_trusted_proxies.split(",") if (name := one.strip())]

    @field_validator("writer_trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        for part in text.split(","):
            if part.strip():
                ipaddress.ip_network(part.strip())
        return text

    @field_validator("identity_keys_writer")
    @classmethod
    def _keys_can_be_read(cls, text: str) -> str:
        TokenVerifier(text, WRITER)
        return text

    @model_validator(mode="after")
    def _listens_somewhere(self) -> Self:
        if self.writer_port is None and self.listen_fd is None:
            raise ValueError("give WRITER_PORT, or LISTEN_FD for an inherited socket")
        return self


class AdminCommandSettings(AdminSettings):
    """The settings of the writer's commands."""

    writer_database_url: str = Field(min_length=1)
    #: Set by sudo. The audit log names this user instead of root.
    sudo_user: str = ""
