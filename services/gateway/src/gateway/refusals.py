"""The gateway's own refusals: a page for a person, JSON for a program."""

from typing import Final

from gateway import answers, pages
from gateway.answers import VARY_COOKIE, Answer, Headers, Refusal
from gateway.limits import Verdict
from gateway.pages import Message, Pages
from gateway.proxy import ServiceRefusedError
from gateway.request import BodyLateError, BodyTooLargeError
from gateway.routes import Place, Refusals, Who
from gateway.visitor import StoreBusyError

_PAGES_FOR: Final[dict[str, Message]] = {
    answers.AWAY.code: pages.AWAY,
    answers.OVERLOADED.code: pages.OVERLOADED,
    answers.BROKEN.code: pages.BROKEN,
    answers.FAULT.code: pages.FAULT,
    answers.NOT_FROM_HERE.code: pages.NOT_FROM_HERE,
    answers.TOO_LARGE.code: pages.TOO_LARGE,
    answers.TOO_MANY.code: pages.TOO_MANY,
    answers.TOO_LONG.code: pages.TOO_LONG,
    answers.LATE_BODY.code: pages.LATE,
}


class RefusalAnswers:
    """The maker of responses from refusals."""

    def __init__(self, own_pages: Pages) -> None:
        self._pages = own_pages

    def told(
        self, shape: Refusals, refusal: Refusal, request_id: str, headers: Headers | None = None
    ) -> Answer:
        """Return a refusal in the format of its place; `headers` override the refusal's own.

        A CSRF refusal is a page on the documented endpoints too, as in Django.
        """
        own = headers or []
        named = {name for name, _ in own}
        merged = [header for header in refusal.headers if header[0] not in named] + own
        documented = shape is Refusals.DOCUMENTED
        if shape is Refusals.PAGE or (documented and refusal is answers.NOT_FROM_HERE):
            return self._pages.message(_PAGES_FOR[refusal.code], request_id, *merged)
        return refusal.as_json(shape, request_id, merged)

    def of_error(self, shape: Refusals, error: Exception, request_id: str) -> Answer:
        """Return the response for a check or a step that failed with this error."""
        if isinstance(error, ServiceRefusedError):
            return self.told(shape, error.refusal, request_id, error.headers)
        if isinstance(error, BodyTooLargeError):
            return self.told(shape, answers.TOO_LARGE, request_id)
        if isinstance(error, BodyLateError):
            return self.told(shape, answers.LATE_BODY, request_id)
        busy = isinstance(error, StoreBusyError)
        return self.told(shape, answers.OVERLOADED if busy else answers.AWAY, request_id)

    def bad_request(self, request_id: str, status: int) -> Answer:
        """Return the page for a request that no browser sends."""
        answer = self._pages.message(pages.BAD_REQUEST, request_id)
        return Answer(status, answer.headers, answer.body)


def not_allowed(place: Place) -> Answer:
    """Return the 405 of a place: empty, with its allowed methods."""
    vary = [VARY_COOKIE] if place.any_route.who is Who.CUSTOMER else []
    return answers.empty(405, (b"allow", place.allow.encode()), *vary)


def rate_headers(verdict: Verdict) -> Headers:
    """Return the headers with the state of a limit (draft-ietf-httpapi-ratelimit-headers)."""
    if verdict.rule is None:
        return []
    name, item = verdict.rule.name, verdict.rule.item
    policy = f'"{name}";q={item.amount};w={item.get_expiry()}'
    state = f'"{name}";r={verdict.remaining};t={round(verdict.reset_after)}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]
