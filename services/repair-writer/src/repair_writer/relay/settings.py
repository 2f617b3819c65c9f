"""The relay's settings."""

from pydantic import Field

from repair_events.topic import TOPIC
from service_runtime.settings import ServiceSettings


class RelaySettings(ServiceSettings):
    """What the relay reads from the environment."""

    writer_database_url: str = Field(min_length=1)
    kafka_bootstrap_servers: str = Field(min_length=1)
    kafka_topic: str = Field(default=TOPIC, min_length=1)
