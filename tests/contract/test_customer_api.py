"""The customers' OpenAPI document: served as generated; the gateway routes exactly its paths."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.routes import ROUTES
from portal_query.api.openapi import FILE, document
from repair_writer.api.app import openapi_document

# The paths of the document itself.
ABOUT_ITSELF = {("GET", "/customer/api/docs/"), ("GET", "/customer/api/openapi.json")}


@pytest.fixture
def served() -> Any:
    """Return the document as the query API sends it."""
    return json.loads(FILE.read_text())


def test_the_document_is_what_the_code_says(served: Any) -> None:
    expected = json.loads(json.dumps(document(openapi_document())))
    assert served == expected, (
        "write it anew: repair-writer openapi | python -m portal_query.api.openapi"
    )


def test_the_document_names_what_the_gateway_lets_in_and_nothing_else(served: Any) -> None:
    let_in = {
        (method, route.path.replace("{id}", "{repair_id}"))
        for route in ROUTES
        for method in route.methods
        if route.path.startswith("/customer/api/") and method not in {"HEAD", "OPTIONS"}
    }
    described = {
        (method.upper(), path) for path, methods in served["paths"].items() for method in methods
    }
    assert described == let_in - ABOUT_ITSELF


def test_every_operation_says_what_it_is_and_shows_each_answer(served: Any) -> None:
    tags = {tag["name"] for tag in served["tags"]}
    for path, methods in served["paths"].items():
        for method, said in methods.items():
            where = (method, path)
            assert said["summary"], where
            assert set(said["tags"]) <= tags, where
            assert {"200", "201"} & set(said["responses"]), where
            for status, answer in said["responses"].items():
                assert answer["description"], (where, status)
                for content in answer.get("content", {}).values():
                    assert content.get("examples") or "example" in content, (where, status)


def test_the_document_has_no_word_of_the_inside(served: Any) -> None:
    text = json.dumps(served).lower()
    for word in ("technician_", "gatewaytoken", "rsw_live", "x-gateway"):
        assert word not in text, word
