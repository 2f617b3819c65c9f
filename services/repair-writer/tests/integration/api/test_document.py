"""The served OpenAPI document covers each route and rejection, and the API keeps to it."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from repair_writer.api.app import openapi_document
from repair_writer.api.problems import PROBLEMS


@pytest.fixture
def document() -> Any:
    return json.loads(json.dumps(openapi_document()))


async def test_the_api_serves_the_document_of_the_command_line(writer: Any, document: Any) -> None:
    served = (await writer.call("GET", "/openapi.json")).json
    assert served == document


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": said
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    }


def test_every_route_is_there_with_an_example_of_each_answer(document: Any) -> None:
    found = operations(document)
    assert set(found) == {
        "POST /v1/repairs", "GET /v1/repairs", "GET /v1/repairs/{repair_id}",
        "PATCH /v1/repairs/{repair_id}", "DELETE /v1/repairs/{repair_id}",
        "POST /v1/repairs/{repair_id}/status", "POST /v1/repairs/{repair_id}/restore",
        "POST /v1/repairs/import", "PUT /v1/customers/{customer_id}",
        "GET /v1/customers/{customer_id}", "GET /v1/customers/{customer_id}/events",
        "GET /v1/heads", "GET /v1/progress", "POST /customer/api/repairs/",
        "POST /customer/api/repairs/status/",
        "POST /customer/api/repairs/{repair_id}/status/", "GET /customer/api/profile/",
        "PATCH /customer/api/profile/",
    }  # fmt: skip
    for name, said in found.items():
        assert said["summary"], name
        assert said["security"], name
        for status, answer in said["responses"].items():
            assert answer["description"], (name, status)
            for content in answer["content"].values():
                assert "example" in content or content["examples"], (name, status)
        for kind in said.get("requestBody", {}).get("content", {}).values():
            assert kind["example"], name


def test_every_code_of_a_refusal_is_shown_somewhere(document: Any) -> None:
    shown = set(re.findall(r'"code": "([a-z-]+)"', json.dumps(document["paths"])))
    assert shown == set(PROBLEMS) - {"not-found"}


def test_examples_fit_their_schemas(document: Any) -> None:
    problem = document["components"]["schemas"]["Problem"]
    for name, said in operations(document).items():
        body = said.get("requestBody", {}).get("content", {}).get("application/json")
        contents = [answer["content"] for answer in said["responses"].values()]
        for content in [*contents, {"application/json": body} if body else {}]:
            for kind, shown in content.items():
                schema = problem if kind == "application/problem+json" else shown["schema"]
                examples = [one["value"] for one in shown.get("examples", {}).values()]
                for example in [*examples, *([shown["example"]] if "example" in shown else [])]:
                    if kind.endswith("json") and kind != "application/x-ndjson":
                        jsonschema.validate(example, schema), name


async def test_examples_of_bodies_are_accepted(writer: Any, document: Any) -> None:
    await writer.put_customer(1042)
    said = operations(document)

    def example(name: str) -> Any:
        return said[name]["requestBody"]["content"]["application/json"]["example"]

    recorded = await writer.call("POST", "/v1/repairs", example("POST /v1/repairs"))
    assert recorded.status == 201
    path = f"/v1/repairs/{recorded.json['repair_id']}"
    for method, below in (("PATCH", ""), ("POST", "/status"), ("DELETE", ""), ("POST", "/restore")):
        body = example(f"{method} /v1/repairs/{{repair_id}}{below}")
        answer = await writer.call(method, path + below, body)
        assert answer.status == 200, answer.body
        assert recorded.json.keys() == answer.json.keys()
    profile = example("PUT /v1/customers/{customer_id}")
    assert (await writer.call("PUT", "/v1/customers/1042", profile)).status == 200
    for method, route in (
        ("POST", "/customer/api/repairs/"),
        ("POST", "/customer/api/repairs/status/"),
        ("PATCH", "/customer/api/profile/"),
    ):
        answer = await writer.portal(
            method,
            route,
            example(f"{method} {route}"),
            customer_id=1042,
            headers={"Idempotency-Key": route},
        )
        assert answer.status in {200, 201}, answer.body
    lines = said["POST /v1/repairs/import"]["requestBody"]["content"]["application/x-ndjson"]
    assert (await writer.send_lines([lines["example"].encode()])).headers["Import-Refused"] == "0"


async def test_whatever_is_sent_the_answers_are_those_of_the_document(
    writer: Any, document: Any, tmp_path: Path
) -> None:
    schema = tmp_path / "openapi.json"
    schema.write_text(json.dumps(document))
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance,negative_data_rejection"
    )
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"), "run", str(schema),
        "--url", writer.url, "--header", f"Authorization: Bearer {writer.key}",
        "--header", f"X-Gateway-Token: {writer.token()}",
        "--checks", checks, "--phases", "examples,fuzzing", "--max-examples", "5",
        "--exclude-path", "/v1/repairs/import", "--suppress-health-check", "all",
        "--generation-database", "none",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 200)
    assert process.returncode == 0, said.decode()
