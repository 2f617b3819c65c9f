"""The documents under docs/contracts equal the generated ones, and the golden events match them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing.jsonschema import DRAFT202012

from repair_events.event import FACTS, event_type
from repair_events.schema import asyncapi, documents, json_schema, main
from repair_events.topic import PARTITIONS, TOPIC

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_bytes())


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


@pytest.mark.parametrize("name", documents())
def test_a_committed_document_is_what_the_code_says(name: str) -> None:
    committed = (ROOT / "docs/contracts" / name).read_text(encoding="utf-8")
    assert committed == documents()[name], (
        "write them anew with `python -m repair_events.schema docs/contracts`"
    )


def test_the_documents_are_written_by_the_command(tmp_path: Path) -> None:
    main(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == set(documents())


def test_the_json_schema_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert DRAFT202012.id_of(json_schema()) == (
        "https://rswindrepair.example/contracts/repair-events.schema.json"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_event_obeys_the_json_schema(name: str) -> None:
    validator(json_schema()).validate(golden(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_event_obeys_the_message_of_its_fact_in_the_asyncapi_document(name: str) -> None:
    document, event = asyncapi(), golden(name)
    payloads = {
        message["name"]: message["payload"]
        for message in document["components"]["messages"].values()
    }
    payload = payloads.get(event["type"], {"$ref": "#/components/schemas/Event"})
    validator({**document, **payload}).validate(event)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("specversion",), "0.3"),
        (("type",), "com.rswindrepair.repair.recorded.v2"),
        (("type",), "org.example.repair.recorded.v1"),
        (("id",), 7),
        (("data", "customer_id"), 0),
        (("data", "customer_id"), "1042"),
        (("data", "revision"), 0),
        (("data", "revision"), 1),
        (("data", "previous"), None),
        (("data", "repair"), None),
        (("data", "customer"), {"customer_id": 1042}),
        (("data", "repair", "cost"), "12.5"),
        (("data", "repair", "cost"), 12.5),
        (("data", "repair", "cost"), "-1.00"),
        (("data", "repair", "unit_number"), ""),
        (("data", "repair", "removed"), "no"),
        (("data", "repair", "status"), None),
    ],
)
def test_an_event_with_one_wrong_value_does_not_obey(path: tuple[str, ...], value: object) -> None:
    event = golden("recorded")
    place = event
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not validator(json_schema()).is_valid(event)


@pytest.mark.parametrize("part", ["event", "data", "repair"])
def test_an_event_that_lacks_a_field_does_not_obey(part: str) -> None:
    event = golden("recorded")
    places = {"event": event, "data": event["data"], "repair": event["data"]["repair"]}
    for field in list(places[part]):
        value = places[part].pop(field)
        assert not validator(json_schema()).is_valid(event), field
        places[part][field] = value


def test_what_version_1_requires_never_grows() -> None:
    schema = json_schema()
    required = {name: set(part["required"]) for name, part in schema["$defs"].items()}
    required["Event"] = set(schema["required"])
    assert required == {
        "Event": set(golden("recorded")),
        "EventData": set(golden("recorded")["data"]),
        "Repair": set(golden("recorded")["data"]["repair"]),
        "Customer": set(golden("profile-changed")["data"]["customer"]),
    }


def test_the_asyncapi_document_names_the_topic_and_every_fact() -> None:
    document = asyncapi()
    channel = document["channels"]["repairEvents"]
    assert channel["address"] == TOPIC
    assert channel["bindings"]["kafka"]["partitions"] == PARTITIONS
    named = {message["name"] for message in document["components"]["messages"].values()}
    assert named == {event_type(fact) for fact in FACTS}


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()
    references: list[str] = []

    def collect(part: object) -> None:
        if isinstance(part, dict):
            references.extend(value for key, value in part.items() if key == "$ref")
            for value in part.values():
                collect(value)
        elif isinstance(part, list):
            for value in part:
                collect(value)

    collect(document)
    assert references
    for reference in references:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
            while "$ref" in place and len(place) == 1:
                place = document["components"]["messages"][place["$ref"].rsplit("/", 1)[1]]
