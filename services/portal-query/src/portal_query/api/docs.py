"""The customers' API documentation as a page, rendered from the OpenAPI document.

Page and document are for signed-in customers only, like the API itself.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from portal_query.api.answers import is_known
from portal_query.api.openapi import FILE
from portal_query.api.templates import Templates
from service_runtime.headers import joined

_KEPT: Final = {"Cache-Control": "private, no-cache", "Vary": "Cookie"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API, as the page shows it."""

    anchor: str
    method: str
    path: str
    said: Mapping[str, Any]

    @property
    def example(self) -> str:
        """Return the call as a script on a page of the portal, or in its console, writes it."""
        asked = self.said.get("x-example", self.path).replace("{", "${")
        if "text/event-stream" in self.said["responses"].get("200", {}).get("content", ()):
            return _STREAM.format(path=asked)
        if self.method == "GET":
            return _READ.format(path=asked)
        headers = [
            "'X-CSRFToken': document.cookie.match(/csrftoken=([^;]+)/)[1]",
            "'Idempotency-Key': crypto.randomUUID()",
            "'Content-Type': 'application/json'",
        ]
        if any(one["name"] == "If-Match" for one in self.said.get("parameters", ())):
            headers.append("'If-Match': etag")
        return _CHANGE.format(
            path=asked,
            method=self.method,
            headers=",\n    ".join(headers),
            body=json.dumps(self.body, indent=2).replace("\n", "\n  "),
        )

    @property
    def body(self) -> object:
        """Return the body of the example."""
        content = self.said["requestBody"]["content"]["application/json"]
        return content["example"]

    @property
    def answers(self) -> Iterator[tuple[str, str, str]]:
        """Return each status with its meaning and an example response, empty without one."""
        for status, answer in self.said["responses"].items():
            yield status, answer["description"], "\n\n".join(_examples(answer))


_READ: Final = """\
fetch(`{path}`)
  .then(response => response.text())
  .then(console.log)"""
_STREAM: Final = """\
new EventSource(`{path}`)
  .addEventListener('revision', event => console.log(event.data))"""
_CHANGE: Final = """\
fetch(`{path}`, {{
  method: '{method}',
  headers: {{
    {headers},
  }},
  body: JSON.stringify({body}),
}})
  .then(response => response.json())
  .then(console.log)"""


class Documentation:
    """Serves the document as a page and as JSON."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._body = FILE.read_bytes()
        self._tag = hashlib.sha256(self._body).hexdigest()[:16]
        self._document: dict[str, Any] = json.loads(self._body)

    async def page(self, request: Request) -> HTMLResponse:
        """Return the page."""
        operations = list(operations_of(self._document))
        parts = [
            (tag, [one for one in operations if tag["name"] in one.said["tags"]])
            for tag in self._document["tags"]
        ]
        values = {"about": self._document["info"]["description"], "parts": parts}
        return await self._templates.page(request, "docs.html", values)

    async def document(self, request: Request) -> Response:
        """Return the document."""
        known = joined(request.scope["headers"], b"if-none-match")
        headers = {**_KEPT, "ETag": f'"{self._tag}"'}
        if is_known(known, self._tag):
            return Response(status_code=304, headers=headers)
        return Response(self._body, headers=headers, media_type="application/json")


def operations_of(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield the operations of the document, in its order."""
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            words = path.removeprefix("/customer/api/").translate(
                {ord(sign): "-" for sign in "/{}."}
            )
            yield Operation(f"{method}-{words}".strip("-"), method.upper(), path, said)


def documentation_routes(documentation: Documentation) -> APIRouter:
    """Return the routes of the page and of the document."""
    routes = APIRouter()
    for path, endpoint in (
        ("/customer/api/docs/", documentation.page),
        ("/customer/api/openapi.json", documentation.document),
    ):
        routes.add_api_route(path, endpoint, methods=["GET", "HEAD"], response_model=None)
    return routes


def _examples(answer: Mapping[str, Any]) -> Iterator[str]:
    for content in answer.get("content", {}).values():
        examples = content.get("examples", {})
        for example in [one["value"] for one in examples.values()] or [content["example"]]:
            yield example if isinstance(example, str) else json.dumps(example, indent=2)
