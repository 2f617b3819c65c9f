"""The gateway as an application: it checks a request and returns a page or a service's response.

A failure of the gateway never counts as "anonymous" and never returns 200.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from gateway import answers, csrf
from gateway.answers import Answer, RefusedError
from gateway.downloads import Downloads
from gateway.form_posts import FormPosts, Sent
from gateway.judgement import Asked, Judge, shape_of
from gateway.login import Back, LoginPages
from gateway.metrics import REFUSED
from gateway.out import Out
from gateway.proxy import BadQueryError, Calls, LongAnswer, Proxy, ServiceRefusedError
from gateway.refusals import RefusalAnswers, not_allowed
from gateway.request import (
    BodyLateError,
    BodyTooLargeError,
    ClientGoneError,
    MalformedError,
    Request,
)
from gateway.routes import (
    KNOWN_METHODS,
    SAFE_METHODS,
    Kind,
    Place,
    Route,
    Who,
)
from gateway.sessions import SessionAnswers
from gateway.store import Visitor
from gateway.streams import Streams
from gateway.visitor import StoreAwayError, StoreBusyError, Visitors
from service_runtime.access_log import AccessLog
from service_runtime.errors import CLIENT_CLOSED
from service_runtime.logs import get
from service_runtime.postgres import is_infrastructure, is_overload


@dataclass(frozen=True, slots=True)
class Parts:
    """The dependencies of the application."""

    judge: Judge
    visitors: Visitors
    login: LoginPages
    sessions: SessionAnswers
    calls: Calls
    proxy: Proxy
    forms: FormPosts
    downloads: Downloads
    streams: Streams
    refusals: RefusalAnswers
    log: AccessLog
    new_id: Callable[[], str]


class Front:
    """The gateway as an ASGI application."""

    def __init__(self, parts: Parts, *, https: bool) -> None:
        self._parts = parts
        self._judge = parts.judge
        self._refusals = parts.refusals
        self._always = answers.security_headers(https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = self._parts.new_id()
        out = Out(send, (*self._always, (b"x-request-id", request_id.encode())))
        asked: Asked | None = None
        try:
            request = Request(scope, receive, request_id)
            asked = Asked(request)
            await self._answer(asked, out)
        except MalformedError as error:
            REFUSED.labels("malformed").inc()
            # After a breach of the framing rules the start of the next request is unknown.
            close = [(b"connection", b"close")]
            await out.whole(self._refusals.bad_request(request_id, error.status), close)
        except ClientGoneError:
            out.status = CLIENT_CLOSED
        except Exception as error:  # noqa: BLE001 - the last resort: no traceback leaves
            get().error("bug", request_id=request_id, exc_info=error)
            if not out.begun:
                await out.whole(self._refusals.told(shape_of(asked), answers.FAULT, request_id))
        finally:
            self._note(scope, asked, out, request_id, time.perf_counter() - started)

    def _note(
        self, scope: Scope, asked: Asked | None, out: Out, request_id: str, seconds: float
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

    async def _answer(self, asked: Asked, out: Out) -> None:
        try:
            answer = await self._ask(asked, out)
        except RefusedError as refused:
            answer = refused.answer
        except (StoreAwayError, BodyTooLargeError, BodyLateError, ServiceRefusedError) as error:
            answer = self._refusals.of_error(shape_of(asked), error, asked.id)
        if isinstance(answer, LongAnswer):
            await out.long(
                answer,
                asked.headers,
                body=asked.request.method != "HEAD",
                gone=asked.request.gone(),
            )
        elif answer is not None:
            await out.whole(answer, asked.headers, body=asked.request.method != "HEAD")

    async def _ask(self, asked: Asked, out: Out) -> Answer | LongAnswer | None:
        request = asked.request
        asked.host = self._judge.host(asked)
        place = asked.place = self._judge.place(asked)
        if request.method not in SAFE_METHODS:
            try:
                await self._judge.check_csrf(asked, place)
            except RefusedError:
                if (answer := await self._old_form(asked, place)) is None:
                    raise
                return answer
        if place.any_route.who is Who.CUSTOMER:
            asked.visitor = await self._judge.visitor(asked, place)
        route = place.routes.get(request.method)
        if route is None:
            raise RefusedError(not_allowed(place))
        if asked.visitor is not None:
            await self._judge.check_rate(asked, asked.visitor)
        if route.kind is Kind.PAGE:
            return await self._own_page(asked, route)
        if asked.visitor is not None:
            self._judge.check_customer(asked, asked.visitor, route)
        return await self._pass_on(asked, route, out)

    async def _own_page(self, asked: Asked, route: Route) -> Answer:
        parts, request = self._parts, asked.request
        try:
            if asked.visitor is not None:
                prolong = request.method == "POST"
                return await parts.sessions.answer(asked.visitor, prolong=prolong)
            answer = await parts.login.answer(route.to, request, host=asked.host, peer=asked.peer)
            return await self._back(asked, answer) if isinstance(answer, Back) else answer
        except Exception as error:
            if is_overload(error):
                raise StoreBusyError(repr(error)) from error
            if is_infrastructure(error):
                raise StoreAwayError(repr(error)) from error
            raise

    async def _back(self, asked: Asked, back: Back) -> Answer:
        """Return the form that a sign-in interrupted; without such a form, return the redirect."""
        path, _, query = back.address.partition("?")
        place = self._judge.table.find(path)
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

    async def _old_form(self, asked: Asked, place: Place) -> Answer | None:
        """Return the page with what was typed into the visitor's own rejected form; else None."""
        asked.visitor = await self._judge.visitor_of_old_form(asked, place)
        if asked.visitor is None:
            return None
        await self._judge.check_rate(asked, asked.visitor)
        return await self._form(asked, place.routes[asked.request.method], asked.visitor, old=True)

    async def _form(
        self, asked: Asked, route: Route, visitor: Visitor, *, old: bool = False
    ) -> Answer:
        request = asked.request
        token = self._judge.csrf_token(asked, visitor)
        sent = Sent(request, route, asked.path, visitor, asked.peer, request.query, token)
        try:
            forms = self._parts.forms
            return await (forms.old(sent) if old else forms.answer(sent))
        except BadQueryError:
            raise RefusedError(self._refusals.bad_request(asked.id, 400)) from None

    async def _pass_on(self, asked: Asked, route: Route, out: Out) -> Answer | LongAnswer | None:
        parts, visitor = self._parts, asked.visitor
        if route.kind is Kind.FORM and visitor is not None:
            return await self._form(asked, route, visitor)
        body = await asked.request.body(route.body_bytes) if route.body_bytes else None
        token = None
        if route.csrf_token_sent and visitor is not None:
            token = self._judge.csrf_token(asked, visitor)
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
