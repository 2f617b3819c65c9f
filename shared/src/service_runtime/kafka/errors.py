"""What can go wrong with Kafka, in the words that callers decide by."""

from typing import TYPE_CHECKING, Final

from aiokafka import errors as driver_errors

if TYPE_CHECKING:

    class KafkaError(Exception):
        """Anything the driver raises; `retriable` says whether the driver would try again."""

        retriable: bool

    class CommitFailedError(KafkaError):
        """The group has moved on: these partitions belong to somebody else now."""

else:
    KafkaError = driver_errors.KafkaError
    CommitFailedError = driver_errors.CommitFailedError

_TOO_LARGE: Final[tuple[type[BaseException], ...]] = (
    driver_errors.MessageSizeTooLargeError,
    driver_errors.RecordListTooLargeError,
    driver_errors.RecordTooLargeError,
)


def is_too_large(error: BaseException | None) -> bool:
    """Say whether Kafka will never take this, because it is larger than the topic allows."""
    return isinstance(error, _TOO_LARGE)


def is_infrastructure(error: BaseException) -> bool:
    """Say whether `error` is Kafka being away or busy, so that trying again is the answer."""
    return isinstance(error, (driver_errors.KafkaError, OSError, TimeoutError))
