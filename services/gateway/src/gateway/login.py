"""The gateway's own addresses: home, sign-in, sign-out, and its static files."""

import math
from dataclasses import dataclass

from gateway import csrf, devices, pages, passwords, redirects
from gateway.accounts import (
    Accounts,
    Attempt,
    SignedIn,
    TryLater,
    WrongLogin,
)
from gateway.answers import (
    VARY_COOKIE,
    Answer,
    Headers,
    cookie_expiry,
    delete_cookies,
    empty,
    fresh_page_headers,
    redirect,
    retry_after,
    set_cookie,
)
from gateway.devices import DeviceToken, DeviceTokens
from gateway.forms import KEPT, Fields, Pairs
from gateway.pages import STATIC_PATH, Pages
from gateway.request import HOST_PREFIX, SESSION_COOKIE, Request
from gateway.routes import HOME_PATH, LOGIN_PATH, LOGOUT_PATH
from gateway.store import DEVICE_SECONDS
from gateway.usernames import MAX_USERNAME, clean_username
from service_runtime.clock import Clock
from service_runtime.headers import tags_of

_BODY_BYTES = 16 * 1024
#: The target of a sign-out; the query makes the page confirm it.
SIGNED_OUT = f"{LOGIN_PATH}?signed-out"
_CLEAR_SITE_DATA = (b"clear-site-data", b'"cache", "storage"')

_WRONG = "Please enter a correct username and password. Both are sensitive to upper and lower case."
_MISSING = "Please enter your username and your password."
_UNUSABLE = "This username or password cannot be right: it is too long or has characters that are not allowed."
_ENDED = (
    "Your session has ended, so your form has not been sent. Sign in, and it comes back as you "
    "typed it."
)
_GOOD_BYE = "You are signed out."
_LATER = "Too many attempts. Please wait {} and try again."
_ELSEWHERE = (
    "You need not wait in a browser in which you have signed in with this username before: "
    "attempts from elsewhere are not counted there."
)
_BUSY = "Many people are signing in just now. Please try again in a few seconds."


@dataclass(frozen=True, slots=True)
class Cookies:
    """The attributes of the gateway's cookies."""

    secure: bool
    session_seconds: int
    clock: Clock

    @property
    def session_name(self) -> str:
        """The name of the session cookie."""
        return HOST_PREFIX + SESSION_COOKIE if self.secure else SESSION_COOKIE

    def session(self, session_id: str) -> tuple[bytes, bytes]:
        """Return the header that sets the session cookie."""
        return self._hidden(SESSION_COOKIE, session_id, self.session_seconds)

    def device(self, value: str) -> tuple[bytes, bytes]:
        """Return the header that sets the cookie of the browser's devices."""
        return self._hidden(devices.COOKIE, value, DEVICE_SECONDS)

    def _hidden(self, name: str, value: str, seconds: int) -> tuple[bytes, bytes]:
        return set_cookie(
            HOST_PREFIX + name if self.secure else name,
            value,
            expires=cookie_expiry(self.clock.now().timestamp(), seconds),
            httponly=True,
            max_age=seconds,
            path="/",
            samesite="Lax",
            secure=self.secure,
        )

    def csrf(self, secret: str) -> tuple[bytes, bytes]:
        """Return the header that sets the cookie with the secret of the forms."""
        return set_cookie(
            csrf.COOKIE,
            secret,
            expires=cookie_expiry(self.clock.now().timestamp(), csrf.MAX_AGE_SECONDS),
            max_age=csrf.MAX_AGE_SECONDS,
            path="/",
            samesite="Lax",
            secure=self.secure,
        )


@dataclass(frozen=True, slots=True)
class Back:
    """A sign-in that interrupted a form of the same user; the form is shown again as typed.

    `answer` is the response without the form: the cookies, and the redirect to the form's empty
    page.
    """

    address: str
    typed: Pairs
    session_id: str
    csrf_secret: str
    answer: Answer


class LoginPages:
    """The responses of the gateway's own addresses, after all checks of the request."""

    def __init__(
        self,
        accounts: Accounts,
        own_pages: Pages,
        cookies: Cookies,
        secrets: csrf.UserSecrets,
        clock: Clock,
        *,
        device_tokens: DeviceTokens,
    ) -> None:
        self._accounts = accounts
        self._pages = own_pages
        self._secrets = secrets
        self._device_tokens = device_tokens
        self._cookies = cookies
        self._clock = clock

    async def answer(self, name: str, request: Request, *, host: str, peer: str) -> Answer | Back:
        """Return the response of the page called `name` in the route table."""
        if name == "home":
            return redirect(302, HOME_PATH)
        if name == "static":
            return self._static(request)
        if request.method == "OPTIONS":
            allow = "POST, OPTIONS" if name == "logout" else "GET, POST, PUT, HEAD, OPTIONS"
            return empty(200, (b"allow", allow.encode()), *self._fresh())
        if name == "logout":
            return await self._log_out(request, host=host, peer=peer)
        if request.method == "POST":
            return await self._log_in(request, host=host, peer=peer)
        # Django treats a PUT as a form without fields, and so returns the page with an error.
        error = _MISSING if request.method == "PUT" else ""
        notice = _GOOD_BYE if request.query == b"signed-out" else ""
        return self._form(request, self._next_of(request, {}), error=error, notice=notice)

    def in_the_midst(self, request: Request, address: str, typed: Pairs) -> Answer:
        """Return the sign-in page for a form whose session has ended; it carries what was typed."""
        return self._form(request, address, notice=_ENDED, typed=typed, status=403)

    def _static(self, request: Request) -> Answer:
        file = self._pages.files.get(request.raw_path.decode().removeprefix(STATIC_PATH))
        if file is None:
            return self._pages.message(pages.NOT_FOUND, request.id)
        tag = dict(file.headers)[b"etag"].strip(b'"')
        if tag in (tags_of(request.fields.get(b"if-none-match", b"")) or ()):
            return Answer(304, file.headers)
        return Answer(200, file.headers, file.body)

    async def _log_in(self, request: Request, *, host: str, peer: str) -> Answer | Back:
        pairs = await request.fields_of_form(_BODY_BYTES)
        form = dict(pairs)
        kept = ((name.removeprefix(KEPT), text) for name, text in pairs if name.startswith(KEPT))
        typed = Fields(kept).typed
        next_address = self._next_of(request, form)
        username, password = clean_username(form.get("username", "")), form.get("password", "")
        complaint = _complaint(username, password)
        if complaint:
            return self._form(
                request, next_address, username=username, error=complaint, typed=typed
            )
        known = self._device_tokens.read(request.device_cookies())
        outcome = await self._accounts.sign_in(
            Attempt(
                username,
                password,
                peer,
                request.text(b"user-agent") or "",
                request.id,
                request.session_cookies().ids,
                known,
            )
        )
        if isinstance(outcome, SignedIn):
            # Every sign-in makes a new secret, so this one still identifies the user of the
            # interrupted form. Another user gets nothing of the form.
            secret = csrf.unmask(form.get(csrf.FIELD) or request.text(csrf.HEADER) or "")
            own = self._secrets.is_of(secret, outcome.user_id)
            destination = self._destination(next_address, host)
            return self._welcome(outcome, destination, typed if own else (), known)
        if isinstance(outcome, WrongLogin):
            return self._form(request, next_address, username=username, error=_WRONG, typed=typed)
        return self._later(request, next_address, username, outcome, typed)

    def _welcome(
        self,
        signed_in: SignedIn,
        destination: str,
        typed: Pairs,
        known: tuple[DeviceToken, ...],
    ) -> Answer | Back:
        secret = self._secrets.new(signed_in.user_id)
        answer = redirect(
            302,
            destination,
            VARY_COOKIE,
            *self._fresh(),
            self._cookies.csrf(secret),
            self._cookies.session(signed_in.session_id),
            self._cookies.device(self._device_tokens.write(signed_in.device, known)),
        )
        return Back(destination, typed, signed_in.session_id, secret, answer) if typed else answer

    def _later(
        self,
        request: Request,
        next_address: str,
        username: str,
        outcome: TryLater,
        typed: Pairs,
    ) -> Answer:
        answer = self._form(
            request,
            next_address,
            username=username,
            error=_reason(outcome),
            status=503 if outcome.overloaded else 429,
            typed=typed,
        )
        answer.headers.append(retry_after(outcome.seconds))
        return answer

    async def _log_out(self, request: Request, *, host: str, peer: str) -> Answer:
        form = await request.form(_BODY_BYTES)
        sessions = request.session_cookies()
        if sessions.ids:
            await self._accounts.sign_out(sessions.ids, request_id=request.id, peer=peer)
        wanted = self._next_of(request, form)
        safe = wanted and redirects.is_safe_next(wanted, host, https=self._cookies.secure)
        destination = redirects.as_location(wanted) if safe else SIGNED_OUT
        if destination.partition("?")[0] == LOGOUT_PATH:
            destination = SIGNED_OUT
        return redirect(
            302,
            destination,
            VARY_COOKIE,
            *self._fresh(),
            _CLEAR_SITE_DATA,
            *delete_cookies(sessions.names or (self._cookies.session_name,)),
        )

    def _form(
        self,
        request: Request,
        next_address: str,
        *,
        username: str = "",
        error: str = "",
        notice: str = "",
        typed: Pairs = (),
        status: int = 200,
    ) -> Answer:
        brought = (csrf.unmask(cookie) for cookie in request.csrf_cookies())
        secret = next((one for one in brought if one), None) or csrf.new_secret()
        return self._pages.sign_in(
            token=csrf.mask(secret),
            next_address=next_address,
            username=username[:MAX_USERNAME],
            error=error,
            notice=notice or (_ENDED if typed else ""),
            kept=[(KEPT + name, text) for name, text in typed],
            status=status,
            headers=[VARY_COOKIE, *self._fresh(), self._cookies.csrf(secret)],
        )

    def _destination(self, next_address: str, host: str) -> str:
        if not redirects.is_safe_next(next_address, host, https=self._cookies.secure):
            return HOME_PATH
        location = redirects.as_location(next_address)
        if location.partition("?")[0] in {LOGIN_PATH, LOGOUT_PATH}:
            return HOME_PATH  # would only lead back here
        return location

    def _next_of(self, request: Request, form: dict[str, str]) -> str:
        return form.get("next") or redirects.query_field(request.query, "next")

    def _fresh(self) -> Headers:
        return fresh_page_headers(self._clock.now().timestamp())


def _complaint(username: str, password: str) -> str:
    """Return why a form is rejected before any password is hashed; empty if it may be tried."""
    if not username or not password:
        return _MISSING
    if (
        len(username) > MAX_USERNAME
        or len(password) > passwords.MAX_LENGTH
        or "\0" in username + password
    ):
        return _UNUSABLE
    return ""


def _reason(outcome: TryLater) -> str:
    """Return why an attempt was not checked; the text hides whether the user exists."""
    if outcome.overloaded:
        return _BUSY
    text = _LATER if outcome.known_device else f"{_LATER} {_ELSEWHERE}"
    return text.format(_spoken(outcome.seconds))


def _spoken(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes <= 1:
        return "a minute"
    if minutes <= 90:  # noqa: PLR2004 - up to there minutes are easier to read
        return f"{minutes} minutes"
    return f"{math.ceil(seconds / 3600)} hours"
