"""nginx as configured, in front of something that says what it was sent."""

import gzip
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NGINX, PYTHON = "nginx:1.29", "python:3.13-slim"
#: status, headers by their small names, body
Answer = tuple[int, dict[str, str], bytes]
HARDENED = ("--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop", "ALL")


def docker(*arguments: str | Path) -> str:
    result = subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    return result.stdout.strip()


class Edge:
    """nginx and, in its network, what stands for the gateway and the writer."""

    def __init__(self, root: Path) -> None:
        self.name = f"rswind-edge-{os.getpid()}"
        docker("network", "create", self.name)
        nginx = root / "deploy/nginx"
        docker(
            "run", "--detach", "--name", self.name, "--network", self.name, *HARDENED, "--user", "101:101",
            "--publish", "127.0.0.1::8080", "--volume", f"{nginx}/nginx.conf:/etc/nginx/nginx.conf:ro",
            "--volume", f"{nginx}:/etc/nginx/rswind:ro", NGINX,
        )  # fmt: skip
        self.port = int(docker("port", self.name, "8080").rpartition(":")[2])
        self.eventually_answers(503)

    def start_upstream(self) -> None:
        docker(
            "run", "--detach", "--name", f"{self.name}-echo", "--network", self.name,
            "--network-alias", "gateway", "--network-alias", "writer",
            "--volume", f"{Path(__file__).parent}/echo.py:/echo.py:ro", PYTHON, "python", "/echo.py",
        )  # fmt: skip
        self.eventually_answers(200)

    def eventually_answers(self, status: int) -> None:
        deadline = time.monotonic() + 30
        seen: int | str = "nothing"
        while time.monotonic() < deadline:
            try:
                seen = self.get("/")[0]
            except OSError as error:
                seen = str(error)
            if seen == status:
                return
            time.sleep(0.2)
        pytest.fail(f"the edge answers {seen}: {docker('logs', self.name)}")

    def get(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def echo(self, path: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        status, _, body = self.get(path, headers)
        assert status == 200, body
        echoed: dict[str, Any] = json.loads(body)
        return echoed

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(request)
            return connection.recv(65536)

    def close(self) -> None:
        for name in (self.name, f"{self.name}-echo"):
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", self.name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def lonely_edge(root: Path, needs_images: Callable[..., None]) -> Iterator[Edge]:
    """The edge before the gateway has come."""
    needs_images(NGINX, PYTHON)
    edge = Edge(root)
    yield edge
    edge.close()


@pytest.fixture(scope="module")
def away(lonely_edge: Edge) -> dict[str, Answer]:
    """What the edge says while the gateway is away."""
    paths = ("/customer/dashboard/", "/customer/api/unit-repair-data/", "/v1/repairs")
    return {path: lonely_edge.get(path) for path in paths}


@pytest.fixture(scope="module")
def edge(lonely_edge: Edge, away: object) -> Edge:
    lonely_edge.start_upstream()
    return lonely_edge


def test_a_person_sees_a_page_while_the_gateway_is_away(
    away: dict[str, Answer],
) -> None:
    status, headers, body = away["/customer/dashboard/"]

    assert (status, headers["retry-after"], headers["cache-control"]) == (503, "5", "no-store")
    assert headers["content-type"].startswith("text/html")
    assert b"The portal does not answer" in body


@pytest.mark.parametrize("path", ["/customer/api/unit-repair-data/", "/v1/repairs"])
def test_a_program_gets_a_problem_document_while_the_service_is_away(
    away: dict[str, Answer], path: str
) -> None:
    status, headers, body = away[path]

    assert (status, headers["retry-after"]) == (503, "5")
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["code"] == "unavailable"
    assert json.loads(body)["error"]


def test_where_a_request_came_from_is_what_the_edge_saw(edge: Edge) -> None:
    headers = edge.echo(
        "/customer/dashboard/",
        {
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "evil.example",
            "Forwarded": "for=203.0.113.9",
            "X-Real-IP": "203.0.113.9",
        },
    )["headers"]

    assert headers["x-forwarded-for"] != "203.0.113.9"
    assert "," not in headers["x-forwarded-for"]
    assert headers["x-forwarded-proto"] == "http"
    assert not {"x-forwarded-host", "forwarded", "x-real-ip"} & headers.keys()


@pytest.mark.parametrize("path", ["/customer/dashboard/", "/v1/repairs", "/v1/repairs/import"])
def test_nobody_outside_speaks_as_the_gateway(edge: Edge, path: str) -> None:
    headers = edge.echo(path, {"X-Gateway-Token": "forged", "X_Gateway_Token": "forged"})["headers"]

    assert "forged" not in headers.values()


def test_a_browsers_cookies_do_not_reach_the_writer(edge: Edge) -> None:
    assert "cookie" not in edge.echo("/v1/repairs", {"Cookie": "sessionid=abc"})["headers"]
    assert edge.echo("/customer/dashboard/", {"Cookie": "sessionid=abc"})["headers"]["cookie"]


def test_the_path_arrives_as_it_was_sent(edge: Edge) -> None:
    assert edge.echo("/a//b/%2e%2e/c?next=/d")["path"] == "/a//b/%2e%2e/c?next=/d"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /customer/api/x HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 150 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"POST /customer/api/repairs/ HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n", 413),
        (b"POST /accounts/login/ HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
    ids=["many headers", "long header", "long path", "large body", "large login", "two lengths", "two hosts", "no host", "zero byte"],
)  # fmt: skip
def test_what_is_too_much_or_malformed_is_refused_at_the_edge(
    edge: Edge, request_bytes: bytes, status: int
) -> None:
    assert edge.raw(request_bytes).startswith(b"HTTP/1.1 %d" % status)


def test_who_sends_nothing_more_is_not_waited_for(edge: Edge) -> None:
    assert edge.raw(b"GET / HTTP/1.1\r\nHost: a\r\nX: half a hea") == b""


def test_an_event_is_passed_on_when_it_comes(edge: Edge) -> None:
    """The second event is two seconds away; a buffer would hold the first until then."""
    with socket.create_connection(("127.0.0.1", edge.port), 20) as connection:
        connection.sendall(b"GET /customer/api/events/ HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"data: 0" not in received:
            received += connection.recv(65536)

    assert b"data: 1" not in received


def test_data_is_compressed_and_pages_are_not(edge: Edge) -> None:
    _, headers, body = edge.get("/customer/api/unit-repair-data/", {"Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert headers["etag"] == 'W/"42.1.7"'
    assert b"padding" in gzip.decompress(body)

    _, headers, _ = edge.get("/customer/dashboard/", {"Accept-Encoding": "gzip"})
    assert "content-encoding" not in headers


def test_an_import_may_be_large(edge: Edge) -> None:
    status, _, body = edge.get("/v1/repairs/import", method="POST", body=b"x" * 1_000_000)

    assert status == 200
    assert json.loads(body)["body_bytes"] == 1_000_000


def test_the_log_holds_no_secret(edge: Edge) -> None:
    edge.get(
        "/accounts/login/?next=/secret-in-query",
        {
            "Cookie": "sessionid=secret-cookie",
            "Authorization": "Bearer secret-key",
            "Referer": "http://a/secret-referer",
        },
    )
    log = docker("logs", edge.name)
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]

    assert "secret" not in log
    assert any(
        line["path"] == "/accounts/login/" and line["request_id"] == "answered-by-echo"
        for line in lines
    )
