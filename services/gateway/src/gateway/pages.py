"""The gateway's own pages: the sign-in page, and messages to a person.

They need no script, font or picture of another origin. The name of a static file carries a hash of
its content, so a browser may cache it for ever.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from gateway.answers import HTML, NO_STORE, Answer, Headers

_WEB: Final = Path(__file__).parent / "web"
_TYPES: Final = {".css": b"text/css; charset=utf-8", ".svg": b"image/svg+xml"}
STATIC_PATH: Final = "/static/gateway/"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A static file; its content never changes under its name."""

    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A text for a person: what happened, and what to do next."""

    status: int
    title: str
    text: str
    advice: str
    link: str = ""
    link_text: str = ""


NOT_FOUND: Final = Message(
    404,
    "There is no such page",
    "The address you followed leads nowhere in this portal.",
    "It may have been mistyped, or the page may have moved.",
    "/customer/dashboard/",
    "Go to your dashboard",
)
NO_PROFILE: Final = Message(
    404,
    "No customer profile",
    "You are signed in, but this login is not linked to a customer yet, "
    "so there are no repairs to show.",
    "Ask your contact at RS Wind to link it. Then load this page again.",
)
AWAY: Final = Message(
    503,
    "The portal cannot be reached just now",
    "A part of it does not answer. Your repairs are safe, and you are still signed in.",
    "Please try again in a moment.",
    "/customer/dashboard/",
    "Try again",
)
OVERLOADED: Final = Message(
    503,
    "The portal has too much to do just now",
    "Many people are using it at once. Your repairs are safe, and you are still signed in.",
    "Nothing was changed. Please try again in a moment.",
    "/customer/dashboard/",
    "Try again",
)
FAULT: Final = Message(
    500,
    "Something went wrong on our side",
    "We could not show this page.",
    "Please try again. If it happens again, tell us the number below.",
    "/customer/dashboard/",
    "Go to your dashboard",
)
BROKEN: Final = Message(
    502,
    "Something went wrong on our side",
    "A part of the portal sent a response that we cannot show.",
    "Please try again. If it happens again, tell us the number below.",
    "/customer/dashboard/",
    "Go to your dashboard",
)
TOO_LONG: Final = Message(
    414,
    "This address is too long",
    "No page of this portal has an address as long as the one you followed.",
    "Start again from your dashboard.",
    "/customer/dashboard/",
    "Go to your dashboard",
)
LATE: Final = Message(
    408,
    "That took too long to arrive",
    "The form did not reach us in time. Nothing was changed.",
    "Check your connection and send it once more.",
)
NOT_FROM_HERE: Final = Message(
    403,
    "This form has expired",
    "We could not tell that the request came from a page of this portal, so nothing was changed.",
    "Cookies must be allowed for this site. Go back, load the page again, and send it once more.",
    "/accounts/login/",
    "Go to sign-in",
)
BAD_REQUEST: Final = Message(
    400,
    "This request cannot be read",
    "It is not one that a browser of this portal would send.",
    "Check the address, or start again from the first page.",
)
TOO_MANY: Final = Message(
    429,
    "Too many requests",
    "There were more requests from you or from your address than the portal accepts.",
    "Please wait a moment and try again.",
    "/customer/dashboard/",
    "Try again",
)
TOO_LARGE: Final = Message(
    413,
    "That is too large",
    "The form holds more than we accept. Nothing was changed.",
    "Please send less.",
)


class Pages:
    """The rendered pages and the static files that they use."""

    def __init__(self) -> None:
        self.files = _load_files()
        self._environment = Environment(
            loader=FileSystemLoader(_WEB / "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["static"] = {
            name.split(".")[0]: STATIC_PATH + name for name in self.files
        }

    def message(self, message: Message, request_id: str, *headers: tuple[bytes, bytes]) -> Answer:
        """Return a page that shows a message."""
        return self._page("message.html", message.status, headers, message=message, id=request_id)

    def no_profile(self, request_id: str, token: str, *headers: tuple[bytes, bytes]) -> Answer:
        """Return the page of a user without a customer; it has a button to sign out."""
        return self._page(
            "message.html", 404, headers, message=NO_PROFILE, id=request_id, sign_out_token=token
        )

    def sign_in(
        self,
        *,
        token: str,
        next_address: str,
        username: str = "",
        error: str = "",
        notice: str = "",
        kept: Sequence[tuple[str, str]] = (),
        status: int = 200,
        headers: Headers,
    ) -> Answer:
        """Return the sign-in form, with the error of the last attempt.

        `kept` are hidden fields of the form: they hold the content of an interrupted form.
        """
        return self._page(
            "sign_in.html",
            status,
            headers,
            token=token,
            next_address=next_address,
            username=username,
            error=error,
            notice=notice,
            kept=kept,
        )

    def _page(
        self, template: str, status: int, headers: Headers | tuple[tuple[bytes, bytes], ...],
        **context: object,
    ) -> Answer:  # fmt: skip
        html = self._environment.get_template(template).render(**context)
        kept = any(name == b"cache-control" for name, _ in headers)
        return Answer(status, [HTML, *([] if kept else [NO_STORE]), *headers], html.encode())


def _load_files() -> dict[str, StaticFile]:
    files = {}
    for path in sorted((_WEB / "static").iterdir()):
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()[:12]
        headers = [
            (b"content-type", _TYPES[path.suffix]),
            (b"cache-control", b"public, max-age=31536000, immutable"),
            (b"etag", f'"{digest}"'.encode()),
        ]
        files[f"{path.stem}.{digest}{path.suffix}"] = StaticFile(headers, body)
    return files
