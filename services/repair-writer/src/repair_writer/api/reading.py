"""Parsing of requests: the caller, the body, and the headers that set conditions."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, TypeVar

from fastapi import Request

from portal_access.token import HEADER, BadTokenError, TokenVerifier
from repair_writer.api.encodings import is_packed
from repair_writer.api.problems import (
    BODY_SECONDS,
    PROBLEMS,
    bad_query,
    problem_of,
    problem_of_refusal,
)
from repair_writer.asking import Ask
from repair_writer.bodies import Body, parse
from repair_writer.callers import Caller, KeyRing
from repair_writer.fields import MAX_BIGINT, bounds_at
from repair_writer.history import Author
from repair_writer.idempotency import IdempotencyKey, scoped_key
from repair_writer.store.transaction import Pool
from service_runtime.clock import Clock
from service_runtime.errors import Problem
from service_runtime.headers import joined, tags_of
from service_runtime.logs import get

#: Room for the longest texts of all fields, with each character escaped.
MAX_BODY_BYTES: Final = 262_144

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KEY: Final = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MAX_TAGS: Final = 20
_MAX_DIGITS: Final = 19
_MAX_ADDRESS: Final = 100

BodyT = TypeVar("BodyT", bound=Body)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The resources of the API, and the bounds of imports and streams.

    `imports_open` imports may be open. `imports_at_once` of them check and save at a time.
    `import_max_bytes` limits one body.
    `import_spool_bytes` limits the stored results of all imports.
    `lists_open` streams of events may be sent at a time.
    """

    pool: Pool
    keys: KeyRing
    tokens: TokenVerifier
    clock: Clock
    imports_at_once: int = 2
    import_max_bytes: int = 4 * 1024**3
    imports_open: int = 16
    import_spool_bytes: int = 2 * 1024**3
    lists_open: int = 32


async def internal_caller(d: Dependencies, request: Request, scope: str) -> Caller:
    """Return the calling internal system, if its key is valid and has the scope.

    Raises the problem 401 for an invalid key and 403 for a missing scope.
    """
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    address = "" if request.client is None else request.client.host[:_MAX_ADDRESS]
    caller = await d.keys.caller_of(key.strip(), address) if kind.lower() == "bearer" else None
    if caller is None:
        raise problem_of("unauthorized", "Send an API key: Authorization: Bearer rsw_live_...")
    if scope not in caller.scopes:
        raise problem_of("scope", f"The scope {scope} is needed.")
    return caller


def check_customer(caller: Caller, customer_id: int) -> None:
    """Raise the problem 403 when the caller's key is bound to other customers."""
    refusal = caller.binding.check_customer(customer_id)
    if refusal is not None:
        raise problem_of_refusal(refusal)


def customer_caller(d: Dependencies, request: Request) -> Caller:
    """Return the customer of the gateway's token. Raises the problem 401."""
    try:
        identity = d.tokens.verify(request.headers.get(HEADER, ""), d.clock.now())
    except BadTokenError as error:
        get().info("token_refused", reason=str(error))
        raise problem_of(
            "unauthorized", "The request carries no valid identity from the gateway."
        ) from error
    return Caller(
        actor=f"customer:{identity.username}", source="portal", customer_id=identity.customer_id
    )


async def read_bytes(request: Request) -> bytes:
    """Return the body, at most 256 KiB; raises the problems 408, 413 and 415."""
    is_packed(request)
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise _too_slow() from None
    return bytes(body)


async def pieces_of(request: Request) -> AsyncIterator[bytes]:
    """Yield a body of any length as it arrives. Raises the problem 408 after too long a pause."""
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                piece = await anext(stream, None)
        except TimeoutError:
            raise _too_slow() from None
        if piece is None:
            return
        yield piece


def _too_slow() -> Problem:
    return problem_of("too-slow", PROBLEMS["too-slow"][2])


def _too_large() -> Problem:
    return problem_of("too-large", f"A body has at most {MAX_BODY_BYTES} bytes.")


def check_media_type(request: Request, *, accepted: tuple[str, ...]) -> None:
    """Raise the problem 415 when the Content-Type is not accepted.

    A missing Content-Type is accepted.
    """
    given = request.headers.get("content-type", accepted[0]).partition(";")[0].strip().lower()
    if given not in accepted:
        raise problem_of("media-type", f"Send {accepted[0]}.")


def parse_body(d: Dependencies, request: Request, model: type[BodyT], body: bytes) -> BodyT:
    """Return the parsed JSON body. Raises the problem 415 and BadBodyError."""
    check_media_type(request, accepted=("application/json",))
    return parse(model, body, bounds_at(d.clock.now()))


def ask_of(request: Request, caller: Caller, body: bytes, *, occurred_at: str | None = None) -> Ask:
    """Return the context of this change. Raises the problem 400 for invalid headers."""
    return Ask(
        author=author_of(request, caller),
        occurred_at=occurred_at,
        only_of=caller.customer_id,
        binding=caller.binding,
        expected=_if_match(request),
        key=_idempotency_key(request, caller, body),
    )


def author_of(request: Request, caller: Caller) -> Author:
    """Return the author for the event. An invalid traceparent is dropped."""
    trace = request.headers.get("traceparent")
    valid = trace is not None and _TRACEPARENT.fullmatch(trace)
    return Author(actor=caller.actor, source=caller.source, traceparent=trace if valid else None)


def _if_match(request: Request) -> tuple[str, ...] | None:
    """Return the tags of If-Match, `*` for any state. None without the header.

    Weak tags count as well: compressing proxies weaken tags, and an event id names one state.
    Raises the problem 400 for anything but 1 to 20 tags or `*`.
    """
    header = joined(request.scope["headers"], b"if-match")
    if header is None:
        return None
    if header == b"*":
        return ("*",)
    tags = tags_of(header)
    if not tags or len(tags) > _MAX_TAGS:
        raise problem_of(
            "malformed",
            f'If-Match must hold 1 to {_MAX_TAGS} tags in quotes, such as "0197...", or * alone.',
        )
    return tuple(tag.decode("latin-1") for tag in tags)


def _idempotency_key(request: Request, caller: Caller, body: bytes) -> IdempotencyKey | None:
    header = joined(request.scope["headers"], b"idempotency-key")
    if header is None:
        return None
    match = _KEY.fullmatch(header.decode("latin-1"))
    if match is None:
        raise problem_of(
            "malformed", "An Idempotency-Key has 1 to 255 visible ASCII characters, no quotes."
        )
    return scoped_key(
        actor=caller.actor
        if caller.customer_id is None
        else f"{caller.actor}@{caller.customer_id}",
        method=request.method,
        path=request.url.path,
        key=match[1],
        query=request.scope["query_string"],
        body=body,
    )


def repair_id_of(request: Request) -> str:
    """Return the repair id of the path, in lower case.

    Raises the problem 404 if it is not a UUID.
    """
    text: str = request.path_params["repair_id"]
    if not _UUID.fullmatch(text):
        raise problem_of("repair-unknown", "There is no repair with this id.")
    return text.lower()


def customer_id_of(request: Request) -> int:
    """Return the customer id of the path; raises the problem 422."""
    customer_id = _whole_number(request.path_params["customer_id"])
    if customer_id is None or not 1 <= customer_id <= MAX_BIGINT:
        raise bad_query("customer_id", f"must be a whole number from 1 to {MAX_BIGINT}")
    return customer_id


def query_number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    """Return a whole number of the query, or `default`.

    Raises the problem 422 outside `low` to `high`.
    """
    text = request.query_params.get(name)
    number = default if text is None else _whole_number(text)
    if number is None or not low <= number <= high:
        raise bad_query(name, f"must be a whole number from {low} to {high}")
    return number


def check_query(request: Request, *known: str) -> None:
    """Raise the problem 400 for an unknown or repeated query parameter."""
    names = [name for name, _ in request.query_params.multi_items()]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise problem_of("malformed", f"The parameter {unknown[0][:100]!r} is not known here.")
    if len(names) != len(set(names)):
        raise problem_of("malformed", "A parameter is given twice.")


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None
