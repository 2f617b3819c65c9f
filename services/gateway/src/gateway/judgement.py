"""Whether a request may go on, in the order in which Django judged it; each step may end it.

Host, path, closing slash, CSRF, session, rate, customer. Everything after a refusal is not reached.
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
    """One request on its way, and what has been found out about it."""

    __slots__ = ("headers", "host", "id", "path", "peer", "place", "request", "visitor")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.id = request.id
        self.host = ""
        self.path = ""
        self.peer = request.peer
        self.place: Place | None = None
        self.visitor: Visitor | None = None
        #: What goes on the answer whatever it is, such as a cookie or the state of a limit.
        self.headers: Headers = []


@dataclass(frozen=True, slots=True)
class Judge:
    """Takes a request through the steps; each notes on it what it has found out."""

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
        """Return the host that was asked for, if it is ours; note where the request came from."""
        host = self.hosts.accept(asked.request.fields.get(b"host"))
        asked.peer = self.peers.client_of(asked.request)
        if _TOKEN in asked.request.fields:  # it goes no further; but somebody is trying
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
        """Return the place of the path, if there is one and the method is one at all."""
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
        """Refuse a change that no page of ours has sent."""
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
        """Return the visitor who sent an own form that was refused for its token; None if not so.

        It comes from a page of ours and its token was made for this visitor, but the cookie has
        become another one, mostly by a sign-in in another tab. It may be shown again, no more.
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
        """Return who asks; whoever has no session is sent to sign in."""
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

        All are asked for in the same moment, hence by one reading of the store.
        """
        if len(cookies.ids) == 1:
            return await self.visitors.find(cookies.ids[0])
        found = await asyncio.gather(*(self.visitors.find(one) for one in cookies.ids))
        return next((visitor for visitor in found if visitor is not None), None)

    async def _sign_in_first(self, asked: Asked, route: Route) -> Answer:
        """Return the sign-in page that keeps what was typed into a form of this row."""
        fields = Fields(await asked.request.fields_of_form(route.body_bytes))
        address = redirects.target(asked.path, text_of(asked.request.query))
        return self.login.in_the_midst(asked.request, address, fields.typed)

    async def check_rate(self, asked: Asked, visitor: Visitor) -> None:
        """Refuse more requests than an operator allows."""
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
        """Note that the session is used; refuse who acts for no customer."""
        # A script that polls, and a stream, are no sign that anybody is there.
        if route.kind is not Kind.STREAM and b"x-background" not in asked.request.fields:
            self.visitors.used(visitor)
        if visitor.customer_id is not None:
            return
        if route.refusals is not Refusals.PAGE:
            raise RefusedError(answers.NO_PROFILE.as_json(route.refusals, asked.id))
        token = self.csrf_token(asked, visitor)
        raise RefusedError(self.pages.no_profile(asked.id, token, VARY_COOKIE))

    def csrf_token(self, asked: Asked, visitor: Visitor) -> str:
        """Return a token for the visitor's page; the browser gets the cookie that it belongs to.

        A secret of somebody else, as an answer on its way during a sign-in may have left behind,
        is replaced: what comes from a page must be known for what its visitor typed.
        """
        brought = (csrf.unmask(cookie) for cookie in asked.request.csrf_cookies())
        own = (one for one in brought if one and self.secrets.is_of(one, visitor.user_id))
        secret = next(own, None) or self.secrets.new(visitor.user_id)
        asked.headers.append(self.cookies.csrf(secret))
        return csrf.mask(secret)


def shape_of(asked: Asked | None) -> Refusals:
    """Return in which shape a request is refused: as its place says, else as a page."""
    place = None if asked is None else asked.place
    return Refusals.PAGE if place is None else place.any_route.refusals


def text_of(query: bytes) -> str:
    """Return a query string as the text that addresses are made of."""
    return query.decode("latin-1")
