"""nginx as configured, in front of a recording upstream."""

import gzip
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.compose.images import image

NGINX, PYTHON = image("nginx"), image("python")
#: status, headers by their lower-case names, body
Answer = tuple[int, dict[str, str], bytes]
HARDENED = ("--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop", "ALL")


def docker(*arguments: str | Path) -> str:
    result = subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    return result.stdout.strip()


class Edge:
    """nginx and, in its network, stand-ins for the gateway and the writer."""

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
        """Send bytes; return the response up to the end of its body or of the connection."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(request)
            received = b""
            while not _is_whole(received) and (more := connection.recv(65536)):
                received += more
            return received

    def close(self) -> None:
        for name in (self.name, f"{self.name}-echo"):
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", self.name], capture_output=True, check=False)


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


@pytest.fixture(scope="module")
def lonely_edge(root: Path, needs_images: Callable[..., None]) -> Iterator[Edge]:
    """Yield the edge before the gateway has started."""
    needs_images(NGINX, PYTHON)
    edge = Edge(root)
    yield edge
    edge.close()


@pytest.fixture(scope="module")
def away(lonely_edge: Edge) -> dict[str, Answer]:
    """Return the edge's response while the gateway is unavailable."""
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
    assert b"The portal cannot be reached just now" in body


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


HOST = b" HTTP/1.1\r\nHost: a\r\n"
LINES_OF_7000 = b"X: " + b"x" * 6_995 + b"\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET %s" + HOST + b"X: 1\r\n" * 150 + b"\r\n", 431),
        (b"GET %s" + HOST + b"X: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET %s" + HOST + LINES_OF_7000 * 3 + b"\r\n", 431),
        (b"GET %s" + b"x" * 9000 + HOST + b"\r\n", 414),
        (b"POST %s" + HOST + b"Content-Length: 300000\r\n\r\n", 413),
        (b"POST %s" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET %s" + HOST + b"Host: b\r\n\r\n", 400),
        (b"GET %s HTTP/1.1\r\n\r\n", 400),
    ],
    ids=["many headers", "long header", "large head", "long path", "large body", "two lengths", "two hosts", "no host"],
)  # fmt: skip
@pytest.mark.parametrize("path", [b"/customer/dashboard/", b"/customer/api/repairs/"])
def test_what_is_too_much_or_malformed_is_refused_at_the_edge(
    edge: Edge, request_bytes: bytes, status: int, path: bytes
) -> None:
    head, _, body = edge.raw(request_bytes.replace(b"%s", path, 1)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close" in head or status == 413
    if b"/api/" in path:
        assert b"Content-Type: application/problem+json" in head
        assert json.loads(body)["status"] == status
    else:
        assert b"Content-Type: text/html" in head
        assert b"</html>" in body


def test_a_zero_byte_in_a_path_is_refused(edge: Edge) -> None:
    assert edge.raw(b"GET /%00" + HOST + b"\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_head_below_the_limit_passes(edge: Edge) -> None:
    request = b"GET /customer/dashboard/" + HOST + LINES_OF_7000 * 2 + b"Connection: close\r\n\r\n"

    assert edge.raw(request).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("size", "status"), [(90_000, 200), (100_000, 413)])
def test_a_sign_in_takes_the_form_that_was_interrupted_and_no_more(
    edge: Edge, size: int, status: int
) -> None:
    """A length alone suffices for a rejection; an accepted body must be sent before the edge
    continues.
    """
    body = b"x" * size if status == 200 else b""
    request = b"POST /accounts/login/" + HOST + b"Content-Length: %d\r\n\r\n" % size + body

    assert edge.raw(request).startswith(b"HTTP/1.1 %d " % status)


def test_who_is_one_of_too_many_of_an_address_is_told_so(edge: Edge) -> None:
    waiting = []
    try:
        for _ in range(256):
            held = socket.create_connection(("127.0.0.1", edge.port), 20)
            held.sendall(b"POST /v1/repairs/import" + HOST + b"Content-Length: 5\r\n\r\n")
            waiting.append(held)
        deadline = time.monotonic() + 10
        while (answer := edge.get("/customer/api/figures/"))[0] != 429:
            assert time.monotonic() < deadline
        _, headers, body = answer
        assert (headers["retry-after"], json.loads(body)["code"]) == ("5", "too-many")
    finally:
        for held in waiting:
            held.close()
    edge.eventually_answers(200)


def test_who_sends_nothing_more_is_not_waited_for(edge: Edge) -> None:
    assert edge.raw(b"GET / HTTP/1.1\r\nHost: a\r\nX: half a hea") == b""


def test_an_event_is_passed_on_when_it_comes(edge: Edge) -> None:
    """The second event follows after two seconds; a buffer would hold the first until then."""
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

    for page in ("/customer/dashboard/", "/accounts/login/", "/customer/api/docs/"):
        _, headers, _ = edge.get(page, {"Accept-Encoding": "gzip"})
        assert headers["content-type"] == "text/html"
        assert "content-encoding" not in headers, page
    _, headers, _ = edge.get("/static/portal.css", {"Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"


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
    # The engine forwards a line some time after nginx wrote it.
    deadline = time.monotonic() + 20
    while not _logged(log := docker("logs", edge.name)):
        assert time.monotonic() < deadline, log
        time.sleep(0.1)
    assert "secret" not in log


def _logged(log: str) -> bool:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return any(
        line["path"] == "/accounts/login/" and line["request_id"] == "answered-by-echo"
        for line in lines
    )


@pytest.fixture
def tls_edge(root: Path, edge: Edge, tmp_path: Path) -> Iterator[int]:
    """Yield the port of the edge as deploy/compose/tls.yml starts it, with a test certificate."""
    for name in ("certificate", "key"):
        (tmp_path / name).touch()
    command: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
    ]
    command += [
        "-subj",
        "/CN=portal.test",
        "-keyout",
        tmp_path / "key",
        "-out",
        tmp_path / "certificate",
    ]
    subprocess.run(command, check=True, capture_output=True)
    for path in (tmp_path, tmp_path / "certificate", tmp_path / "key"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    name, nginx = f"{edge.name}-tls", root / "deploy/nginx"
    docker(
        "run", "--detach", "--name", name, "--network", edge.name, *HARDENED, "--user", "101:101",
        "--publish", "127.0.0.1::8080", "--volume", f"{nginx}/nginx.conf:/etc/nginx/nginx.conf:ro",
        "--volume", f"{nginx}:/etc/nginx/rswind:ro",
        "--volume", f"{nginx}/listen-tls.conf:/etc/nginx/rswind/listen.conf:ro",
        "--volume", f"{tmp_path}/certificate:/run/secrets/tls_certificate:ro",
        "--volume", f"{tmp_path}/key:/run/secrets/tls_key:ro", NGINX,
    )  # fmt: skip
    try:
        port = int(docker("port", name, "8080").rpartition(":")[2])
        deadline = time.monotonic() + 30
        while over_tls(port, "/")[0] != 200:
            assert time.monotonic() < deadline, docker("logs", name)
            time.sleep(0.2)
        yield port
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)


def over_tls(port: int, path: str) -> tuple[int, list[tuple[str, str]]]:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, [(k.lower(), v) for k, v in answer.getheaders()]
    except OSError:
        return 0, []
    finally:
        connection.close()


def test_tls_is_said_to_last_on_every_answer_and_plain_http_leads_nowhere(tls_edge: int) -> None:
    for path, status in (("/", 200), ("/customer/api/figures/", 200), ("/%00", 400)):
        found, headers = over_tls(tls_edge, path)
        said = [value for name, value in headers if name == "strict-transport-security"]
        assert (found, said) == (status, ["max-age=31536000"]), path

    plain = http.client.HTTPConnection("127.0.0.1", tls_edge, timeout=20)
    plain.request("GET", "/customer/dashboard/", headers={"Host": "evil.example"})
    answer = plain.getresponse()
    assert answer.status == 400
    assert answer.getheader("Location") is None
    assert b"evil.example" not in answer.read()
    plain.close()
