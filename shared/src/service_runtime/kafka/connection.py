"""The driver's connection, with handling of uvloop's error for a reset connection.

On a write to a closed connection uvloop raises RuntimeError, where the driver expects OSError.
Without this module the driver's tasks (fetch, send, heartbeat) would end silently. A consumer
whose fetch task has ended keeps its partitions and reads nothing, without limit.
"""

from typing import Any

from aiokafka import conn as driver
from aiokafka.errors import KafkaConnectionError, KafkaError


class Connection(driver.AIOKafkaConnection):  # type: ignore[misc]  # the driver has no types
    """Connection that reports a write after its close as a lost connection."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; raises KafkaConnectionError when the connection is lost."""
        try:
            return super().send(request, expect_response)
        except KafkaError:  # a RuntimeError too
            raise
        except RuntimeError as error:
            self.close(reason=driver.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"{self.host}:{self.port}: {error}") from error


def install() -> None:
    """Replace the driver's connection class; it offers no setting for it."""
    driver.AIOKafkaConnection = Connection
