"""The spooled results of an import: one line each, with a bound on refusals."""

import tempfile
from collections.abc import AsyncIterator
from typing import IO, Final

import msgspec
from prometheus_client import Counter

from repair_writer.api.problems import problem_of
from repair_writer.imports import Result
from service_runtime.errors import Problem
from service_runtime.metrics import REGISTRY

#: Beyond either limit, refused lines are only counted, with ranges of line numbers.
MAX_REFUSALS: Final = 1_000
MAX_REFUSAL_BYTES: Final = 1024 * 1024
MAX_RANGES: Final = 1_000
_PIECE: Final = 256 * 1024
#: Below this many bytes the results stay in memory.
_SPOOL_BYTES: Final = 1024 * 1024

LINES = Counter(
    "writer_import_lines",
    "Lines of imports by what became of them.",
    ["outcome"],
    registry=REGISTRY,
)


class RefusedLines(msgspec.Struct, kw_only=True):
    """Refused lines of one code that are counted instead of listed.

    `ranges` contains pairs [first, last] of line numbers. `unlisted` counts the lines in no range.
    """

    outcome: str = "refused"
    code: str
    count: int = 0
    ranges: list[list[int]] = msgspec.field(default_factory=list)
    unlisted: int = 0


class SpoolRoom:
    """The bytes on disk that the results of all imports may use at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    def take(self, count: int) -> None:
        """Reserve `count` bytes. Raises the problem 503 if they are not free."""
        if self._taken + count > self._most:
            raise _no_room("The results of running imports take all the room that there is.")
        self._taken += count

    def give_back(self, count: int) -> None:
        """Release `count` reserved bytes."""
        self._taken -= count


class ImportResults:
    """The results of one import: written once, read once, deleted on close."""

    def __init__(self, room: SpoolRoom) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115
        self._room = room
        self._size = 0
        self._refusals = 0
        self._refusal_bytes = 0
        self._counted: dict[str, RefusedLines] = {}
        self._ranges = 0
        self.lines = 0
        self.refused = 0

    def write(self, results: list[Result]) -> None:
        """Append results, one a line. Raises the problem 503 when there is no room."""
        self.lines += len(results)
        told = []
        for result in results:
            LINES.labels(result.outcome).inc()
            line = _encoder.encode(result) + b"\n"
            if result.outcome != "refused" or self._is_told(line):
                told.append(line)
            else:
                self._count(result)
        self._append(b"".join(told))

    def finish(self) -> None:
        """Append one line for each code with counted lines. Raises the problem 503."""
        self._append(b"".join(_encoder.encode(one) + b"\n" for one in self._counted.values()))

    async def read(self) -> AsyncIterator[bytes]:
        """Yield all written bytes, in pieces of at most 256 KiB."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece

    def close(self) -> None:
        """Delete the results and release the room. May be called again."""
        self._file.close()
        self._room.give_back(self._size)
        self._size = 0

    def _append(self, data: bytes) -> None:
        self._room.take(len(data))
        self._size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise _no_room(f"The results cannot be kept: {error.strerror}.") from error

    def _is_told(self, line: bytes) -> bool:
        """Count a refused line. Return whether it is listed individually."""
        self.refused += 1
        if self._counted or self._refusals >= MAX_REFUSALS:
            return False
        self._refusals += 1
        self._refusal_bytes += len(line)
        return self._refusal_bytes <= MAX_REFUSAL_BYTES

    def _count(self, result: Result) -> None:
        code = str(result.code)
        same = self._counted.setdefault(code, RefusedLines(code=code))
        same.count += 1
        if not same.unlisted and same.ranges and same.ranges[-1][1] == result.line - 1:
            same.ranges[-1][1] = result.line
        elif not same.unlisted and self._ranges < MAX_RANGES:
            self._ranges += 1
            same.ranges.append([result.line, result.line])
        else:
            same.unlisted += 1


_encoder = msgspec.json.Encoder()


def _no_room(why: str) -> Problem:
    return problem_of(
        "overloaded",
        f"{why} Lines before that may have been saved; send all of it again later, "
        "or in smaller parts: lines that are saved already are unchanged.",
    )
