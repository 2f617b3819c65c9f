"""Identity of a request: the gateway's token, verified once and cached until it expires."""

from collections import OrderedDict
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from portal_access.token import HEADER, BadTokenError, Identity, TokenVerifier
from service_runtime.clock import Clock
from service_runtime.errors import Problem
from service_runtime.http import problem_response
from service_runtime.logs import get

TOKEN_HEADER: Final = HEADER.lower().encode()
_REMEMBERED: Final = 10_000


def unauthorized() -> Problem:
    """Return the response to a request that did not come through the gateway."""
    return Problem(
        401,
        "unauthorized",
        "No valid credential",
        "The request carries no valid identity from the gateway.",
    )


class Visitors:
    """Verifies tokens and caches the latest identities."""

    def __init__(self, verifier: TokenVerifier, clock: Clock) -> None:
        self._verifier = verifier
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Identity, int]] = OrderedDict()

    def identify(self, token: bytes) -> Identity:
        """Return the identity that a token carries. Raises Problem (401)."""
        now = self._clock.now()
        known = self._known.get(token)
        if known is not None and now.timestamp() < known[1]:
            self._known.move_to_end(token)
            return known[0]
        try:
            identity, ends = self._verifier.verify_until(token.decode("ascii"), now)
        except (BadTokenError, UnicodeDecodeError) as error:
            get().warning("token refused", reason=str(error))
            raise unauthorized() from error
        self._known[token] = (identity, ends)
        self._known.move_to_end(token)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return identity


class GatewayOnly:
    """Requires the gateway's token on every request to the inner app.

    The identity is in `scope["state"]["identity"]`.
    An unknown path without a token is 401 rather than 404, so routes cannot be guessed.
    """

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self._app = app
        self._visitors = visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            token = next((value for name, value in scope["headers"] if name == TOKEN_HEADER), b"")
            state = scope.setdefault("state", {})
            try:
                state["identity"] = self._visitors.identify(token)
            except Problem as problem:
                answer = problem_response(problem, state.get("request_id"))
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
