"""Metadata request, version 12, for one topic; the driver has older versions only.

The response carries the topic's id. Only the id reveals that a topic was deleted and recreated,
because its new offsets may have passed the old ones by the time of a check.
This request never creates the topic; the driver's own request does where brokers allow it.
"""

import uuid
from typing import Any, ClassVar, NamedTuple

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_API_KEY = 3
_API_VERSION = 12
#: The driver has no type for a UUID: it is read and written as two halves of 64 bits.
_TOPIC_ID = (("id_high", Int64), ("id_low", Int64))


class _Response(Response):  # type: ignore[misc] # the driver is untyped
    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                *_TOPIC_ID,
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Request(RequestStruct):  # type: ignore[misc] # the driver is untyped
    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(*_TOPIC_ID, ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicMetadataRequest(Request[_Request]):  # type: ignore[misc] # the driver is untyped
    """Request for one topic's metadata; it never creates the topic."""

    API_KEY: ClassVar[int] = _API_KEY

    def __init__(self, name: str) -> None:
        self._name = name

    def build(self, request_struct_class: type[_Request]) -> Any:
        """Return the request as the driver's struct of the wire format."""
        wanted: list[Any] = [(0, 0, self._name, {})]
        return request_struct_class(wanted, False, False, {})


class TopicMetadata(NamedTuple):
    """Topic id (UUID text), number of partitions, smallest number of replicas of a partition."""

    id: str
    partitions: int
    replication: int


def topic_metadata(response: Any) -> TopicMetadata | None:
    """Return the metadata of the response's one topic; None if it does not exist."""
    (topic,) = response.topics
    code, _, high, low, _, partitions = topic[:6]
    if code != 0 or not partitions:
        return None
    half = [int(part).to_bytes(8, "big", signed=True) for part in (high, low)]
    replicas = min(len(partition[4]) for partition in partitions)
    return TopicMetadata(str(uuid.UUID(bytes=b"".join(half))), len(partitions), replicas)
