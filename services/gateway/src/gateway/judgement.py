"""The checks of a request, in Django's order; each of them may end it.

The order is host, path, closing slash, CSRF, session, rate, customer. A refusal skips the rest.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway import answers, csrf, pages, redirects
from gateway.answers import VARY_COOKIE, Answer, Headers, RefusedError
from gateway.forms import Fields
from gateway.limits import RequestLimits
from gateway.login import Cookies, LoginPages
from gateway.metrics import REFUSED, SENT_TO_LOGIN
from gateway.pages import Pages
from gateway.refusals import RefusalAnswers, not_allowed, rate_headers
from gateway.request import MAX_QUERY, Hosts, Peers, Request, SessionCookies
from gateway.routes import (
    API_PATH,
    KNOWN_METHODS,
    MAX_PATH,
    BadPathError,
    Kind,
    Place,
    Refusals,
    Route,
    RouteTable,
    canonical,
)
from gateway.store import Visitor
from gateway.visitor import Visitors
from portal_access.token import HEADER as TOKEN_HEADER
from service_runtime.logs import get

_TOKEN: Final = TOKEN_HEADER.lower().encode()


class Asked:
    """A request in progress, with the results of its checks."""

    __slots__ = ("headers", "host", "id", "path", "peer", "place", "request", "visitor")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.id = request.id
        self.host = ""
        self.path = ""
        self.peer = request.peer
        self.place: Place | None = None
        self.visitor: Visitor | None = None
        #: The headers of every response to this request, such as a cookie or the state of a limit.
        self.headers: Headers = []


@dataclass(frozen=True, slots=True)
class Judge:
    """The checks of a request; each stores its result on the request.

    A check that refuses a request raises RefusedError with the response.
    """

    table: RouteTable
    hosts: Hosts
    peers: Peers
    visitors: Visitors
    limits: RequestLimits | None
    login: LoginPages
    pages: Pages
    cookies: Cookies
    secrets: csrf.UserSecrets
    refusals: RefusalAnswers
    scheme: str

    def host(self, asked: Asked) -> str:
        """Return the requested host, if it is allowed; store the client's address.

        Another host is refused with 400, an address that is too long with 414.
        """
        host = self.hosts.accept(asked.request.fields.get(b"host"))
        asked.peer = self.peers.client_of(asked.request)
        if _TOKEN in asked.request.fields:  # it is never forwarded, but it may be an attack
            REFUSED.labels("identity-header").inc()
            get().warning("identity-header-from-outside", request_id=asked.id, peer=asked.peer)
        if host is None:
            REFUSED.labels("host").inc()
            raise RefusedError(self.refusals.bad_request(asked.id, 400))
        if len(asked.request.query) > MAX_QUERY or len(asked.request.raw_path) > MAX_PATH:
            shape = self._shape_of_raw(asked.request.raw_path)
            raise RefusedError(self.refusals.told(shape, answers.TOO_LONG, asked.id))
        return host

    def _shape_of_raw(self, path: bytes) -> Refusals:
        place = self.table.at_once(path)
        if place is not None:
            return place.any_route.refusals
        return Refusals.PROBLEM if path.startswith(API_PATH) else Refusals.PAGE

    def place(self, asked: Asked) -> Place:
        """Return the place of the path, if the path exists and the method is a known one."""
        request, table = asked.request, self.table
        place = table.at_once(request.raw_path)
        if place is not None:
            asked.path = place.any_route.path
        else:
            place = self._place_of_decoded(asked)
        if request.method not in KNOWN_METHODS:
            raise RefusedError(not_allowed(place))
        return place

    def _place_of_decoded(self, asked: Asked) -> Place:
        try:
            path = canonical(asked.request.raw_path)
        except BadPathError:
            REFUSED.labels("path").inc()
            raise RefusedError(self.refusals.bad_request(asked.id, 400)) from None
        place = None if path is None else self.table.find(path)
        if path is None or place is None:
            if path is not None and self.table.lacks_slash(path):
                location = redirects.slashed_location(path, text_of(asked.request.query))
                raise RefusedError(answers.redirect(301, location))
            REFUSED.labels("no-route").inc()
            raise RefusedError(self.pages.message(pages.NOT_FOUND, asked.id))
        asked.path = path
        return place

    async def check_csrf(self, asked: Asked, place: Place) -> None:
        """Refuse a change that no page of the portal has sent."""
        request = asked.request
        reason = self._refusal_of_origin(asked)
        if reason is None:
            route = place.routes.get(request.method)
            form = await request.form(route.body_bytes) if route and route.body_bytes else {}
            token = form.get(csrf.FIELD) or request.text(csrf.HEADER)
            if csrf.is_of_one(request.csrf_cookies(), token):
                return
            reason = "its token is missing or wrong"
        REFUSED.labels("csrf").inc()
        get().info("csrf-refused", request_id=asked.id, peer=asked.peer, reason=reason)
        raise RefusedError(self.refusals.told(shape_of(asked), answers.NOT_FROM_HERE, asked.id))

    def _refusal_of_origin(self, asked: Asked) -> str | None:
        request = asked.request
        return csrf.refusal_of_origin(
            own=f"{self.scheme}://{asked.host}",
            origin=request.text(b"origin"),
            referer=request.text(b"referer"),
            fetch_site=request.text(b"sec-fetch-site"),
        )

    async def visitor_of_old_form(self, asked: Asked, place: Place) -> Visitor | None:
        """Return the visitor of a form that was rejected only for its token; otherwise None.

        The form comes from a page of the portal, and its token was made for this visitor. Only the
        cookie has changed, mostly by a sign-in in another tab. Its values may be shown again, and
        nothing more.
        """
        request, route = asked.request, place.routes.get(asked.request.method)
        if route is None or route.kind is not Kind.FORM:
            return None
        if self._refusal_of_origin(asked) is not None:
            return None
        secret = csrf.unmask((await request.form(route.body_bytes)).get(csrf.FIELD, ""))
        visitor = await self._visitor_of(request.session_cookies())
        if visitor is None or visitor.customer_id is None:
            return None
        return visitor if self.secrets.is_of(secret, visitor.user_id) else None

    async def visitor(self, asked: Asked, place: Place) -> Visitor:
        """Return the visitor of the request's session; refuse a request without one.

        A form gets the sign-in page, which carries its values. Other requests are redirected to the
        sign-in.
        """
        cookies = asked.request.session_cookies()
        visitor = await self._visitor_of(cookies)
        if visitor is not None:
            return visitor
        SENT_TO_LOGIN.inc()
        route = place.routes.get(asked.request.method)
        if route is not None and route.kind is Kind.FORM:
            raise RefusedError(await self._sign_in_first(asked, route))
        location = redirects.login_location(asked.path, text_of(asked.request.query))
        if len(location) > redirects.MAX_LOCATION:
            raise RefusedError(self.refusals.bad_request(asked.id, 400))
        taken_back = answers.delete_cookies(cookies.names)
        raise RefusedError(answers.redirect(302, location, VARY_COOKIE, *taken_back))

    async def _visitor_of(self, cookies: SessionCookies) -> Visitor | None:
        """Return the visitor of the first cookie that names a live session.

        All lookups begin in the same moment, so they share one read of the store.
        """
        if len(cookies.ids) == 1:
            return await self.visitors.find(cookies.ids[0])
        found = await asyncio.gather(*(self.visitors.find(one) for one in cookies.ids))
        return next((visitor for visitor in found if visitor is not None), None)

    async def _sign_in_first(self, asked: Asked, route: Route) -> Answer:
        """Return the sign-in page that carries the values of a form of this row."""
        fields = Fields(await asked.request.fields_of_form(route.body_bytes))
        address = redirects.target(asked.path, text_of(asked.request.query))
        return self.login.in_the_midst(asked.request, address, fields.typed)

    async def check_rate(self, asked: Asked, visitor: Visitor) -> None:
        """Refuse a request beyond the operator's limits."""
        limits = self.limits
        if limits is None:
            return
        verdict = await limits.check(visitor.session, visitor.customer_id)
        asked.headers += rate_headers(verdict)
        if not verdict.allowed:
            wait = answers.retry_after(verdict.reset_after)
            raise RefusedError(
                self.refusals.told(shape_of(asked), answers.TOO_MANY, asked.id, [wait])
            )

    def check_customer(self, asked: Asked, visitor: Visitor, route: Route) -> None:
        """Record the use of the session; refuse a visitor without a customer."""
        # Polling by a script, or a stream, does not show that a person is there.
        if route.kind is not Kind.STREAM and b"x-background" not in asked.request.fields:
            self.visitors.used(visitor)
        if visitor.customer_id is not None:
            return
        if route.refusals is not Refusals.PAGE:
            raise RefusedError(answers.NO_PROFILE.as_json(route.refusals, asked.id))
        token = self.csrf_token(asked, visitor)
        raise RefusedError(self.pages.no_profile(asked.id, token, VARY_COOKIE))

    def csrf_token(self, asked: Asked, visitor: Visitor) -> str:
        """Return a token for the visitor's page; the response sets the cookie that it belongs to.

        A secret of another user is replaced. A late response during a sign-in can leave such a
        secret. The token of a page must identify the user of its form.
        """
        brought = (csrf.unmask(cookie) for cookie in asked.request.csrf_cookies())
        own = (one for one in brought if one and self.secrets.is_of(one, visitor.user_id))
        secret = next(own, None) or self.secrets.new(visitor.user_id)
        asked.headers.append(self.cookies.csrf(secret))
        return csrf.mask(secret)


def shape_of(asked: Asked | None) -> Refusals:
    """Return the format of refusals for a request: that of its place, else a page."""
    place = None if asked is None else asked.place
    return Refusals.PAGE if place is None else place.any_route.refusals


def text_of(query: bytes) -> str:
    """Return a query string as Latin-1 text, as addresses need it."""
    return query.decode("latin-1")
