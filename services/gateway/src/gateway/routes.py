"""The route table: the portal's paths, their visitors, and the headers that pass each way.

A row is one kind of request. A request without a row is rejected; no pattern lets anything else
through. A path is compared as it was sent, or decoded once, and is never normalised. This module is
pure and decides nothing about sessions.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import unquote_to_bytes

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
KNOWN_METHODS: Final = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}

KIB: Final = 1024
LOGIN_PATH: Final = "/accounts/login/"
LOGOUT_PATH: Final = "/accounts/logout/"
SESSION_PATH: Final = "/accounts/session/"
HOME_PATH: Final = "/customer/dashboard/"


class Who(Enum):
    """The visitors that a row accepts."""

    ANYONE = "anyone"
    CUSTOMER = "customer"


class Kind(Enum):
    """The way in which a request of a row is handled."""

    PAGE = "page"  # by the gateway itself
    CALL = "call"  # by a service, within seconds
    STREAM = "stream"  # by a service, for as long as the reader stays
    DOWNLOAD = "download"  # by a service, for minutes
    FORM = "form"  # by a service, and then by the page of the form


class Refusals(Enum):
    """The format of the gateway's own refusals for a row."""

    DOCUMENTED = "documented"  # {"error": ...}, as in the portal's document
    PROBLEM = "problem"  # RFC 9457
    PAGE = "page"  # HTML for a person


def _names(*names: str) -> frozenset[bytes]:
    return frozenset(name.lower().encode() for name in names)


READ_SENT: Final = _names(
    "Accept", "Accept-Language", "If-None-Match", "Portal-Min-Revision", "Portal-Refold"
)
COMMAND_SENT: Final = _names(
    "Accept", "Accept-Language", "Content-Type", "If-Match", "Idempotency-Key"
)
STREAM_SENT: Final = _names("Accept", "Last-Event-ID", "Portal-Min-Revision", "Portal-Refold")
STATIC_SENT: Final = _names("Accept", "Accept-Encoding", "If-None-Match")

_ALWAYS_RETURNED: Final = ("Content-Type", "Cache-Control", "Retry-After")
_PORTAL: Final = ("Portal-Revision", "Portal-Refold", "Portal-As-Of", "Portal-Lag")
READ_RETURNED: Final = _names(*_ALWAYS_RETURNED, "ETag", "Content-Disposition", *_PORTAL)
#: A page has no ETag: it holds a token, and its visitors can change while its counts do not.
PAGE_RETURNED: Final = _names(*_ALWAYS_RETURNED, *_PORTAL)
COMMAND_RETURNED: Final = _names(
    *_ALWAYS_RETURNED, "ETag", "Location", "Idempotent-Replayed", *_PORTAL
)
STREAM_RETURNED: Final = _names(*_ALWAYS_RETURNED, *_PORTAL)
STATIC_RETURNED: Final = _names(
    *_ALWAYS_RETURNED, "ETag", "Last-Modified", "Content-Encoding", "Vary"
)


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table.

    `to` is the name of a service, or of a page of the gateway itself. `sent` and `returned` are the
    headers that pass, in lower case. `body_bytes` bounds what a client may send. `seconds` bounds a
    service's whole response.
    """

    name: str
    methods: tuple[str, ...]
    path: str
    who: Who
    kind: Kind
    to: str
    sent: frozenset[bytes] = frozenset()
    returned: frozenset[bytes] = frozenset()
    refusals: Refusals = Refusals.PAGE
    query_passed: bool = False
    csrf_token_sent: bool = False
    body_bytes: int = 0
    seconds: float = 10.0


def _page(name: str, methods: tuple[str, ...], path: str, to: str, body_bytes: int = 0) -> Route:
    return Route(name, methods, path, Who.ANYONE, Kind.PAGE, to, body_bytes=body_bytes)


def _read(
    name: str,
    path: str,
    refusals: Refusals,
    *,
    query_passed: bool = False,
    csrf_token_sent: bool = False,
) -> Route:
    return Route(
        name,
        ("GET", "HEAD"),
        path,
        Who.CUSTOMER,
        Kind.CALL,
        "query",
        READ_SENT,
        PAGE_RETURNED if refusals is Refusals.PAGE else READ_RETURNED,
        refusals,
        query_passed=query_passed,
        csrf_token_sent=csrf_token_sent,
    )


def _customer_page(name: str, path: str) -> Route:
    return _read(name, path, Refusals.PAGE, query_passed=True, csrf_token_sent=True)


def _form(name: str, path: str) -> Route:
    return Route(
        name,
        ("POST",),
        path,
        Who.CUSTOMER,
        Kind.FORM,
        "writer",
        body_bytes=64 * KIB,
        query_passed=True,
    )


def _session(name: str, *methods: str, body_bytes: int = 0) -> Route:
    return Route(
        name,
        methods,
        SESSION_PATH,
        Who.CUSTOMER,
        Kind.PAGE,
        "session",
        refusals=Refusals.PROBLEM,
        body_bytes=body_bytes,
    )


def _command(name: str, method: str, path: str) -> Route:
    return Route(
        name,
        (method,),
        path,
        Who.CUSTOMER,
        Kind.CALL,
        "writer",
        COMMAND_SENT,
        COMMAND_RETURNED,
        Refusals.PROBLEM,
        body_bytes=256 * KIB,
    )


_API: Final = "/customer/api"
#: Below it, a refusal before the place is found is an RFC 9457 problem, for a program.
API_PATH: Final = f"{_API}/".encode()

ROUTES: Final = (
    _page("root", ("GET", "HEAD"), "/", "home"),
    _page("customer", ("GET", "HEAD"), "/customer/", "home"),
    # The content of a form whose session has ended comes back through the sign-in.
    _page("login", ("GET", "HEAD", "POST", "PUT", "OPTIONS"), LOGIN_PATH, "login", 80 * KIB),
    _page("logout", ("POST", "OPTIONS"), LOGOUT_PATH, "logout", 16 * KIB),
    _session("session", "GET", "HEAD"),
    _session("prolong-session", "POST", body_bytes=KIB),
    _page("own-static", ("GET", "HEAD"), "/static/gateway/{file}", "static"),
    Route(
        "portal-static",
        ("GET", "HEAD"),
        "/static/portal/{file}",
        Who.ANYONE,
        Kind.CALL,
        "query",
        STATIC_SENT,
        STATIC_RETURNED,
    ),
    _customer_page("dashboard", HOME_PATH),
    _customer_page("repairs-page", "/customer/repairs/"),
    _customer_page("request-page", "/customer/repairs/new/"),
    _customer_page("repair-page", "/customer/repairs/{id}/"),
    _customer_page("units-page", "/customer/units/"),
    _customer_page("profile-page", "/customer/profile/"),
    _customer_page("documentation", f"{_API}/docs/"),
    # The two endpoints of the portal's document: they ignore any query string.
    _read("unit-repair-data", f"{_API}/unit-repair-data/", Refusals.DOCUMENTED),
    _read("repair-cost-data", f"{_API}/repair-cost-data/", Refusals.DOCUMENTED),
    _read("repair-status-data", f"{_API}/repair-status-data/", Refusals.PROBLEM),
    _read("repairs", f"{_API}/repairs/", Refusals.PROBLEM, query_passed=True),
    Route(
        "export",
        ("GET", "HEAD"),
        f"{_API}/repairs/export.csv",
        Who.CUSTOMER,
        Kind.DOWNLOAD,
        "query",
        READ_SENT,
        READ_RETURNED,
        Refusals.PROBLEM,
        query_passed=True,
        seconds=60.0,
    ),
    _read("repair", f"{_API}/repairs/{{id}}/", Refusals.PROBLEM),
    _read("figures", f"{_API}/figures/", Refusals.PROBLEM),
    _read("units", f"{_API}/units/", Refusals.PROBLEM, query_passed=True),
    _read("profile", f"{_API}/profile/", Refusals.PROBLEM),
    _read("openapi", f"{_API}/openapi.json", Refusals.PROBLEM),
    Route(
        "events",
        ("GET",),
        f"{_API}/events/",
        Who.CUSTOMER,
        Kind.STREAM,
        "query",
        STREAM_SENT,
        STREAM_RETURNED,
        Refusals.PROBLEM,
        query_passed=True,
    ),
    _form("decide-repairs-form", "/customer/repairs/"),
    _form("request-form", "/customer/repairs/new/"),
    _form("decide-repair-form", "/customer/repairs/{id}/"),
    _form("profile-form", "/customer/profile/"),
    _command("request-repair", "POST", f"{_API}/repairs/"),
    _command("decide-repairs", "POST", f"{_API}/repairs/status/"),
    _command("decide-repair", "POST", f"{_API}/repairs/{{id}}/status/"),
    _command("change-profile", "PATCH", f"{_API}/profile/"),
)


class BadPathError(ValueError):
    """An error for a path that no browser sends: 400, before any lookup."""


#: `{id}` is one segment with the characters of an identifier; `{file}` is a file name, with
#: folders.
_PLACEHOLDERS: Final = {
    "{id}": r"[A-Za-z0-9_-]{1,64}",
    "{file}": r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*",
}
MAX_PATH: Final = 2_048
_RAW: Final = re.compile(rb"/(?:[!-$&-~]|%[0-9A-Fa-f]{2})*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: Texts that the gateway and a service could read as different paths.
_AMBIGUOUS: Final = re.compile(r"//|/\.{1,2}(?:/|$)|[;\\%]")


def canonical(raw: bytes) -> str | None:
    """Return the path of a request line, decoded once, or None if it is ambiguous.

    Raises BadPathError for bytes that are no path at all.
    """
    if len(raw) > MAX_PATH or not _RAW.fullmatch(raw):
        raise BadPathError
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise BadPathError from error
    if _CONTROL.search(path):
        raise BadPathError
    # Only decoding would turn an encoded slash into a slash. Django had no such path either.
    return None if _AMBIGUOUS.search(path) or b"%2f" in raw.lower() else path


class Place:
    """A path of the table with the rows that share it."""

    __slots__ = ("allow", "any_route", "routes")

    def __init__(self, routes: Iterable[Route]) -> None:
        rows = tuple(routes)
        self.routes = {method: row for row in rows for method in row.methods}
        #: The source of what all rows of a path share: the visitors and the format of refusals.
        self.any_route = rows[0]
        self.allow = ", ".join(self.routes)
        if len({(row.who, row.refusals) for row in rows}) != 1:
            raise ValueError(f"rows of {self.any_route.path} differ in who may ask")
        if sum(len(row.methods) for row in rows) != len(self.routes):
            raise ValueError(f"two rows of {self.any_route.path} take the same method")

    def name_for(self, method: str) -> str:
        """Return the name that metrics and logs use for a request."""
        return self.routes.get(method, self.any_route).name


class RouteTable:
    """The lookup of a path's place; other paths have no place."""

    def __init__(self, routes: Iterable[Route] = ROUTES) -> None:
        by_path: dict[str, list[Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, []).append(route)
        places = {path: Place(rows) for path, rows in by_path.items()}
        self._exact = {path: place for path, place in places.items() if "{" not in path}
        self._raw = {path.encode(): place for path, place in self._exact.items()}
        self._patterns = [(_pattern(path), place) for path, place in places.items() if "{" in path]

    def at_once(self, raw: bytes) -> Place | None:
        """Return the place whose path was sent byte for byte.

        With None the path must be decoded, and `find` decides.
        """
        return self._raw.get(raw)

    def find(self, path: str) -> Place | None:
        """Return the place of a canonical path, or None."""
        place = self._exact.get(path)
        if place is not None:
            return place
        for pattern, candidate in self._patterns:
            if pattern.fullmatch(path):
                return candidate
        return None

    def lacks_slash(self, path: str) -> bool:
        """Return whether the path with a closing slash, and only then, is in the table."""
        return (
            not path.endswith("/") and self.find(path) is None and self.find(path + "/") is not None
        )


def _pattern(path: str) -> re.Pattern[str]:
    text = re.escape(path)
    for placeholder, expression in _PLACEHOLDERS.items():
        text = text.replace(re.escape(placeholder), expression)
    return re.compile(text)
