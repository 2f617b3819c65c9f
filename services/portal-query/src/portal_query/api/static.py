"""The portal's scripts and styles, read once at start, each under a name of its content.

They contain no customer data, so they alone need no identity.
A browser may keep them for ever: changed content has a new name.
During an upgrade, a page of one release may request a style of another.
It then receives the present style, with `no-store`.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from portal_query.api.answers import Headers, is_known
from service_runtime.headers import accepts_coding, joined

PREFIX: Final = "/static/portal/"
FOLDER: Final = Path(__file__).parent.parent / "web" / "static"

_TYPES: Final = {
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_FOR_EVER: Final = b"public, max-age=31536000, immutable"
_ONCE: Final = b"no-store"
_NAMED: Final = re.compile(rf"{PREFIX}([\w-]+)\.[0-9a-f]{{16}}(\.\w+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class _File:
    tag: str
    media_type: bytes
    body: bytes
    compressed: bytes


class StaticFiles:
    """Serves the files of a folder; every other request goes to the inner app."""

    def __init__(self, app: ASGIApp, folder: Path = FOLDER) -> None:
        self._app = app
        self._files: dict[str, _File] = {}
        self._addresses: dict[str, str] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix not in _TYPES:
                continue
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:16]
            address = f"{PREFIX}{path.stem}.{digest}{path.suffix}"
            self._addresses[path.name] = address
            self._files[address] = _File(
                digest, _TYPES[path.suffix], body, gzip.compress(body, mtime=0)
            )

    def address(self, name: str) -> str:
        """Return the path of a file, with its content hash in the name. Raises KeyError."""
        return self._addresses[name]

    def _address_of_today(self, path: str) -> str:
        """Return the present address of a file that another release links by this path."""
        named = _NAMED.fullmatch(path)
        return self._addresses.get(named[1] + named[2], path) if named else path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        scope["route_name"] = f"{PREFIX}{{file}}"
        status, headers, body = self._answer(scope)
        headers.append((b"content-length", b"%d" % len(body)))
        if scope["method"] == "HEAD" or status == 304:  # noqa: PLR2004
            body = b""
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Scope) -> tuple[int, Headers, bytes]:
        if scope["method"] not in {"GET", "HEAD"}:
            return 405, [(b"allow", b"GET, HEAD")], b""
        address = self._address_of_today(scope["path"])
        file = self._files.get(address)
        if file is None:
            return (
                404,
                [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")],
                b"not found\n",
            )
        keep = _FOR_EVER if address == scope["path"] else _ONCE
        headers = [
            (b"etag", b'"%b"' % file.tag.encode()),
            (b"cache-control", keep),
            (b"vary", b"Accept-Encoding"),
        ]
        if is_known(joined(scope["headers"], b"if-none-match"), file.tag):
            return 304, headers, b""
        headers += [(b"content-type", file.media_type), (b"x-content-type-options", b"nosniff")]
        if accepts_coding(scope["headers"], b"gzip"):
            return 200, [*headers, (b"content-encoding", b"gzip")], file.compressed
        return 200, headers, file.body
