"""Contract for other languages: JSON Schema of an event, AsyncAPI 3 document of the topic.

`python -m repair_events.schema FOLDER` generates both from the code.
Consumers must ignore what they do not know: the schema allows further fields, facts and statuses.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from repair_events.event import FACTS, PROFILE_CHANGED, Event, event_type
from repair_events.status import STATUSES
from repair_events.topic import MAX_EVENT_BYTES, PARTITIONS, RETENTION_DAYS, TOPIC
from repair_events.unit import MAX_UNIT_LENGTH

Json = dict[str, Any]

_ID: Final[Json] = {"format": "uuid"}
_MOMENT: Final[Json] = {"format": "date-time"}
_CUSTOMER_ID: Final[Json] = {
    "minimum": 1,
    "maximum": 2**63 - 1,
    "description": "The company's own number of the customer; also the record key.",
}

#: Constraints that the types alone do not express, by class and field.
_SAYS: Final[dict[str, dict[str, Json]]] = {
    "Event": {
        "id": _ID | {"description": "UUIDv7; names this change for ever."},
        "source": {"description": "The publishing system.", "minLength": 1},
        "type": {
            "pattern": r"^com\.rswindrepair\.(repair|customer)\.[a-z][a-z-]*\.v1$",
            "examples": [event_type(fact) for fact in FACTS],
        },
        "subject": {"description": "The repair's id, or the customer's number for a profile."},
        "time": _MOMENT | {"description": "When it was accepted, by the writer's database."},
        "specversion": {"const": "1.0"},
        "datacontenttype": {"const": "application/json"},
        "traceparent": {"description": "W3C trace context, where there is one."},
    },
    "EventData": {
        "customer_id": _CUSTOMER_ID,
        "revision": {
            "minimum": 1,
            "description": "1, 2, 3, ... without a gap within a customer. Apply n+1 after n; "
            "drop what is not above n; for a gap or another `previous` read the writer's list.",
        },
        "previous": {"description": "The id of event `revision - 1`; null for revision 1 only."},
        "occurred_at": _MOMENT | {"description": "Time of the change, from the publisher."},
        "actor": {"description": "internal:<client> or customer:<user>."},
        "reason": {"description": "Reason of the change, if one was given."},
        "repair": {"description": "The whole repair after the change; null for a profile."},
        "customer": {"description": "The whole profile after the change; null for a repair."},
    },
    "Repair": {
        "repair_id": _ID,
        "customer_id": _CUSTOMER_ID,
        "unit_number": {"minLength": 1, "maxLength": MAX_UNIT_LENGTH},
        "repair_date": _MOMENT,
        "status": {
            "description": "An open list: do not refuse a word that you do not know.",
            "examples": list(STATUSES),
        },
        "cost": {"pattern": r"^[0-9]{1,10}\.[0-9]{2}$", "description": "Decimal, two places."},
        "requested_by": {"examples": ["customer", "internal"]},
        "batch_id": {"description": "Breaks of one visit share it (UUID)."},
        "source_ref": {"description": "The publishing system's own id; unique with `source`."},
        "removed": {"description": "A removed repair counts nowhere; it may be restored."},
    },
    "Customer": {"customer_id": _CUSTOMER_ID, "name": {"minLength": 1}},
}

#: The only optional field of our own events; all others are written, null or not.
_MAY_LACK: Final = frozenset({"traceparent"})

_TITLE: Final = "Repair events"
_DESCRIPTION: Final = (
    "What happened to the repairs of each customer, as a numbered list per customer. "
    "CloudEvents 1.0 in structured JSON mode. Delivery, not archive: the writer keeps the list."
)


def _schemas(ref_template: str) -> dict[str, Json]:
    """Return the schemas of the four classes, with references in the form of `ref_template`."""
    (_,), schemas = msgspec.json.schema_components([Event], ref_template=ref_template)
    for name, schema in schemas.items():
        fields: dict[str, Json] = schema["properties"]
        for field, says in _SAYS[name].items():
            fields[field] = _described(fields[field], says)
        schema["required"] = [field for field in fields if field not in _MAY_LACK]
        schema["description"] = schema["description"].split("\n")[0]
    schemas["EventData"]["allOf"] = [
        {
            "if": {"properties": {"revision": {"const": 1}}},
            "then": {"properties": {"previous": {"type": "null"}}},
            "else": {"properties": {"previous": {"type": "string", **_ID}}},
        },
        {
            "if": {"properties": {"repair": {"type": "null"}}},
            "then": {"properties": {"customer": {"type": "object"}}},
            "else": {"properties": {"customer": {"type": "null"}}},
        },
    ]
    return dict(schemas)


def _described(schema: Json, says: Json) -> Json:
    """Return a field's schema with its additions and without the code's defaults."""
    return {key: value for key, value in schema.items() if key != "default"} | says


def json_schema() -> Json:
    """Return the JSON Schema (2020-12) of one event."""
    definitions = _schemas("#/$defs/{name}")
    event = definitions.pop("Event")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://rswindrepair.example/contracts/repair-events.schema.json",
        **event,
        "title": "Repair event, version 1",
        "description": _DESCRIPTION,
        "$defs": definitions,
    }


def _message_name(fact: str) -> str:
    """Return `statusChanged` for `status-changed`."""
    first, *others = fact.split("-")
    return first + "".join(word.capitalize() for word in others)


def _message(fact: str) -> Json:
    """Return the message of one fact: any event with that type."""
    return {
        "name": event_type(fact),
        "title": fact.replace("-", " ").capitalize(),
        "contentType": "application/cloudevents+json",
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/Event"},
                {"properties": {"type": {"const": event_type(fact)}}},
            ]
        },
        "bindings": {
            "kafka": {
                "key": {
                    "type": "string",
                    "pattern": "^[1-9][0-9]*$",
                    "description": "The customer's number in decimal digits.",
                },
                "bindingVersion": "0.5.0",
            }
        },
        "tags": [{"name": "customer" if fact == PROFILE_CHANGED else "repair"}],
    }


def _channel(names: list[str]) -> Json:
    return {
        "address": TOPIC,
        "title": _TITLE,
        "description": "Ordered within a customer. A record may come twice: drop it by revision.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": TOPIC,
                "partitions": PARTITIONS,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": RETENTION_DAYS * 86_400_000,
                    "max.message.bytes": max(1_048_588, MAX_EVENT_BYTES),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def asyncapi() -> Json:
    """Return the AsyncAPI 3 document of the topic."""
    names = [_message_name(fact) for fact in FACTS]
    references = [{"$ref": f"#/channels/repairEvents/messages/{name}"} for name in names]
    return {
        "asyncapi": "3.0.0",
        "id": "https://rswindrepair.example/contracts/asyncapi.json",
        "info": {
            "title": _TITLE,
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {"repairEvents": _channel(names)},
        "operations": {
            "sendRepairEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/repairEvents"},
                "summary": "The relay of repair-writer puts every accepted change on the topic.",
                "messages": references,
            }
        },
        "components": {
            "messages": {name: _message(fact) for name, fact in zip(names, FACTS, strict=True)},
            "schemas": _schemas("#/components/schemas/{name}"),
        },
    }


def documents() -> dict[str, str]:
    """Return both documents as the text of their files, by file name."""
    both = {"repair-events.schema.json": json_schema(), "asyncapi.json": asyncapi()}
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in both.items()
    }


def main(folder: str) -> None:
    """Write both documents into `folder`."""
    for name, text in documents().items():
        Path(folder, name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
