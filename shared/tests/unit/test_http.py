"""Common behaviour of every HTTP API of ours, over ASGI without a socket."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Message

from service_runtime.errors import Problem
from service_runtime.http import RequestLog, install_problem_handlers, pointer


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["cache-control"] == "no-store"
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        assert found["type"] == f"https://rswindrepair.example/problems/{found['code']}"
        return found


async def ask(
    app: ASGIApp, method: str, path: str, body: bytes = b"", *, cut: bool = False, **headers: str
) -> Answer:
    """Send one request to an ASGI app and return its response. `cut`: disconnect within the body."""
    sent: list[Message] = []
    pending = [{"type": "http.request", "body": body, "more_body": cut}]

    async def receive() -> Message:
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
    }
    await app(scope, receive, send)
    start, *parts = sent
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(part.get("body", b"") for part in parts),
    )


class Body(BaseModel):
    cost: float = Field(ge=0)
    unit: str = Field(min_length=1)
    tags: list[int] = []


@pytest.fixture
def app() -> ASGIApp:
    """Return an app with one endpoint for each kind of failure."""
    api = FastAPI()
    install_problem_handlers(api)

    @api.post("/things")
    async def make(body: Body) -> dict[str, str]:
        return {"unit": body.unit}

    @api.get("/refused")
    async def refuse() -> None:
        raise Problem(409, "illegal-move", "No", "Not so.", headers={"X-Why": "so"}, extra={"a": 1})

    @api.get("/bug")
    async def fail() -> None:
        raise RuntimeError("secret of the house")

    @api.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    return RequestLog(api)


async def test_a_client_that_leaves_while_its_body_arrives_is_no_bug(
    app: ASGIApp, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await ask(app, "POST", "/read", b"half", cut=True)
    assert (answer.status, answer.body) == (499, b"")
    logged = capsys.readouterr().out
    assert "status=499" in logged
    assert "bug" not in logged


async def test_a_good_request_is_answered_with_its_id(app: ASGIApp) -> None:
    answer = await ask(app, "POST", "/things", b'{"cost": 1, "unit": "U"}')
    assert (answer.status, json.loads(answer.body)) == (200, {"unit": "U"})
    assert len(answer.headers["x-request-id"]) == 36


async def test_a_request_id_that_came_along_is_kept(app: ASGIApp) -> None:
    answer = await ask(app, "GET", "/refused", x_request_id="abcdefgh-12345678")
    assert answer.headers["x-request-id"] == "abcdefgh-12345678"
    assert answer.problem["request_id"] == "abcdefgh-12345678"


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "has space 123", "line\nbreak-123", "é" * 9]
)
async def test_a_request_id_of_another_form_is_replaced(app: ASGIApp, given: str) -> None:
    answer = await ask(app, "GET", "/refused", x_request_id=given)
    assert answer.headers["x-request-id"] not in {given, ""}


async def test_a_refusal_is_a_problem_with_its_headers_and_members(app: ASGIApp) -> None:
    answer = await ask(app, "GET", "/refused")
    assert answer.status == 409
    assert answer.headers["x-why"] == "so"
    problem = answer.problem
    assert (problem["code"], problem["detail"], problem["a"]) == ("illegal-move", "Not so.", 1)


async def test_every_bad_field_is_named_in_a_422(app: ASGIApp) -> None:
    answer = await ask(app, "POST", "/things", b'{"cost": -1, "tags": [1, "x"]}')
    assert answer.status == 422
    assert {error["pointer"] for error in answer.problem["errors"]} == {
        "/cost",
        "/unit",
        "/tags/1",
    }
    assert all(error["detail"] for error in answer.problem["errors"])


async def test_a_body_of_nothing_but_faults_gets_a_bounded_answer(app: ASGIApp) -> None:
    body = json.dumps({"cost": 1, "unit": "A", "tags": ["x"] * 10_000}).encode()
    answer = await ask(app, "POST", "/things", body)
    assert answer.status == 422
    assert len(answer.problem["errors"]) == 100


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b'{"cost": NaN', b'{"cost": 1,}'])
async def test_a_body_that_is_no_json_is_a_problem(app: ASGIApp, body: bytes) -> None:
    answer = await ask(app, "POST", "/things", body)
    assert answer.status in {400, 422}
    assert answer.problem["title"]


async def test_a_broken_body_is_a_400(app: ASGIApp) -> None:
    answer = await ask(app, "POST", "/things", b'{"cost": ')
    assert (answer.status, answer.problem["code"]) == (400, "malformed")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not-found"), ("GET", "/things", 405, "method-not-allowed")],
)
async def test_what_is_not_there_is_a_problem_too(
    app: ASGIApp, method: str, path: str, status: int, code: str
) -> None:
    answer = await ask(app, method, path)
    assert (answer.status, answer.problem["code"]) == (status, code)


async def test_a_bug_is_a_500_that_tells_nothing_but_where_to_look(app: ASGIApp) -> None:
    answer = await ask(app, "GET", "/bug")
    assert answer.status == 500
    assert answer.problem["code"] == "internal"
    assert answer.problem["request_id"] == answer.headers["x-request-id"]
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body


def test_a_pointer_escapes_what_has_a_meaning_in_it() -> None:
    assert pointer(["a/b", "c~d", 0]) == "/a~1b/c~0d/0"
