"""The driver's connection, taught that uvloop has words of its own for a connection that was reset.

uvloop refuses to write to what has just been closed with a RuntimeError. The driver expects an
OSError there: its tasks that fetch, send and beat would end without a word, and a consumer whose
fetching has ended keeps its partitions and reads nothing, for ever.
"""

from typing import Any

from aiokafka import conn as driver
from aiokafka.errors import KafkaConnectionError, KafkaError


class Connection(driver.AIOKafkaConnection):  # type: ignore[misc]  # the driver has no types
    """A connection on which a write to what is closed is a lost connection."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; KafkaConnectionError when the connection is lost."""
        try:
            return super().send(request, expect_response)
        except KafkaError:  # a RuntimeError too
            raise
        except RuntimeError as error:
            self.close(reason=driver.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"{self.host}:{self.port}: {error}") from error


def install() -> None:
    """Have the driver make its connections so; it offers no other way."""
    driver.AIOKafkaConnection = Connection
