"""Settings come from the environment, once, at start; a bad one stops the process by name.

Every variable may also be given as NAME_FILE, the path of a file that holds the value: secrets
stay out of the environment that way. Only `main.py` and `admin.py` modules call `load`.
"""

import os
import sys
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

#: sysexits.h EX_CONFIG: a supervisor sees that restarting will not help.
EXIT_CONFIG = 78

_MAX_FILE_BYTES = 65_536


class _FileSource(PydanticBaseSettingsSource):
    """Reads NAME_FILE for a setting called NAME; a file that cannot be read is a bad setting."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the interface's
        path = os.environ.get(f"{field_name.upper()}_FILE")  # noqa: TID251 - this is the door
        if path is None:
            return None, field_name, False
        with Path(path).open(encoding="utf-8") as file:
            return file.read(_MAX_FILE_BYTES).rstrip("\r\n"), field_name, False

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                values[name] = value
        return values


class AdminSettings(BaseSettings):
    """What a command line needs as well: where its messages go."""

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
        """Take the environment first, then files named by it."""
        return init_settings, env_settings, _FileSource(settings_cls)


class ServiceSettings(AdminSettings):
    """What every long-running process needs: the port of its operators' endpoints."""

    ops_host: str = "127.0.0.1"
    ops_port: int = Field(ge=0, le=65_535)


SettingsT = TypeVar("SettingsT", bound=AdminSettings)


def load(settings_class: type[SettingsT]) -> SettingsT:
    """Return the settings of the environment.

    When some are missing or unusable it prints all of them, one a line and without their values,
    and ends the process with status 78.
    """
    try:
        return settings_class()
    except ValidationError as error:
        problems = [
            f"  {str(fault['loc'][0]).upper() if fault['loc'] else 'settings'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
    except OSError as error:
        problems = [f"  a file named by a ..._FILE setting cannot be read: {error}"]
    lines = "\n".join(["These settings are missing or cannot be used:", *problems])
    sys.stderr.write(f"{lines}\nEvery setting is explained in .env.example.\n")
    raise SystemExit(EXIT_CONFIG)
