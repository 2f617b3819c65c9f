"""Cases of HTTP/1.1 framing: bytes of an untrusted client, and the expected responses.

The cases hold for any application: they check the number of responses, the last status and the end
of the connection. A request that is hidden in another one shows as an extra response.
"""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_SECONDS: Final = 15.0
#: Pause between two parts, so that they arrive separately.
_APART_SECONDS: Final = 0.02
_HOST: Final = b"Host: portal.test\r\n"
_HIDDEN: Final = b"GET /hidden/ HTTP/1.1\r\n" + _HOST + b"\r\n"
_LAST: Final = b"GET /last/ HTTP/1.1\r\n" + _HOST + b"Connection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class FramingCase:
    """Case of framing: `parts` are sent one by one, `answers` responses follow, then the end.

    `status` is the last response's; None allows any status of the application.
    """

    name: str
    parts: tuple[bytes, ...]
    answers: int
    status: int | None = None

    async def check(self, url: str) -> None:
        """Raise AssertionError if the server at `url` responds differently."""
        raw = await converse(url, self.parts)
        statuses = [int(status) for status in _STATUS.findall(raw)]
        assert len(statuses) == self.answers, (self.name, raw)  # noqa: S101
        assert self.status in {None, statuses[-1]}, (self.name, raw)  # noqa: S101


async def converse(url: str, parts: Iterable[bytes]) -> bytes:
    """Send these parts and return all bytes until the server closes.

    Raises TimeoutError if it does not close, and ConnectionError if it resets the connection.
    """
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        async with asyncio.timeout(_SECONDS):
            for part in parts:
                writer.write(part)
                await asyncio.sleep(_APART_SECONDS)
            return await reader.read()
    finally:
        writer.close()


def _head(line: str, *headers: str, host: bytes = _HOST) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return line.encode() + b"\r\n" + host + lines.encode() + b"\r\n"


_UPGRADES: Final = {
    "foo": ("Connection: Upgrade", "Upgrade: foo"),
    "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"),
    "websocket": ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
}


def _upgrades() -> Iterable[FramingCase]:
    """Yield requests whose Upgrade is ignored (RFC 9110 7.8): the body remains a body."""
    for name, headers in _UPGRADES.items():
        for method in ("POST", "GET", "PUT"):
            line = f"{method} /nothing/ HTTP/1.1"
            head = _head(line, *headers, f"Content-Length: {len(_HIDDEN)}")
            yield FramingCase(f"{method} {name}, body apart", (head, _HIDDEN), 1)
            yield FramingCase(f"{method} {name}, body with it", (head + _HIDDEN,), 1)
            chunked = _head(line, *headers, "Transfer-Encoding: chunked")
            yield FramingCase(f"{method} {name}, chunked", (chunked, b"0\r\n\r\n"), 1, 400)
        follows = _head("GET /nothing/ HTTP/1.1", *headers) + _HIDDEN
        yield FramingCase(f"{name}, a request behind", (follows,), 1)


def _uncertain() -> Iterable[FramingCase]:
    """Yield messages that get an error response and a closed connection."""
    get, post = "GET /nothing/ HTTP/1.1", "POST /nothing/ HTTP/1.1"
    for version in (
        "RTSP/1.0",
        "RTSP/1.1",
        "ICE/1.0",
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/2.0",
        "http/1.1",
    ):
        yield FramingCase(f"version {version}", (_head(f"GET / {version}"),), 1, 400)
    chunked, zero = "Transfer-Encoding: chunked", b"0\r\n\r\n"
    for name, data in {
        "HTTP/1.0 and chunked": _head("POST /nothing/ HTTP/1.0", chunked) + zero,
        "another coding": _head(post, "Transfer-Encoding: gzip, chunked") + zero,
        "chunked twice": _head(post, chunked, chunked) + zero,
        "length and chunked": _head(post, "Content-Length: 5", chunked) + zero,
        "two lengths": _head(post, "Content-Length: 5", "Content-Length: 5") + b"12345",
        "length +5": _head(post, "Content-Length: +5") + b"12345",
        "bad chunk": _head(post, chunked) + b"zz\r\n",
        "chunk extensions": _head(post, chunked) + b"1;" + b"x" * 40_000,
        "long trailer": _head(post, chunked) + b"0\r\nX: " + b"y" * 40_000,
        "no Host": _head(get, host=b""),
        "two Hosts": _head(get, host=_HOST * 2),
        "CONNECT": _head("CONNECT portal.test:443 HTTP/1.1"),
        "bare line feeds": _head(get).replace(b"\r\n", b"\n"),
        "bare line feeds, then an end": _head(get).replace(b"\r\n", b"\n") + b"\r\n\r\n",
        "TLS": b"\x16\x03\x01\x00\xa5",
        "no HTTP": b"hello\r\n\r\n",
        "two empty lines": b"\r\n\r\n\r\n" + _head(get),
    }.items():
        yield FramingCase(name, (data,), 1, 400)
    large = _head(get, f"X: {'y' * 20_000}")
    yield FramingCase("20 kB of headers", (large,), 1, 431)
    yield FramingCase("20 kB of headers in parts", (large[:9_000], large[9_000:]), 1, 431)
    yield FramingCase("headers without end", (large[:-4] + b"y" * 2_000_000,), 1, 431)
    yield FramingCase("20 kB of address", (_head(f"GET /{'y' * 20_000} HTTP/1.1"),), 1, 414)


def _ends() -> Iterable[FramingCase]:
    """Yield requests that determine the end of the connection."""
    get, post = _head("GET /nothing/ HTTP/1.1"), "POST /nothing/ HTTP/1.1"
    yield FramingCase("garbage behind a request", (get + b"\x00garbage\r\n\r\n",), 2, 400)
    yield FramingCase("garbage apart", (get, b"\x00garbage\r\n\r\n"), 2, 400)
    yield FramingCase("pipelined", (get * 20 + _LAST,), 21)
    yield FramingCase("one by one", (get, get, _LAST), 3)
    yield FramingCase(
        "byte by byte", (*(bytes([byte]) for byte in _head("GET / HTTP/1.1")), _LAST), 2
    )
    yield FramingCase("an empty line before", (get, b"\r\n" + _LAST), 2)
    early = _head(post, "Content-Length: 100000")
    yield FramingCase("answered before its body", (early,), 1)
    yield FramingCase("answered before its body, which comes", (early, _HIDDEN * 500), 1)
    chunks = _head(post, "Transfer-Encoding: chunked")
    yield FramingCase("answered before its chunks", (chunks + b"5\r\n123",), 1)
    hidden = chunks + b"0\r\n\r\n" + _HIDDEN
    yield FramingCase("a request behind chunks", (hidden,), 1)
    yield FramingCase("HTTP/1.0", (_head("GET / HTTP/1.0", host=b""),), 1)


FRAMING: Final = (*_upgrades(), *_uncertain(), *_ends())
