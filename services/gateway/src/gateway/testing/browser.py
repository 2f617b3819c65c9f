"""A client that sends exactly the given bytes, one connection a request, and keeps cookies."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

_SECONDS: Final = 15.0
_TOKEN: Final = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Answered:
    """A response as it arrived; header names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of this name, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    def all(self, name: str) -> list[str]:
        """Return every header of this name."""
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


async def exchange(url: str, data: bytes, *, seconds: float = _SECONDS) -> bytes:
    """Send these bytes to a server; return all bytes that it sends until it closes.

    Raises TimeoutError after `seconds`.
    """
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        writer.write(data)
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()


def parse(data: bytes, *, head_only: bool = False) -> Answered:
    """Return the response in these bytes; a chunked body is joined.

    Raises ValueError for a response that is cut short.
    """
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError(f"no answer: {data[:80]!r}")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = tuple(
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    )
    answered = Answered(int(first.split(" ")[1]), headers, body)
    if head_only:
        return answered
    if answered.header("transfer-encoding") == "chunked":
        return Answered(answered.status, headers, _unchunk(body))
    length = int(answered.header("content-length") or len(body))
    if len(body) < length:
        raise ValueError("the body is cut short")
    return answered


def _unchunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        if count == 0:
            return whole
        whole += rest[:count]
        body = rest[count + 2 :]
    raise ValueError("the last chunk is missing")


@dataclass
class Browser:
    """A client of one server that keeps cookies between requests; it calls the server `host`."""

    url: str
    host: str = "portal.test"
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(
        self, method: str, target: str, *, body: bytes | None = None, **headers: str
    ) -> Answered:
        """Send one request; `content_type="..."` becomes `Content-Type: ...`."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        named = {**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        lines += [f"{name}: {value}" for name, value in named.items()]
        if self.cookies and "Cookie" not in named:
            pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            lines.append(f"Cookie: {pairs}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
        answered = parse(await exchange(self.url, data), head_only=method == "HEAD")
        self._keep(answered)
        return answered

    async def get(self, target: str, **headers: str) -> Answered:
        """Send a GET."""
        return await self.ask("GET", target, body=None, **headers)

    async def submit(self, target: str, fields: dict[str, str], **headers: str) -> Answered:
        """Send a form."""
        return await self.ask(
            "POST",
            target,
            body=urlencode(fields).encode(),
            Content_Type="application/x-www-form-urlencoded",
            **headers,
        )

    async def token(self) -> str:
        """Return the token of the sign-in page; keep the cookie that it belongs to.

        Raises ValueError if the page has none.
        """
        found = _TOKEN.search((await self.get("/accounts/login/")).text)
        if found is None:
            raise ValueError("the sign-in page has no token")
        return found[1]

    async def sign_in(self, username: str, password: str, **fields: str) -> Answered:
        """Load the sign-in page and send its form."""
        token = await self.token()
        return await self.submit(
            "/accounts/login/",
            {"csrfmiddlewaretoken": token, "username": username, "password": password, **fields},
        )

    async def sign_out(self, **fields: str) -> Answered:
        """Send the sign-out form with the token of the cookie."""
        token = self.cookies["csrftoken"]
        return await self.submit("/accounts/logout/", {"csrfmiddlewaretoken": token, **fields})

    def _keep(self, answered: Answered) -> None:
        for line in answered.all("set-cookie"):
            pair, _, attributes = line.partition(";")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
