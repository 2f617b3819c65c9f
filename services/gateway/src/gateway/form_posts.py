"""Forms that are sent without a script: a call to the writer, and a page with its result.

An accepted form redirects to the page that shows the change. Any other form comes back as its page,
with the typed values, the errors, and the changes made meanwhile. The page always keeps what was
typed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway import answers, pages
from gateway.answers import NO_STORE, VARY_COOKIE, Answer, Headers
from gateway.forms import (
    FORMS,
    Change,
    Fields,
    Form,
    IncompleteFormError,
    Pairs,
    errors_by_field,
    shown_results,
    values_of,
    with_seen,
)
from gateway.pages import Message, Pages
from gateway.proxy import Calls, Proxy, ServiceRefusedError
from gateway.request import Request
from gateway.routes import ROUTES, Route
from gateway.store import Visitor

#: A second click finds the first call in progress, and later its result.
_TRIES: Final = 8
_BETWEEN_SECONDS: Final = 0.4
#: The largest response that is read whole: a hundred decided repairs with all their texts (bytes).
_ANSWER_BYTES: Final = 8_388_608
_BY_NAME: Final = {row.name: row for row in ROUTES}
_JSON: Final = (b"content-type", b"application/json")

_INCOMPLETE: Final = (
    "A hidden field of this form is missing. Nothing was changed; please check it "
    "and send it once more."
)
_SENT_BEFORE: Final = (
    "This form was sent before, with other content, and that was accepted. Please look whether it "
    "is what you want. To send this as well, send it once more."
)
_UNSURE: Final = (
    "We could not reach the part of the portal that records changes, so this may not be recorded. "
    "Send it once more: it will not be done twice."
)
_KEPT_THROUGH_SIGN_IN: Final = (
    "You are signed in again. This is what you had typed; nothing of it has been sent yet."
)
_OLD: Final = (
    "This page was opened before you last signed in, so nothing of it has been sent. This is what "
    "you had typed; please send it once more."
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A submitted form: its visitor, its page, and the CSRF token of the responding page."""

    request: Request
    route: Route
    path: str
    visitor: Visitor
    peer: str
    query: bytes
    csrf_token: str


@dataclass(frozen=True, slots=True)
class _Shown:
    """The content that the page shows beside its own."""

    values: Pairs
    errors: Mapping[str, str] | None = None
    notice: str | None = None
    results: list[dict[str, Any]] | None = None
    seen: str | int | None = None
    key: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


class FormPosts:
    """The responses to forms."""

    def __init__(self, calls: Calls, proxy: Proxy, own_pages: Pages) -> None:
        self._calls = calls
        self._proxy = proxy
        self._pages = own_pages

    async def answer(self, sent: Sent) -> Answer:
        """Return the response to a form that has passed all checks."""
        form = FORMS[sent.route.name]
        fields = Fields(await sent.request.fields_of_form(sent.route.body_bytes))
        try:
            change = form.change(fields, sent.path)
        except IncompleteFormError:
            return await self._page(sent, 422, _Shown(fields.typed, notice=_INCOMPLETE))
        try:
            reply = await self._ask(sent, change)
            said = _json(reply)
        except ServiceRefusedError as error:
            refusal = error.refusal
            wait = tuple(h for h in refusal.headers if h[0] == b"retry-after")
            again = _Shown(fields.typed, notice=_UNSURE, key=change.key, headers=wait)
            return await self._page(sent, refusal.status, again)
        if reply.status < 300:  # noqa: PLR2004
            return await self._done(sent, form, reply, said)
        if reply.status == 404:  # noqa: PLR2004
            unknown = said.get("code") == "customer-unknown"
            message = pages.NO_PROFILE if unknown else pages.NOT_FOUND
            return self._pages.message(message, sent.request.id, VARY_COOKIE)
        return await self._page(sent, *_refused(fields, change, reply.status, said))

    async def again(self, sent: Sent, typed: Pairs) -> Answer:
        """Return the page with the values that were typed before a session ended."""
        return await self._page(sent, 200, _Shown(typed, notice=_KEPT_THROUGH_SIGN_IN))

    async def old(self, sent: Sent) -> Answer:
        """Return the page with the values of a form that was rejected for its token."""
        typed = Fields(await sent.request.fields_of_form(sent.route.body_bytes)).typed
        return await self._page(sent, 403, _Shown(typed, notice=_OLD))

    async def _ask(self, sent: Sent, change: Change) -> Answer:
        row = _BY_NAME[change.route]
        headers: Headers = [_JSON, (b"idempotency-key", change.key.encode("ascii"))]
        if change.etag is not None:
            headers.append((b"if-match", change.etag.encode("ascii")))
        call = self._calls.own(
            sent.request,
            row,
            sent.visitor,
            peer=sent.peer,
            method=row.methods[0],
            target=change.path.encode(),
            headers=headers,
            body=orjson.dumps(change.body),
        )
        reply = await self._proxy.whole(call, row, _ANSWER_BYTES)
        for _ in range(_TRIES):
            if reply.status != 409 or _json(reply).get("code") != "key-running":  # noqa: PLR2004
                break
            await asyncio.sleep(_BETWEEN_SECONDS)
            reply = await self._proxy.whole(call, row, _ANSWER_BYTES)
        return reply

    async def _done(self, sent: Sent, form: Form, reply: Answer, said: Mapping[str, Any]) -> Answer:
        seen = _header(reply, b"portal-revision")
        if form.shown is not None:
            return _see_other(with_seen(form.shown(said, sent.path), seen))
        results = _Shown((), results=shown_results(said), seen=seen)
        return await self._page(sent, 200, results)

    async def _page(self, sent: Sent, status: int, shown: _Shown) -> Answer:
        """Return the form's page, rendered again; a plain message if the page is unavailable."""
        row = _BY_NAME[_PAGE_OF[sent.route.name]]
        address = with_seen(_address(sent), shown.seen)
        values = values_of(shown.values)
        if shown.key is not None:
            values["idempotency_key"] = shown.key
        body = {
            "values": values,
            "errors": shown.errors or {},
            "notice": shown.notice,
            "results": shown.results or [],
        }
        call = self._calls.own(
            sent.request,
            row,
            sent.visitor,
            peer=sent.peer,
            method="POST",
            target=address.encode("latin-1"),
            headers=[_JSON],
            body=orjson.dumps(body),
            csrf_token=sent.csrf_token,
        )
        try:
            page = await self._proxy.whole(call, row, _ANSWER_BYTES)
        except ServiceRefusedError:
            page = None
        if page is None or page.status != 200:  # noqa: PLR2004
            return self._pages.message(
                _in_plain_words(status, shown), sent.request.id, VARY_COOKIE, *shown.headers
            )
        return Answer(status, [*page.headers, *shown.headers], page.body)


#: The row name of the page that holds a form, by the form's row name.
_PAGE_OF: Final = {
    "decide-repairs-form": "repairs-page",
    "request-form": "request-page",
    "decide-repair-form": "repair-page",
    "profile-form": "profile-page",
}


def _refused(
    fields: Fields, change: Change, status: int, problem: Mapping[str, Any]
) -> tuple[int, _Shown]:
    """Return the status and the page content for a form that the writer rejected."""
    code, detail = problem.get("code"), str(problem.get("detail", ""))
    errors = errors_by_field(change, problem)
    if code == "key-reused":  # the new page carries a new key
        return 422, _Shown(fields.typed, notice=_SENT_BEFORE)
    if code in {"key-running", "unavailable", "overloaded"}:
        wait = (answers.retry_after(1),)
        return status, _Shown(fields.typed, notice=_UNSURE, key=change.key, headers=wait)
    if errors:
        return 422, _Shown(fields.typed, errors=errors, key=change.key)
    if status in {409, 412}:
        seen = problem.get("revision") or problem.get("profile", {}).get("revision")
        return status, _Shown(fields.typed, notice=detail, seen=seen)
    return 422, _Shown(fields.typed, notice=detail or _INCOMPLETE)


def _in_plain_words(status: int, shown: _Shown) -> Message:
    """Return the message for a person if the page itself is unavailable."""
    if shown.results is not None:
        done = sum(one["status"] == 200 for one in shown.results)  # noqa: PLR2004
        every = done == len(shown.results)
        return Message(
            200,
            "Your decisions were recorded" if every else "Not all of your decisions were recorded",
            f"{done} of {len(shown.results)} decisions were recorded.",
            "The list cannot be shown just now; it tells which repairs still wait for you.",
            "/customer/repairs/?status=PENDING",
            "Go to what waits for you",
        )
    said = " ".join([shown.notice or "", *(shown.errors or {}).values()]).strip()
    return Message(
        status if status >= 400 else 503,  # noqa: PLR2004
        "Your form was not recorded" if status < 500 else pages.AWAY.title,  # noqa: PLR2004
        said,
        "The page cannot be shown just now. Go back: your browser has kept what you typed.",
    )


def _address(sent: Sent) -> str:
    """Return the page's address with its filters, as the service expects it."""
    path = sent.path
    kept = [part for part in sent.query.split(b"&") if part and not part.startswith(b"seen=")]
    return f"{path}?{b'&'.join(kept).decode('latin-1')}" if kept else path


def _see_other(location: str) -> Answer:
    return answers.redirect(303, location, VARY_COOKIE, NO_STORE)


def _json(reply: Answer) -> dict[str, Any]:
    """Return the JSON object of a response; raise ServiceRefusedError (502) for any other body."""
    try:
        said = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        raise ServiceRefusedError(answers.BROKEN) from None
    if not isinstance(said, dict):
        raise ServiceRefusedError(answers.BROKEN)
    return said


def _header(reply: Answer, wanted: bytes) -> str | None:
    return next((value.decode() for name, value in reply.headers if name == wanted), None)
