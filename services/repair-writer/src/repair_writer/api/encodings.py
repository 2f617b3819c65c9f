"""Content-Encoding of request bodies: rejected or decoded within bounds (RFC 9110, section 8.4)."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request

from repair_writer.api.problems import problem_of

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_WBITS: Final = 31
_PIECE: Final = 64 * 1024
#: A list of repairs decompresses to about thirty times its size. A far larger ratio is a bomb.
_MAX_RATIO: Final = 200
_FREE_BYTES: Final = 16 * 1024 * 1024


def is_packed(request: Request, *, gzip_is_read: bool = False) -> bool:
    """Return whether the body is compressed by gzip.

    Raises the problem 415 for any other coding, and for gzip without `gzip_is_read`.
    """
    codings = request.headers.getlist("content-encoding")
    names = [name for line in codings for one in line.split(",") if (name := one.strip().lower())]
    if all(name == "identity" for name in names):
        return False
    if gzip_is_read and len(names) == 1 and names[0] in _GZIP:
        return True
    accepted = "gzip, identity" if gzip_is_read else "identity"
    how = "packed by gzip once, or as it is" if gzip_is_read else "as it is"
    problem = problem_of(
        "media-type", f"This Content-Encoding is not read here. Send the body {how}."
    )
    problem.headers["Accept-Encoding"] = accepted
    raise problem


async def unpacked(pieces: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """Yield the decompressed bytes of these gzip pieces, in pieces of at most 64 KiB.

    Several members may follow each other. Raises the problem 413 beyond `most` bytes, or beyond a
    ratio of 200 (16 MiB are free). Raises the problem 400 for an invalid or incomplete stream.
    """
    unpacker = zlib.decompressobj(_GZIP_WBITS)
    packed = total = 0
    begun = False
    async for piece in pieces:
        packed += len(piece)
        begun = begun or bool(piece)
        data, more = piece, False
        while data or more:
            if unpacker.eof:
                unpacker = zlib.decompressobj(_GZIP_WBITS)
            out = _unpack(unpacker, data)
            total += len(out)
            _check_size(total, packed, most)
            if out:
                yield out
                await asyncio.sleep(0)
            data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            more = len(out) == _PIECE and not unpacker.eof
    if begun and not unpacker.eof:
        raise problem_of("malformed", f"The gzip stream ends before its end. {_BEFORE}")


_BEFORE: Final = "Lines before that may have been saved; send all of it again."


def _unpack(unpacker: "zlib._Decompress", data: bytes) -> bytes:
    try:
        return unpacker.decompress(data, _PIECE)
    except zlib.error as error:
        raise problem_of("malformed", f"This is not a gzip stream: {error}. {_BEFORE}") from error


def _check_size(total: int, packed: int, most: int) -> None:
    if total > most:
        raise problem_of(
            "too-large", f"The body unpacks to more than {most} bytes. {_BEFORE} Send it in parts."
        )
    if total > _FREE_BYTES + _MAX_RATIO * packed:
        raise problem_of(
            "too-large",
            f"The body unpacks to more than {_MAX_RATIO} times its size. {_BEFORE} "
            "Send it without Content-Encoding.",
        )
