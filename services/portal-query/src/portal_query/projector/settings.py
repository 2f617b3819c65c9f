"""The projector's settings."""

from pydantic import Field, SecretStr, field_validator

from repair_events.month import time_zone
from repair_events.topic import TOPIC
from service_runtime.settings import AdminSettings, ServiceSettings


class ReadModelSettings(AdminSettings):
    """Settings of the commands that reach the read model."""

    portal_database_url: SecretStr


class RefoldSettings(ReadModelSettings):
    """Settings of a rebuild."""

    redis_url: SecretStr
    writer_url: str = Field(pattern=r"^https?://")
    writer_history_key: SecretStr = Field(min_length=16)
    portal_time_zone: str

    @field_validator("portal_time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        time_zone(name)
        return name


class ProjectorSettings(RefoldSettings, ServiceSettings):
    """Settings of the projector process."""

    kafka_bootstrap_servers: str = Field(min_length=1)
    kafka_topic: str = TOPIC
    projector_group: str = "projector"
    projector_refolds: int = Field(default=2, ge=1, le=32)
    projector_heads_seconds: float = Field(default=60.0, gt=0)
    projector_sweep_page_seconds: float = Field(default=10.0, gt=0)
    projector_selfcheck_seconds: float = Field(default=60.0, gt=0)
    projector_selfcheck_customers: int = Field(default=1_000, ge=2, le=100_000)
