"""Lines of an import from pieces of any size."""

from collections.abc import AsyncIterator, Iterable

from repair_writer.imports import MAX_LINE_BYTES, _lines


class Piece(bytes):
    """A piece that counts the bytes copied when it is joined to others."""

    copied = 0

    def __radd__(self, before: bytes) -> bytes:
        Piece.copied += len(before) + len(self)
        return before + bytes(self)


async def lines(pieces: Iterable[bytes]) -> list[tuple[int, bytes | None]]:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [one async for one in _lines(body())]


async def test_borders_of_pieces_do_not_matter() -> None:
    text = b"a\n\n bc \n" + b"x" * 20 + b"\nlast"
    expected = [(1, b"a"), (3, b" bc "), (4, b"x" * 20), (5, b"last")]
    for size in (1, 2, 3, 7, 100):
        assert await lines(text[at : at + size] for at in range(0, len(text), size)) == expected


async def test_a_line_that_is_too_long_is_named_and_not_kept() -> None:
    long = b"x" * (MAX_LINE_BYTES + 1)
    for size in (1_000, 300_000):
        text = b"a\n" + long + b"\nb\n" + long
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert await lines(pieces) == [(1, b"a"), (2, None), (3, b"b"), (4, None)]
    assert await lines([b"x" * MAX_LINE_BYTES]) == [(1, b"x" * MAX_LINE_BYTES)]


async def test_small_pieces_are_not_copied_again_and_again() -> None:
    Piece.copied = 0
    assert len(await lines(Piece(b"x") for _ in range(20_000))) == 1
    assert Piece.copied <= 20_000
