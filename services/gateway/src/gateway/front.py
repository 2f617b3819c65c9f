"""The order in which a request is judged; it is the order in which Django judged it.

Host, path, closing slash, route, CSRF, session, method, rate, customer; and only then a service.
Everything after a refusal is not reached. An error of ours is never "anonymous" and never a 200.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from gateway import answers, csrf, pages, redirects
from gateway.access_log import AccessLog
from gateway.answers import VARY_COOKIE, Answer, Headers, RefusedError
from gateway.downloads import Downloads
from gateway.form_posts import FormPosts, Sent
from gateway.forms import Fields
from gateway.limits import RequestLimits
from gateway.login import Back, Cookies, LoginPages
from gateway.metrics import REFUSED, SENT_TO_LOGIN
from gateway.out import Out
from gateway.pages import Pages
from gateway.proxy import BadQueryError, Calls, LongAnswer, Proxy, ServiceRefusedError
from gateway.refusals import RefusalAnswers, not_allowed, rate_headers
from gateway.request import (
    MAX_QUERY,
    BodyLateError,
    BodyTooLargeError,
    ClientGoneError,
    Hosts,
    MalformedError,
    Peers,
    Request,
)
from gateway.routes import (
    KNOWN_METHODS,
    SAFE_METHODS,
    BadPathError,
    Kind,
    Place,
    Refusals,
    Route,
    RouteTable,
    Who,
    canonical,
)
from gateway.sessions import SessionAnswers
from gateway.store import Visitor
from gateway.streams import Streams
from gateway.visitor import StoreAwayError, Visitors
from portal_access.token import HEADER as TOKEN_HEADER
from service_runtime.logs import get
from service_runtime.postgres import is_infrastructure

_GONE: Final = 499
_TOKEN: Final = TOKEN_HEADER.lower().encode()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the front asks."""

    table: RouteTable
    hosts: Hosts
    peers: Peers
    visitors: Visitors
    limits: RequestLimits | None
    login: LoginPages
    sessions: SessionAnswers
    calls: Calls
    proxy: Proxy
    forms: FormPosts
    downloads: Downloads
    streams: Streams
    pages: Pages
    cookies: Cookies
    log: AccessLog
    new_id: Callable[[], str]


class _Asked:
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


class Front:
    """The gateway as an ASGI application."""

    def __init__(self, parts: Parts, *, https: bool) -> None:
        self._parts = parts
        self._scheme = "https" if https else "http"
        self._always = answers.security_headers(https=https)
        self._refusals = RefusalAnswers(parts.pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = self._parts.new_id()
        out = Out(send, (*self._always, (b"x-request-id", request_id.encode())))
        asked: _Asked | None = None
        try:
            request = Request(scope, receive, request_id)
            asked = _Asked(request)
            await self._answer(asked, out)
        except MalformedError as error:
            REFUSED.labels("malformed").inc()
            await out.whole(self._refusals.bad_request(request_id, error.status))
        except ClientGoneError:
            out.status = _GONE
        except Exception as error:  # noqa: BLE001 - the last resort: no traceback leaves
            get().error("bug", request_id=request_id, exc_info=error)
            if not out.begun:
                await out.whole(self._refusals.told(_shape(asked), answers.FAULT, request_id))
        finally:
            self._note(scope, asked, out, request_id, time.perf_counter() - started)

    def _note(
        self, scope: Scope, asked: _Asked | None, out: Out, request_id: str, seconds: float
    ) -> None:
        place = None if asked is None else asked.place
        visitor = None if asked is None else asked.visitor
        method: str = scope["method"]
        self._parts.log.note(
            method=method if method in KNOWN_METHODS else "OTHER",
            route="none" if place is None else place.name_for(method),
            status=out.status,
            seconds=seconds,
            request_id=request_id,
            peer="" if asked is None else asked.peer,
            user_id=None if visitor is None else visitor.user_id,
            customer_id=None if visitor is None else visitor.customer_id,
        )

    async def _answer(self, asked: _Asked, out: Out) -> None:
        try:
            answer = await self._judge(asked, out)
        except RefusedError as refused:
            answer = refused.answer
        except (StoreAwayError, BodyTooLargeError, BodyLateError, ServiceRefusedError) as error:
            answer = self._refusals.of_error(_shape(asked), error, asked.id)
        if isinstance(answer, LongAnswer):
            await out.long(
                answer,
                asked.headers,
                body=asked.request.method != "HEAD",
                gone=asked.request.gone(),
            )
        elif answer is not None:
            await out.whole(answer, asked.headers, body=asked.request.method != "HEAD")

    async def _judge(self, asked: _Asked, out: Out) -> Answer | LongAnswer | None:
        request = asked.request
        asked.host = self._host(asked)
        place = asked.place = self._place(asked)
        if request.method not in SAFE_METHODS:
            await self._check_csrf(asked, place)
        if place.any_route.who is Who.CUSTOMER:
            asked.visitor = await self._visitor(asked, place)
        route = place.routes.get(request.method)
        if route is None:
            raise RefusedError(not_allowed(place))
        if route.kind is Kind.PAGE:
            return await self._own_page(asked, route)
        if asked.visitor is not None:
            await self._check_rate(asked, asked.visitor)
            self._check_customer(asked, asked.visitor, route)
        return await self._pass_on(asked, route, out)

    def _host(self, asked: _Asked) -> str:
        parts = self._parts
        host = parts.hosts.accept(asked.request.fields.get(b"host"))
        asked.peer = parts.peers.client_of(asked.request)
        if _TOKEN in asked.request.fields:  # it goes no further; but somebody is trying
            REFUSED.labels("identity-header").inc()
            get().warning("identity-header-from-outside", request_id=asked.id, peer=asked.peer)
        if host is None:
            REFUSED.labels("host").inc()
            raise RefusedError(self._refusals.bad_request(asked.id, 400))
        if len(asked.request.query) > MAX_QUERY:
            raise RefusedError(self._refusals.bad_request(asked.id, 414))
        return host

    def _place(self, asked: _Asked) -> Place:
        request, table = asked.request, self._parts.table
        place = table.at_once(request.raw_path)
        if place is not None:
            asked.path = place.any_route.path
        else:
            place = self._place_of_decoded(asked)
        if request.method not in KNOWN_METHODS:
            raise RefusedError(not_allowed(place))
        return place

    def _place_of_decoded(self, asked: _Asked) -> Place:
        try:
            path = canonical(asked.request.raw_path)
        except BadPathError:
            REFUSED.labels("path").inc()
            raise RefusedError(self._refusals.bad_request(asked.id, 400)) from None
        place = None if path is None else self._parts.table.find(path)
        if path is None or place is None:
            if path is not None and self._parts.table.lacks_slash(path):
                location = redirects.slashed_location(path, _text(asked.request.query))
                raise RefusedError(answers.redirect(301, location))
            REFUSED.labels("no-route").inc()
            raise RefusedError(self._parts.pages.message(pages.NOT_FOUND, asked.id))
        asked.path = path
        return place

    async def _check_csrf(self, asked: _Asked, place: Place) -> None:
        request = asked.request
        reason = csrf.refusal_of_origin(
            own=f"{self._scheme}://{asked.host}",
            origin=request.text(b"origin"),
            referer=request.text(b"referer"),
            fetch_site=request.text(b"sec-fetch-site"),
        )
        if reason is None:
            route = place.routes.get(request.method)
            form = await request.form(route.body_bytes) if route and route.body_bytes else {}
            token = form.get(csrf.FIELD) or request.text(csrf.HEADER)
            if csrf.same(request.csrf_cookie(), token):
                return
            reason = "its token is missing or wrong"
        REFUSED.labels("csrf").inc()
        get().info("csrf-refused", request_id=asked.id, peer=asked.peer, reason=reason)
        raise RefusedError(self._refusals.told(_shape(asked), answers.NOT_FROM_HERE, asked.id))

    async def _visitor(self, asked: _Asked, place: Place) -> Visitor:
        cookie = asked.request.session_cookie()
        if cookie.value is not None:
            visitor = await self._parts.visitors.find(cookie.value)
            if visitor is not None:
                return visitor
        SENT_TO_LOGIN.inc()
        route = place.routes.get(asked.request.method)
        if route is not None and route.kind is Kind.FORM:
            raise RefusedError(await self._sign_in_first(asked, route))
        location = redirects.login_location(asked.path, _text(asked.request.query))
        if len(location) > redirects.MAX_LOCATION:
            raise RefusedError(self._refusals.bad_request(asked.id, 400))
        taken_back = [answers.DELETE_SESSION_COOKIE] if cookie.present else []
        raise RefusedError(answers.redirect(302, location, VARY_COOKIE, *taken_back))

    async def _sign_in_first(self, asked: _Asked, route: Route) -> Answer:
        """Return the sign-in page that keeps what was typed into a form of this row."""
        fields = Fields(await asked.request.fields_of_form(route.body_bytes))
        address = redirects.target(asked.path, _text(asked.request.query))
        return self._parts.login.in_the_midst(asked.request, address, fields.typed)

    async def _check_rate(self, asked: _Asked, visitor: Visitor) -> None:
        limits = self._parts.limits
        if limits is None:
            return
        verdict = await limits.check(visitor.session, visitor.customer_id)
        asked.headers += rate_headers(verdict)
        if not verdict.allowed:
            wait = answers.retry_after(verdict.reset_after)
            raise RefusedError(
                self._refusals.told(_shape(asked), answers.TOO_MANY, asked.id, [wait])
            )

    def _check_customer(self, asked: _Asked, visitor: Visitor, route: Route) -> None:
        # A script that polls, and a stream, are no sign that anybody is there.
        if route.kind is not Kind.STREAM and b"x-background" not in asked.request.fields:
            self._parts.visitors.used(visitor)
        if visitor.customer_id is not None:
            return
        if route.refusals is not Refusals.PAGE:
            raise RefusedError(answers.NO_PROFILE.as_json(route.refusals, asked.id))
        token = self._csrf_token(asked)
        raise RefusedError(self._parts.pages.no_profile(asked.id, token, VARY_COOKIE))

    async def _own_page(self, asked: _Asked, route: Route) -> Answer:
        parts, request = self._parts, asked.request
        try:
            if asked.visitor is not None:
                prolong = request.method == "POST"
                return await parts.sessions.answer(asked.visitor, prolong=prolong)
            answer = await parts.login.answer(route.to, request, host=asked.host, peer=asked.peer)
            return await self._back(asked, answer) if isinstance(answer, Back) else answer
        except Exception as error:
            if is_infrastructure(error):
                raise StoreAwayError(repr(error)) from error
            raise

    async def _back(self, asked: _Asked, back: Back) -> Answer:
        """Return the form that a sign-in interrupted, or the way to it if it is none of ours."""
        path, _, query = back.address.partition("?")
        place = self._parts.table.find(path)
        route = place.routes.get("POST") if place is not None else None
        visitor = await self._parts.visitors.find(back.session_id.encode())
        if (
            route is None
            or route.kind is not Kind.FORM
            or visitor is None
            or visitor.customer_id is None
        ):
            return back.answer
        asked.path, asked.visitor = path, visitor
        token = csrf.mask(back.csrf_secret)
        sent = Sent(asked.request, route, path, visitor, asked.peer, query.encode(), token)
        answer = await self._parts.forms.again(sent, back.typed)
        cookies = [header for header in back.answer.headers if header[0] == b"set-cookie"]
        return Answer(answer.status, [*answer.headers, *cookies], answer.body)

    async def _form(self, asked: _Asked, route: Route, visitor: Visitor) -> Answer:
        request = asked.request
        token = self._csrf_token(asked)
        sent = Sent(request, route, asked.path, visitor, asked.peer, request.query, token)
        try:
            return await self._parts.forms.answer(sent)
        except BadQueryError:
            raise RefusedError(self._refusals.bad_request(asked.id, 400)) from None

    async def _pass_on(self, asked: _Asked, route: Route, out: Out) -> Answer | LongAnswer | None:
        parts, visitor = self._parts, asked.visitor
        if route.kind is Kind.FORM and visitor is not None:
            return await self._form(asked, route, visitor)
        body = await asked.request.body(route.body_bytes) if route.body_bytes else None
        token = self._csrf_token(asked) if route.csrf_token_sent else None
        try:
            call = parts.calls.build(
                asked.request,
                route,
                asked.path,
                visitor,
                peer=asked.peer,
                csrf_token=token,
                body=body,
            )
        except BadQueryError:
            raise RefusedError(self._refusals.bad_request(asked.id, 400)) from None
        if route.kind is Kind.STREAM and visitor is not None:
            headers = [*asked.headers, *out.always]
            out.begun = True
            try:
                out.status = await parts.streams.relay(
                    asked.request, route, visitor, call, send=out.send, headers=headers
                )
            except ServiceRefusedError:
                out.begun = False
                raise
            return None
        if route.kind is Kind.DOWNLOAD and visitor is not None:
            return await parts.downloads.forward(visitor, call, route)
        return await parts.proxy.forward(call, route)

    def _csrf_token(self, asked: _Asked) -> str:
        """Return a token for a page, and see that the browser has the cookie that it belongs to."""
        secret = csrf.unmask(asked.request.csrf_cookie() or "") or csrf.new_secret()
        asked.headers.append(self._parts.cookies.csrf(secret))
        return csrf.mask(secret)


def _shape(asked: _Asked | None) -> Refusals:
    """Return in which shape a request is refused: as its place says, else as a page."""
    place = None if asked is None else asked.place
    return Refusals.PAGE if place is None else place.any_route.refusals


def _text(query: bytes) -> str:
    return query.decode("latin-1")


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":  # there is none here
        await send({"type": "websocket.close", "code": 1008})
        return
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
