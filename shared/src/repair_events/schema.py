"""The contract for other languages: JSON Schema of an event, AsyncAPI 3 document of the topic.

Both are generated from the code; `python -m repair_events.schema FOLDER` writes them.
"""

from typing import Any

import msgspec

from repair_events.event import FACTS, Event, event_type
from repair_events.topic import PARTITIONS, RETENTION_DAYS, TOPIC


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one event."""
    schema = msgspec.json.schema(Event)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document of the topic."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Repair events", "version": "1.0.0"},
        "channels": {
            "repairEvents": {
                "address": TOPIC,
                "messages": {"repairEvent": {"$ref": "#/components/messages/repairEvent"}},
                "bindings": {
                    "kafka": {
                        "partitions": PARTITIONS,
                        "topicConfiguration": {"retention.ms": RETENTION_DAYS * 86_400_000},
                    }
                },
            }
        },
        "operations": {
            "sendRepairEvent": {
                "action": "send",
                "channel": {"$ref": "#/channels/repairEvents"},
            }
        },
        "components": {
            "messages": {
                "repairEvent": {
                    "contentType": "application/cloudevents+json",
                    "summary": "One of: " + ", ".join(event_type(fact) for fact in FACTS),
                    "payload": {"schemaFormat": "application/schema+json", "schema": json_schema()},
                }
            }
        },
    }
