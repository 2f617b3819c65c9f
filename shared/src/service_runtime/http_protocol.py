"""HTTP/1.1 connections: uvicorn's protocol, one request at a time, each with a certain end.

uvicorn feeds its parser with any bytes that arrive. This protocol splits requests first. A head is
complete and bounded before it is parsed, and the parser gets exactly the bytes of one message.
So no byte of one request can be parsed as another. The next request is parsed after the response.
The rules are those of RFC 9110 and RFC 9112; comments name the sections.
"""

import math
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service_runtime.http_limits import Refusal, ServerLoad

_HEAD_END: Final = b"\r\n\r\n"
_FRAMING_HEADERS: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_VERSIONS: Final = (b" HTTP/1.1", b" HTTP/1.0")
_BODILESS: Final = (b"GET ", b"HEAD ")
#: Fields that decide about the body or the connection, anywhere in a head in lower case.
_DECIDING: Final = (b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect")
#: Framing bytes (size, extension) of a chunk that do not count as overhead.
_CHUNK_BYTES: Final = 32
#: Bytes parsed in one step of the event loop: five thousand chunks of one byte take some 4 ms.
_STEP_BYTES: Final = 32_768
#: Limit of chunk extensions and trailers beyond that, in one body.
_CHUNK_OVERHEAD_BYTES: Final = 16_384


def _is_whole_request(head: bytes) -> bool:
    """Return whether a head is certainly a whole request that keeps its connection.

    Any parser agrees: GET or HEAD of HTTP/1.1 without a word about body or connection (RFC 9112 6.3).
    """
    if not head.startswith(_BODILESS) or head.count(b"\n") != head.count(b"\r\n"):
        return False
    if not head.startswith(_VERSIONS[0], head.index(b"\r\n") - len(_VERSIONS[0])):
        return False
    lower = head.lower()
    return not any(name in lower for name in _DECIDING)


class _Phase(Enum):
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    CLOSING = auto()


# Module constants: access through the class is slow, and every request compares them.
_HEAD: Final = _Phase.HEAD
_BODY: Final = _Phase.BODY
_ANSWER: Final = _Phase.ANSWER
_CLOSING: Final = _Phase.CLOSING


class MalformedError(Exception):
    """Message with invalid framing."""


class _AnswerTransport:
    """Transport of a response: `close` lets the client read the response first."""

    def __init__(self, transport: Any, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class _Flow(FlowControl):
    """Flow control that pauses reading while received bytes wait to be parsed."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()

    def hold(self) -> None:
        """Pause reading, even if the application resumes it."""
        self.held = True
        self.pause_reading()


class HttpProtocol(HttpToolsProtocol):
    """Protocol of one connection."""

    def __init__(self, load: ServerLoad, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._load = load
        self._limits = load.limits
        self._phase: _Phase = _HEAD
        self._buffer = b""
        self._deadline = math.inf
        self._idle = False
        self._address = ""
        self._turned_away = False
        # State of the message that is read.
        self._begun = self._framed = self._complete = False
        self._upgrade = self._overloaded = self._keep_alive = self._receiving = False
        self._body_left: int | None = 0
        self._body_bytes = self._chunks = self._overhead = 0
        self._window_began_at = 0
        # State of a response that the client has not read yet.
        self._unsent = 0
        self._write_deadline = math.inf

    # ------------------------------------------------------------------ callbacks of the event loop

    def connection_made(self, transport: Any) -> None:
        """Count the connection; reject it when there are too many."""
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport)
        self._answer_transport = _AnswerTransport(transport, self._close)
        self._deadline = self.loop.time() + self._limits.head_seconds
        self._address, refusal = self._load.enter(self.client[0] if self.client else "")
        if refusal is None:
            return
        self._turned_away = True
        if self._load.is_flooded:
            transport.abort()
        else:
            self._refuse(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the load."""
        self._end_receiving()
        self._load.leave(self._address, turned_away=self._turned_away)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data. During a response, later bytes are buffered up to `pipelined_bytes`."""
        if self._phase is _CLOSING:
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self.flow.held:
            self._advance()

    def check(self, now: float) -> None:
        """Close the connection if a deadline has passed at `now`; called by the sweep."""
        if now < self._deadline and not self.flow.write_paused:
            self._unsent = 0  # a later waiting response has its own time limit
            return
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent and unsent:
            self._unsent = unsent
            self._write_deadline = now + self._limits.write_seconds
        elif unsent:
            if now >= self._write_deadline:
                self.transport.abort()
        elif now >= self._deadline:
            self._expire(now)

    def shutdown(self) -> None:
        """Close after the request under way."""
        self._keep_alive = False
        super().shutdown()

    # ------------------------------------------------------------------ callbacks of the parser

    def on_message_begin(self) -> None:
        """Begin a message; raises MalformedError for a second one in the same bytes."""
        if self._begun:
            raise MalformedError
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Determine the end of the message, and start the application.

        Raises MalformedError if the end is uncertain: chunked with HTTP/1.0 or with another coding
        (RFC 9112 6.1), CONNECT (RFC 9110 9.3.6), chunked with Upgrade. Also for a missing or
        repeated Host (RFC 9112 3.2). The parser itself rejects a length with chunked, two lengths,
        and invalid lengths (RFC 9112 6.3).
        """
        length = hosts = 0
        chunked = False
        for name, value in self.headers:
            if name not in _FRAMING_HEADERS:
                continue
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                length = int(value)
            elif name == b"expect":  # compared with its white space before
                self.expect_100_continue = value.strip().lower() == b"100-continue"
            else:
                if chunked or value.strip().lower() != b"chunked":
                    raise MalformedError
                chunked = True
        self._upgrade = self.parser.should_upgrade()
        if hosts != 1 or chunked or self._upgrade:
            self._refuse_uncertain(hosts, chunked=chunked)
        self._body_left = None if chunked else length
        super().on_headers_complete()
        # The parser adds trailers as headers. They are discarded here (RFC 9110 6.5.1).
        self.headers = []
        # A response before the end of the message closes the connection (RFC 9112 9.3).
        self._keep_alive = self.cycle.keep_alive and not self._upgrade
        self.cycle.keep_alive = False
        self.cycle.transport = self._answer_transport  # type: ignore[assignment]
        self._framed = True

    def _refuse_uncertain(self, hosts: int, *, chunked: bool) -> None:
        old = self.parser.get_http_version() == "1.0"
        if hosts != 1 and not (old and hosts == 0):
            raise MalformedError
        if chunked and (old or self._upgrade):
            raise MalformedError
        if self.parser.get_method() == b"CONNECT":
            raise MalformedError

    def on_body(self, body: bytes) -> None:
        """Forward a part of the body; raises MalformedError for a body within the head.

        It is the only callback of a chunk, because one read can contain forty thousand chunks.
        """
        if self._phase is _HEAD:
            raise MalformedError
        self._chunks += 1
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the message: the connection can be reused."""
        if self._upgrade and self._body_left:
            return  # the parser expects another protocol to follow; `_read_body` counts
        self._complete = True
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keep_alive
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        left = self._body_left
        admitted = self._load.has_room(len(self.tasks))
        # `_buffer` has the bytes that arrived with the head.
        if admitted and (left is None or left > len(self._buffer)):
            self._receiving = admitted = self._load.begin_body(self._address)
        if admitted:
            super()._start_asgi_task(cycle, app)
        else:
            cycle.response_started = cycle.response_complete = self._overloaded = True

    def _end_receiving(self) -> None:
        if self._receiving:
            self._receiving = False
            self._load.end_body(self._address)

    # ------------------------------------------------------------------ one request after another

    def _advance(self) -> None:
        """Parse the received bytes of the current request."""
        try:
            if self._phase is _HEAD:
                self._read_head()
            if self._phase is _BODY and self._buffer:
                self._read_body()
        except (httptools.HttpParserError, MalformedError):
            self._refuse(self._load.refusals["malformed"])
        if self._phase is _ANSWER and len(self._buffer) > self._limits.pipelined_bytes:
            self.cycle.keep_alive = False
            self._buffer = self._buffer[:1]  # the connection will not be reused

    def _read_head(self) -> None:
        """Parse a head once it is complete."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):  # one empty line is ignored (RFC 9112 2.2)
            buffer = self._buffer = buffer[2:]
        if buffer in {b"", b"\r"}:
            return
        limit = self._limits.head_bytes
        end = buffer.find(_HEAD_END, 0, limit) + len(_HEAD_END)
        if end < len(_HEAD_END):
            # Reject at once what cannot become a head: another protocol, or bare line feeds.
            if not buffer[:1].isalpha() or buffer.count(b"\n") != buffer.count(b"\r\n"):
                raise MalformedError
            if len(buffer) >= limit:
                in_line = b"\r\n" not in buffer[:limit]
                self._refuse(self._load.refusals["long-line" if in_line else "large-head"])
            elif self._idle:  # from the head's first byte on; an empty line does not count
                self._idle = False
                self._deadline = self.loop.time() + self._limits.head_seconds
            return
        head, self._buffer = buffer[:end], buffer[end:]
        # The parser accepts RTSP/1.0, HTTP/0.9 and HTTP/2.0 as well.
        if not head.startswith(_VERSIONS, head.index(b"\r\n") - len(_VERSIONS[0])):
            raise MalformedError
        if not self._load.has_room(len(self.tasks)) and _is_whole_request(head):
            # Unparsed: parsing costs as much as the rest of a refusal.
            self._complete = self._keep_alive = True
            self._refuse_request(head_only=head.startswith(b"HEAD "))
            return
        self._begun = self._framed = self._complete = self._overloaded = False
        self._body_bytes = self._overhead = 0
        self._feed_head(head)

    def _feed_head(self, head: bytes) -> None:
        try:  # noqa: SIM105 - at every request: `suppress` costs ten times as much
            self.parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # Upgrade is ignored (RFC 9110 7.8); the connection closes after the answer
        if not self._framed:
            raise MalformedError  # the parser expects more of a complete head
        if self._overloaded:
            self._discard_body()
            self._refuse_request(head_only=self.scope["method"] == "HEAD")
        elif self._complete:
            self._await_answer()
        else:
            self._phase = _BODY
            self._begin_window(self.loop.time())

    def _read_body(self) -> None:
        """Parse a part of the body, up to its end."""
        left = self._body_left
        if left is None:
            data, self._buffer = self._buffer[:_STEP_BYTES], self._buffer[_STEP_BYTES:]
            self._feed_chunks(data)
            if self._buffer and not self._complete:
                self.flow.hold()
                self.loop.call_soon(self._read_on)
        else:
            data, self._buffer = self._buffer[:left], self._buffer[left:]
            self._body_left = left - len(data)
            if not self._upgrade:
                self.parser.feed_data(data)
            else:
                self.on_body(data)
                self.on_message_complete()
            if not self._body_left and not self._complete:
                raise MalformedError
        if self._complete and self._phase is _BODY:
            self._await_answer()

    def _read_on(self) -> None:
        """Parse the next part of a body of which many bytes arrived at once."""
        self.flow.held = False
        if self not in self.connections:
            return  # the connection was lost meanwhile
        if self._phase is _BODY:
            self._advance()
        if not self.flow.held and len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self.flow.resume_reading()

    def _feed_chunks(self, data: bytes) -> None:
        """Parse a part of a chunked body, with a bound on extensions and trailers.

        A request directly behind the last chunk gets no response, because only the parser knows the
        end of the chunks. Its client sees the connection close (RFC 9112 9.3.2).
        """
        before = self._body_bytes
        self._chunks = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            if not self._complete:
                raise
            self.cycle.keep_alive = False
            self._buffer = data[-1:]  # the connection will not be reused
        framing = len(data) - (self._body_bytes - before) - _CHUNK_BYTES * self._chunks
        self._overhead = max(0, self._overhead + framing)
        if self._overhead > _CHUNK_OVERHEAD_BYTES:
            raise MalformedError

    def _await_answer(self) -> None:
        self._end_receiving()
        self._phase = _ANSWER
        self._deadline = math.inf  # the application has its own deadline

    def on_response_complete(self) -> None:
        """Read the next request."""
        self.server_state.total_requests += 1
        if self._phase is _ANSWER and not self.transport.is_closing():
            self._await_request()
            if self._buffer:
                self._advance()

    def _await_request(self) -> None:
        self._phase = _HEAD
        self.flow.resume_reading()
        self._idle = not self._buffer
        limits = self._limits
        seconds = limits.idle_seconds if self._idle else limits.head_seconds
        self._deadline = self.loop.time() + seconds

    # ------------------------------------------------------------------ ends

    def _begin_window(self, now: float) -> None:
        self._window_began_at = self._body_bytes
        self._deadline = now + self._limits.body_seconds

    def _expire(self, now: float) -> None:
        if self._phase is _BODY:
            came = self._body_bytes - self._window_began_at
            ours = self.flow.read_paused or self.cycle.waiting_for_100_continue
            if ours or came >= self._limits.body_rate * self._limits.body_seconds:
                self._begin_window(now)
            else:
                self._refuse(self._load.refusals["late"])
        elif self._phase is _HEAD and self._buffer and not self.transport.is_closing():
            self._refuse(self._load.refusals["late"])
        else:
            self.transport.abort()

    def _discard_body(self) -> None:
        """Parse a body that arrived whole with its head, so that a refusal keeps the connection.

        The cycle is complete already, so uvicorn discards the bytes.
        """
        left = self._body_left
        if not self._complete and not self._upgrade and left and len(self._buffer) >= left:
            body, self._buffer = self._buffer[:left], self._buffer[left:]
            self._phase = _BODY
            self.parser.feed_data(body)

    def _refuse_request(self, *, head_only: bool) -> None:
        """Send the 503 of a request that exceeds the limit of the application."""
        close = not (self._complete and self._keep_alive) or bool(self._buffer)
        date = self.server_state.default_headers
        refusal = self._load.refusals["overloaded"]
        self.transport.write(refusal.render(date, close=close, head_only=head_only))
        if close:
            self._close()
        else:
            self._await_request()

    def _refuse(self, refusal: Refusal) -> None:
        """Send a refusal and close. A running application sees a client that has disconnected."""
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        begun = False
        if cycle is not None and not cycle.response_complete:
            begun = cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
        if not begun:
            self.transport.write(refusal.render(self.server_state.default_headers, close=True))
        self._complete = False
        self._close()

    def _close(self) -> None:
        """Close after the client has read the response.

        A plain close with unread bytes resets the connection, and the client loses the response.
        So writing ends first, and later bytes are discarded (RFC 9112 9.6).
        """
        if self._phase is _CLOSING or self.transport.is_closing():
            return
        unread = bool(self._buffer) or not self._complete
        self._end_receiving()
        self._phase = _CLOSING
        self._buffer = b""
        self._deadline = self.loop.time() + self._limits.linger_seconds
        if unread:
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()
