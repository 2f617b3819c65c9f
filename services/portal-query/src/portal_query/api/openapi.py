"""OpenAPI document of the customers' API: the query API's reads and the writer's commands.

`repair-writer openapi | python -m portal_query.api.openapi` regenerates the committed file.
A test compares that file with both sources.
"""

import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from portal_query.api.described import COMMANDS, DOCUMENTED, ENDPOINTS, TAGS, Endpoint, Parameter

FILE: Final = Path(__file__).parent.parent / "web" / "openapi.json"
_PROBLEM_MEDIA: Final = "application/problem+json"
_TITLES: Final = {
    "bad-parameter": (400, "Some parameters cannot be accepted"),
    "bad-header": (400, "A header cannot be read"),
    "repair-unknown": (404, "No such repair"),
    "customer-unknown": (404, "No such customer"),
    "unavailable": (503, "Temporarily unavailable"),
    "overloaded": (503, "Too much to do"),
    "revision-not-reached": (503, "This revision has not arrived yet"),
    "too-many-streams": (503, "Too many open streams"),
}
_NOT_SIGNED_IN: Final = {
    "description": "Not signed in: to the sign-in page. Empty body.",
    "headers": {"Location": {"schema": {"type": "string"}}},
}
_NO_PROFILE: Final = {"error": "Customer profile not found"}
_SECURITY: Final = {
    "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRFToken",
        "description": "The value of the cookie csrftoken.",
    },
}
_SEEN: Final = (
    Parameter(
        "Portal-Min-Revision",
        "The highest Portal-Revision seen: nothing older is answered.",
        {"type": "integer", "minimum": 0},
        None,
        where="header",
    ),
    Parameter(
        "Portal-Refold",
        "The Portal-Refold that came with it.",
        {"type": "integer", "minimum": 0},
        None,
        where="header",
    ),
    Parameter(
        "If-None-Match",
        "The ETag that the caller holds: 304 when it still holds.",
        {"type": "string"},
        None,
        where="header",
    ),
)
_STATE_HEADERS: Final = {
    "Portal-Revision": "How many of the customer's events are in the answer.",
    "Portal-Refold": "The number of the rebuild; a higher one replaces all earlier responses.",
    "Portal-As-Of": "Everything accepted before this time is in the answer.",
    "Portal-Lag": "Seconds since then, rounded up.",
    "ETag": "Names this state of this customer.",
}
_ABOUT: Final = """\
What the portal shows a customer, for the customer's own scripts. Who is signed in (the cookie
sessionid, over HTTPS __Host-sessionid) sees one company's data and no other's: no request names a
customer.

Times are RFC 3339 in UTC; days and months are those of the portal's calendar. Numbers of repairs
count every repair that has not been removed. Errors are problem details (RFC 9457): `code` is
stable, `errors` names each bad field, and 503 may be tried again after Retry-After.
"""


def document(writer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI document, including the customers' commands of the writer's document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})["get"] = _read(endpoint)
    for path, methods in writer["paths"].items():
        for method, said in methods.items():
            if path.startswith("/customer/") and method != "get":
                paths.setdefault(path, {})[method] = _command(said)
    return {
        "openapi": "3.1.0",
        "info": {"title": "RS Wind Repair Portal", "version": "1", "description": _ABOUT},
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {"Problem": writer["components"]["schemas"]["Problem"]},
            "securitySchemes": _SECURITY,
        },
    }


def _read(endpoint: Endpoint) -> dict[str, Any]:
    parameters = [*endpoint.parameters, *(_SEEN if endpoint.states_revision else ())]
    content = {"example": endpoint.answer, "schema": _schema_of(endpoint.answer)}
    answer: dict[str, Any] = {"description": "The answer", "content": {endpoint.media: content}}
    responses: dict[str, Any] = {"200": answer}
    if endpoint.states_revision:
        answer["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in _STATE_HEADERS.items()
        }
        responses["304"] = {"description": "The caller holds the answer already"}
    return {
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": endpoint.text,
        "parameters": [_parameter(one) for one in parameters],
        "security": [{"session": []}],
        "x-example": endpoint.path + endpoint.asked,
        "responses": responses | _refusals(endpoint),
    }


def _refusals(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = {"302": _NOT_SIGNED_IN}
    no_profile = {
        "description": "No profile",
        "content": {"application/json": {"example": _NO_PROFILE}},
    }
    if endpoint.tag == DOCUMENTED:
        error = {"type": "object", "properties": {"error": {"type": "string"}}}
        away = {"example": {"error": "Temporarily unavailable"}, "schema": error}
        away_answer = {"description": "Try again", "content": {"application/json": away}}
        return found | {"404": no_profile, "503": away_answer}
    for code in (*endpoint.refusals, "unavailable", "overloaded"):
        status, title = _TITLES[code]
        example = {
            "type": f"https://rswindrepair.example/problems/{code}",
            "title": title,
            "status": status,
            "code": code,
            "request_id": "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e",
        }
        answer = found.setdefault(str(status), _problem_answer(title))
        answer["content"][_PROBLEM_MEDIA]["examples"][code] = {"value": example}
    return found


def _problem_answer(title: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": title, "content": {_PROBLEM_MEDIA: {"schema": schema, "examples": {}}}}


def _parameter(one: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": one.schema} if one.repeated else one.schema
    said = {
        "name": one.name,
        "in": one.where,
        "required": one.where == "path",
        "description": one.text,
        "schema": schema,
    }
    return said if one.example is None else {**said, "example": one.example}


def _command(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command as a customer sends it: signed in at the gateway, with a form token."""
    command = copy.deepcopy(dict(said))
    command["tags"] = [COMMANDS]
    command["security"] = [{"session": [], "csrf": []}]
    responses = command["responses"]
    del responses["401"]  # for services only
    responses["302"] = _NOT_SIGNED_IN
    responses["403"] = {"description": "The CSRF token is missing, or not this visitor's"}
    command["responses"] = dict(sorted(responses.items()))
    return command


def _schema_of(example: object) -> dict[str, Any]:
    """Return the schema of an example; null may also be a text."""
    if isinstance(example, dict):
        return {
            "type": "object",
            "properties": {name: _schema_of(value) for name, value in example.items()},
            "required": list(example),
        }
    if isinstance(example, list):
        return {"type": "array", "items": _schema_of(example[0])}
    if isinstance(example, bool):
        return {"type": "boolean"}
    if isinstance(example, int):
        return {"type": "integer"}
    return {"type": "string"} if example is not None else {"type": ["string", "null"]}


def main() -> None:
    """Regenerate the file."""
    found = document(json.load(sys.stdin))
    FILE.write_text(json.dumps(found, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
