"""Forwarding of a request to a service, with the headers of its row and an identity of the gateway.

A small response is read to its end before the first byte goes to the client. If it breaks off, the
client gets a 502. A larger response is passed on as it comes.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.answers import AWAY, BROKEN, FAULT, OVERLOADED, VARY_COOKIE, Answer, Headers, Refusal
from gateway.identity import IdentityTokens
from gateway.metrics import UPSTREAM_FAULTS
from gateway.request import Request
from gateway.routes import Kind, Refusals, Route, Who
from gateway.store import Visitor
from gateway.upstream import (
    Call,
    Reply,
    Upstream,
    UpstreamAwayError,
    UpstreamBrokenError,
    UpstreamBusyError,
)
from portal_access.token import HEADER as TOKEN_HEADER
from service_runtime.errors import REASON_HEADER
from service_runtime.logs import get

SMALL_BYTES: Final = 262_144
_TOKEN: Final = TOKEN_HEADER.lower().encode()
_REQUEST_ID: Final = b"x-request-id"
_CSRF_TOKEN: Final = b"x-csrf-token"
_SENDABLE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_QUERY: Final = re.compile(rb"[!-~]*")
_PRIVATE: Final = (b"cache-control", b"private, no-cache")
_NO_STORE: Final = (b"cache-control", b"no-store")
_CACHE_CONTROL: Final = b"cache-control"
_REASON: Final = REASON_HEADER.lower().encode()


@dataclass(frozen=True, slots=True)
class LongAnswer:
    """A response whose first bytes have been read; the rest still comes from a service."""

    status: int
    headers: Headers
    first: bytes
    reply: Reply
    #: Seconds that it may take in all, from its start. With None only its single parts are bounded.
    seconds: float | None = None


class ServiceRefusedError(Exception):
    """An error for a response that no client may see; it carries the refusal to send instead."""

    def __init__(self, refusal: Refusal, headers: Headers | None = None) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.headers = headers or []


class BadQueryError(ValueError):
    """An error for a query string with bytes that no address may hold."""


class Calls:
    """A builder of calls to services."""

    def __init__(self, tokens: Mapping[str, IdentityTokens]) -> None:
        self._tokens = tokens

    def build(
        self,
        request: Request,
        route: Route,
        path: str,
        visitor: Visitor | None,
        *,
        peer: str,
        csrf_token: str | None = None,
        body: bytes | None = None,
    ) -> Call:
        """Return the call of a request that has passed all checks.

        A HEAD is sent as GET, so its headers are always those of a GET. Raises BadQueryError.
        """
        fields = request.fields
        headers = [
            (name, fields[name])
            for name in route.sent
            if name in fields and _SENDABLE.fullmatch(fields[name])
        ]
        headers += self._ours(request, route, visitor, peer, csrf_token)
        target = path.encode()
        if route.query_passed and request.query:
            if not _QUERY.fullmatch(request.query):
                raise BadQueryError
            target += b"?" + request.query
        method = "GET" if request.method == "HEAD" else request.method
        return Call(method, target, headers, body, route.seconds)

    def own(
        self,
        request: Request,
        route: Route,
        visitor: Visitor,
        *,
        peer: str,
        method: str,
        target: bytes,
        headers: Headers,
        body: bytes,
        csrf_token: str | None = None,
    ) -> Call:
        """Return a call that the gateway itself makes for a request; `route` bounds it.

        Raises BadQueryError.
        """
        if not _QUERY.fullmatch(target):
            raise BadQueryError
        every = [*headers, *self._ours(request, route, visitor, peer, csrf_token)]
        return Call(method, target, every, body, route.seconds)

    def _ours(
        self,
        request: Request,
        route: Route,
        visitor: Visitor | None,
        peer: str,
        csrf_token: str | None,
    ) -> Headers:
        """Return the headers that the gateway itself adds to a request."""
        headers = [(_REQUEST_ID, request.id.encode()), (b"x-forwarded-for", peer.encode())]
        if visitor is not None and visitor.customer_id is not None:
            token = self._tokens[route.to].of(visitor, visitor.customer_id)
            headers.append((_TOKEN, token))
        if csrf_token is not None:
            headers.append((_CSRF_TOKEN, csrf_token.encode()))
        return headers


class Proxy:
    """A sender of calls to services; it turns their replies into responses."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = upstreams

    async def forward(self, call: Call, route: Route) -> Answer | LongAnswer:
        """Return the response of the row's service.

        Raises ServiceRefusedError if there is no response that a client may see.
        """
        try:
            async with asyncio.timeout(call.seconds):
                reply = await self._upstreams[route.to].send(call)
                return await self._answer(reply, route)
        except UpstreamBusyError as error:
            note_fault(route.to, "busy", error)
            raise ServiceRefusedError(OVERLOADED) from error
        except (UpstreamAwayError, TimeoutError) as error:
            note_fault(route.to, "away", error)
            raise ServiceRefusedError(AWAY) from error
        except UpstreamBrokenError as error:
            note_fault(route.to, "broken", error)
            raise ServiceRefusedError(BROKEN) from error

    async def whole(self, call: Call, route: Route, limit: int) -> Answer:
        """Return the response of the row's service, read to its end; raises as `forward`.

        A response of more than `limit` bytes is rejected with ServiceRefusedError (502).
        """
        answer = await self.forward(call, route)
        if isinstance(answer, Answer):
            return answer
        body = bytearray(answer.first)
        try:
            async with asyncio.timeout(call.seconds):
                async for chunk in answer.reply.chunks():
                    body += chunk
                    if len(body) > limit:
                        note_fault(route.to, "too-large", None)
                        raise ServiceRefusedError(BROKEN)
        except (UpstreamAwayError, UpstreamBrokenError, TimeoutError) as error:
            note_fault(route.to, "broken-off", error)
            raise ServiceRefusedError(BROKEN) from error
        finally:
            answer.reply.close()
        return Answer(answer.status, without_length(answer.headers), bytes(body))

    async def _answer(self, reply: Reply, route: Route) -> Answer | LongAnswer:
        whole = False
        try:
            first, whole = await reply.beginning(SMALL_BYTES)
            refuse_status(reply, route)
            headers = kept_headers(reply, route)
            if whole:
                return Answer(reply.status, headers, first)
            length = [(name, value) for name, value in reply.headers if name == b"content-length"]
            answer = LongAnswer(reply.status, [*headers, *length[:1]], first, reply)
            whole = True  # the sender closes it
            return answer
        finally:
            if not whole:
                reply.close()


def without_length(headers: Headers) -> Headers:
    """Return the headers without the `Content-Length` of the service."""
    return [header for header in headers if header[0] != b"content-length"]


def refuse_status(reply: Reply, route: Route) -> None:
    """Raise ServiceRefusedError for a status that concerns only the gateway and the service."""
    status = reply.status
    if status < 300 or status == 304 or (400 <= status < 500 and status != 401):  # noqa: PLR2004
        return
    if status == 401:  # noqa: PLR2004 - it does not believe us: keys or clocks differ
        note_fault(route.to, "token-refused", None)
        raise ServiceRefusedError(BROKEN)
    if status < 400:  # noqa: PLR2004 - a redirect is ours to make
        note_fault(route.to, "redirect", None)
        raise ServiceRefusedError(BROKEN)
    note_fault(route.to, str(status), None)
    if status != 503:  # noqa: PLR2004 - whatever it says is not for the client
        raise ServiceRefusedError(FAULT)
    if route.refusals is not Refusals.PROBLEM:
        wait = [(name, value) for name, value in reply.headers if name == b"retry-after"]
        busy = (_REASON, OVERLOADED.code.encode()) in reply.headers
        raise ServiceRefusedError(OVERLOADED if busy else AWAY, wait)


def kept_headers(reply: Reply, route: Route) -> Headers:
    """Return the headers of a reply that the row lets through, with the headers for privacy."""
    kept = [header for header in reply.headers if header[0] in route.returned]
    if route.who is Who.ANYONE:
        return kept
    kept.append(VARY_COOKIE)
    if route.refusals is Refusals.PAGE:
        kept = [header for header in kept if header[0] != _CACHE_CONTROL]
        kept.append(_NO_STORE)
    elif route.kind is not Kind.STREAM and not any(header[0] == _CACHE_CONTROL for header in kept):
        kept.append(_PRIVATE)
    return kept


def note_fault(upstream: str, kind: str, error: BaseException | None) -> None:
    """Count and log a response that did not arrive or cannot be used."""
    UPSTREAM_FAULTS.labels(upstream, kind).inc()
    get().warning("upstream-fault", upstream=upstream, kind=kind, error=repr(error)[:300])
