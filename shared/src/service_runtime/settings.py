"""Settings of a process, read once at start from the environment; a bad one stops the process.

Each variable may also be given as NAME_FILE, the path of a file with the value: this keeps secrets
out of the environment. Only `main.py` and `admin.py` modules call `load`.
"""

import ipaddress
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from service_runtime.http_limits import HttpLimits

#: sysexits.h EX_CONFIG: shows a supervisor that a restart will not help.
EXIT_CONFIG = 78

_MAX_FILE_BYTES = 65_536


class _FileSource(PydanticBaseSettingsSource):
    """Source that reads NAME_FILE for a setting NAME; `load` reports unreadable files."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the interface's
        """Return the text of the file, None if none is named or it cannot be read."""
        path = _file_named_for(field_name)
        if path is None:
            return None, field_name, False
        try:
            return _read(path), field_name, False
        except (OSError, ValueError):
            return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                values[name] = value
        return values


def _file_named_for(field_name: str) -> str | None:
    return os.environ.get(f"{field_name.upper()}_FILE") or None  # noqa: TID251 - this is the door


def _read(path: str) -> str:
    """Return the text of a file without line ends; raises OSError, ValueError if not UTF-8."""
    with Path(path).open(encoding="utf-8") as file:
        return file.read(_MAX_FILE_BYTES).rstrip("\r\n")


def _unreadable_files(settings_class: type[BaseSettings]) -> dict[str, str]:
    """Return the faults of files that are named for settings, as setting -> sentence."""
    problems = {}
    for name in settings_class.model_fields:
        path = _file_named_for(name)
        if path is None:
            continue
        try:
            _read(path)
        except OSError as error:
            problems[name.upper()] = f"its file cannot be read: {error}"
        except ValueError:
            problems[name.upper()] = f"its file is not UTF-8 text: {path!r}"
    return problems


class AdminSettings(BaseSettings):
    """Settings of a command line as well: the destination of its messages."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - we read no .env
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - nor a folder of secrets
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in order: arguments, the environment, the files that it names."""
        return init_settings, env_settings, _FileSource(settings_cls)


class ServiceSettings(AdminSettings):
    """Settings of every long-running process: the port of its operators' endpoints."""

    ops_host: str = "127.0.0.1"
    ops_port: int = Field(ge=0, le=65_535)


class HttpSettings(ServiceSettings):
    """Settings of a process with an HTTP server: how many connections it takes."""

    http_max_connections: int = Field(default=4_096, ge=1, le=1_000_000)
    #: Of one IPv4 address or one IPv6 network of 64 bits.
    http_max_connections_per_address: int = Field(default=512, ge=1, le=1_000_000)

    def http_limits(self, trusted: Iterable[str] = ()) -> HttpLimits:
        """Return the limits of the server; `trusted` addresses or networks are exempt from theirs."""
        return HttpLimits(
            max_connections=self.http_max_connections,
            max_connections_per_address=self.http_max_connections_per_address,
            trusted=tuple(ipaddress.ip_network(text, strict=False) for text in trusted),
        )


SettingsT = TypeVar("SettingsT", bound=AdminSettings)


def load(settings_class: type[SettingsT]) -> SettingsT:
    """Return the settings of the environment.

    If settings are missing or invalid, it prints all of them to stderr, one a line and without
    their values, and raises SystemExit with status 78.
    """
    problems = _unreadable_files(settings_class)
    try:
        settings = settings_class()
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
            problems.setdefault(name, fault["msg"])
    except SettingsError as error:
        problems["settings"] = str(error)
    else:
        if not problems:
            return settings
    named = [f"  {name}: {problem}" for name, problem in problems.items()]
    lines = "\n".join(["These settings are missing or cannot be used:", *named])
    sys.stderr.write(f"{lines}\nEvery setting is explained in .env.example.\n")
    raise SystemExit(EXIT_CONFIG)
