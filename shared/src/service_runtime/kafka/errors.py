"""Errors of Kafka, classified by what the caller should do."""

from typing import TYPE_CHECKING, Final

from aiokafka import errors as driver_errors

if TYPE_CHECKING:

    class KafkaError(Exception):
        """Base of the driver's errors; `retriable` is True if the driver would retry."""

        retriable: bool

    class CommitFailedError(KafkaError):
        """Rebalance of the group: these partitions belong to another consumer now."""

else:
    KafkaError = driver_errors.KafkaError
    CommitFailedError = driver_errors.CommitFailedError

_TOO_LARGE: Final[tuple[type[BaseException], ...]] = (
    driver_errors.MessageSizeTooLargeError,
    driver_errors.RecordListTooLargeError,
    driver_errors.RecordTooLargeError,
)


def is_too_large(error: BaseException | None) -> bool:
    """Return whether Kafka rejects the record permanently, because it exceeds the topic's limit."""
    return isinstance(error, _TOO_LARGE)


def is_infrastructure(error: BaseException) -> bool:
    """Return whether the error means that Kafka is unavailable or busy: retry."""
    return isinstance(error, (driver_errors.KafkaError, OSError, TimeoutError))
