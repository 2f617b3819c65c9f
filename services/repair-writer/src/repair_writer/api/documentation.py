"""OpenAPI entries of the routes: bodies, responses and problems, each with an example."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from pydantic import BaseModel

from repair_writer.api.problems import PROBLEMS
from service_runtime.errors import PROBLEM_MEDIA_TYPE, PROBLEM_TYPE

REPAIR_EXAMPLE: Final = {
    "repair_id": "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e",
    "customer_id": 1042,
    "unit_number": "A123",
    "repair_date": "2026-03-01T14:30:00Z",
    "status": "PENDING",
    "description": "Star break, passenger side",
    "damage_type": "star break",
    "cost": "240.00",
    "technician": "Dana Whitfield",
    "customer_notes": "Keys are at the gate.",
    "technician_notes": "",
    "requested_by": "internal",
    "batch_id": "01970f4e-7a3c-7cc0-8000-1c9b7a6c1b9e",
    "source": "technicians-app",
    "source_ref": "visit-88123-1",
    "removed": False,
    "revision": 17,
    "event_id": "01970f4e-7a3d-7b21-9c40-7d0d1f1c0a55",
    "created_at": "2026-03-01T14:31:07.482913Z",
    "changed_at": "2026-03-01T14:31:07.482913Z",
}
PORTAL_REPAIR_EXAMPLE: Final = {
    name: value
    for name, value in REPAIR_EXAMPLE.items()
    if name
    not in {"customer_id", "technician", "technician_notes", "source", "source_ref", "removed"}
}
PROFILE_EXAMPLE: Final = {
    "customer_id": 1042,
    "name": "Lakeshore Freight",
    "email": "fleet@lakeshore.example",
    "phone": "+1 608 555 0117",
    "address": "400 Dock Street",
    "city": "Baraboo",
    "state": "WI",
    "postal_code": "53913",
    "revision": 18,
    "changed_at": "2026-03-01T14:31:07.482913Z",
}

IF_MATCH: Final = "If-Match"
_HEADERS: Final = {
    IF_MATCH: "Only when the state is still the one with this ETag, or one of a list of up to 20; "
    "else 412.",
    "Idempotency-Key": "1 to 255 visible characters. The same key and body again gets the same "
    "answer, with Idempotent-Replayed: true, for seven days.",
}
_ANSWER_HEADERS: Final = {
    "ETag": {"schema": {"type": "string"}, "description": "Names this state; for If-Match."},
    "Portal-Revision": {
        "schema": {"type": "integer"},
        "description": "The customer's revision to wait for in order to see this.",
    },
}
#: Problems that every route may return.
_ALWAYS: Final = ("unauthorized", "unavailable", "overloaded")
_ON_BODY: Final = ("malformed", "invalid", "too-slow", "too-large", "media-type")
_ON_KEY: Final = ("key-running", "key-reused")


def operation(
    summary: str,
    *,
    answers: Mapping[int, tuple[str, dict[str, Any]]],
    refusals: Iterable[str] = (),
    body: type[BaseModel] | None = None,
    body_example: object = None,
    headers: Iterable[str] = (),
    parameters: Iterable[dict[str, Any]] = (),
    portal: bool = False,
) -> dict[str, Any]:
    """Return the keyword arguments that document a route.

    `answers` maps a status to (description, content).
    `refusals` are problem codes beyond those of every route.
    `headers` are names of request headers. `parameters` are complete OpenAPI parameters.
    """
    wanted = list(headers)
    codes = [*_ALWAYS, *([] if portal else ["scope"]), *refusals]
    codes += _ON_BODY if body is not None else ()
    codes += _ON_KEY if "Idempotency-Key" in wanted else ()
    codes += ["precondition-failed", "malformed"] if IF_MATCH in wanted else []
    first = min(answers)
    extra: dict[str, Any] = {
        "security": [{"gatewayToken": []}] if portal else [{"apiKey": []}],
        "parameters": [*parameters, *(_header(name) for name in wanted)],
        "responses": {str(status): _answer(*said) for status, said in answers.items()}
        | _problems(dict.fromkeys(codes)),
    }
    if body is not None:
        content = {"schema": body.model_json_schema(), "example": body_example}
        extra["requestBody"] = {"required": True, "content": {"application/json": content}}
    return {
        "summary": summary,
        "status_code": first,
        "response_class": Response,
        "response_description": answers[first][0],
        "tags": ["portal" if portal else "internal systems"],
        "openapi_extra": extra,
    }


def json_content(view: type[msgspec.Struct], example: object) -> dict[str, Any]:
    """Return the OpenAPI content of a JSON response."""
    (schema,), components = msgspec.json.schema_components([view])
    return {"application/json": {"schema": _whole(schema, components), "example": example}}


def _whole(schema: Any, components: Mapping[str, Any]) -> Any:
    """Return a schema with each `$ref` replaced by its struct. Each struct is used once."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _whole(components[schema["$ref"].rpartition("/")[2]], components)
        return {name: _whole(part, components) for name, part in schema.items()}
    return [_whole(part, components) for part in schema] if isinstance(schema, list) else schema


def query(
    name: str, description: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    """Return a query parameter."""
    return {
        "name": name,
        "in": "query",
        "description": description,
        "required": required,
        "schema": schema,
    }


def path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a path parameter."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


REPAIR_ID: Final = path("repair_id", {"type": "string", "format": "uuid"})
CUSTOMER_ID: Final = path("customer_id", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1})


def _header(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "header", "description": _HEADERS[name], "schema": schema}


def _answer(description: str, content: dict[str, Any]) -> dict[str, Any]:
    headers = _ANSWER_HEADERS if "application/json" in content else {}
    return {"description": description, "content": content, "headers": headers}


def _problems(codes: Iterable[str]) -> dict[str, Any]:
    by_status: dict[str, list[str]] = {}
    for code in codes:
        by_status.setdefault(str(PROBLEMS[code][0]), []).append(code)
    return {
        status: {
            "description": " or ".join(PROBLEMS[code][1] for code in these),
            "content": {
                PROBLEM_MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {code: {"value": _problem_example(code)} for code in these},
                }
            },
        }
        for status, these in by_status.items()
    }


def _problem_example(code: str) -> dict[str, Any]:
    status, title, detail = PROBLEMS[code]
    example = {"type": PROBLEM_TYPE + code, "title": title, "status": status, "code": code}
    example |= {"detail": detail} if detail else {}
    if code == "invalid":
        example["errors"] = [
            {"pointer": "/cost", "detail": "must lie between 0 and 9999999999.99"},
        ]
    if code == "illegal-move":
        example["allowed"] = []
    return example | {"request_id": "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"}


_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "RFC 9457. `code` is stable; 409 key-running, 429 and 503 may be tried again, "
    "after Retry-After; all others are final.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": [*PROBLEMS, "method-not-allowed", "internal"]},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string"},
                    "parameter": {"type": "string"},
                    "detail": {"type": "string"},
                },
                "required": ["detail"],
            },
        },
        "allowed": {"type": "array", "items": {"type": "string"}},
        "repair_id": {"type": "string", "format": "uuid"},
        "repair": {
            "type": "object",
            "description": "To a customer whose decision cannot be done: the repair as it is now.",
        },
        "profile": {
            "type": "object",
            "description": "To a customer whose profile was changed meanwhile: as it is now.",
        },
        "etag": {"type": "string", "description": "Names that state; for If-Match."},
        "revision": {"type": "integer"},
        "changed_by": {"type": "string", "enum": ["customer", "company"]},
        "changed_at": {"type": "string", "format": "date-time"},
        "changed": {
            "type": "array",
            "description": "What is not as it was seen.",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string"},
                    "seen": {"type": "string"},
                    "now": {"type": "string"},
                },
                "required": ["field", "seen", "now"],
            },
        },
        "request_id": {"type": "string"},
    },
}

_DESCRIPTION: Final = """\
Internal systems record changes of repairs here with an API key, and customers through the
portal's gateway. Every accepted change gets the customer's next revision.

An answer 2xx is durable. 4xx is final, except 409 `key-running` and 429; those and 503 may be
retried after `Retry-After`. After a lost response send the same request with the same
`Idempotency-Key` again.
"""


def install_document(app: FastAPI) -> None:
    """Make `app.openapi()` return the complete document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title="repair-writer", version="1", description=_DESCRIPTION, routes=app.routes
            )
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
            components["securitySchemes"] = {
                "apiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "rsw_live_..."},
                "gatewayToken": {"type": "apiKey", "in": "header", "name": "X-Gateway-Token"},
            }
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
