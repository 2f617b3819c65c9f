from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_runtime.headers import TrimmedHeaders, accepts_coding, joined, tags_of


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (b'"a"', [b"a"]),
        (b'"a",', [b"a"]),
        (b' , "a" ,\t, W/"b",,', [b"a", b"b"]),
        (b'"a,b"', [b"a,b"]),
        (b'""', [b""]),
        (b"", []),
        (b" , ,", []),
    ],
)
def test_a_list_of_tags_may_hold_empty_elements(header: bytes, tags: list[bytes]) -> None:
    assert tags_of(header) == tags


@pytest.mark.parametrize("header", [b"a", b'"a" "b"', b'"a', b'w/"a"', b'"a b"', b"*", b'"a", b'])
def test_what_is_no_list_of_tags_is_none(header: bytes) -> None:
    assert tags_of(header) is None


@given(st.lists(st.sampled_from([b'"a"', b'W/"b"', b"", b" ", b"\t"]), max_size=8))
def test_a_list_over_several_lines_is_the_list_on_one(lines: list[bytes]) -> None:
    value = joined([(b"if-match", line) for line in lines], b"if-match")
    assert (value is None) == (not lines)
    assert tags_of(value or b"") == [line.strip(b'W/" ') for line in lines if b'"' in line]


@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        ([], False),
        ([b""], False),
        ([b"gzip"], True),
        ([b"br, GZIP , zstd"], True),
        ([b"br", b"gzip"], True),
        ([b"gzip;q=1.000"], True),
        ([b"gzip ; Q=0.001"], True),
        ([b"gzip;q=0"], False),
        ([b"gzip;q=0.000, *"], False),
        ([b"gzip;q=0., *"], False),
        ([b"gzip;q=2"], False),
        ([b"gzip;q="], False),
        ([b"*"], True),
        ([b"*;q=0"], False),
        ([b"*;q=0, gzip"], True),
        ([b"br, identity"], False),
        ([b"xgzip"], False),
    ],
)
def test_a_coding_is_accepted_by_its_weight(values: list[bytes], accepted: bool) -> None:
    headers = [(b"accept-encoding", value) for value in values]
    assert accepts_coding(headers, b"gzip") == accepted


async def test_white_space_around_values_is_removed_before_anybody_reads_them() -> None:
    seen: list[Any] = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        seen.append(scope)

    headers = [(b"host", b" a\t"), (b"cookie", b"a=b; c"), (b"x", b""), (b"y", b" ")]
    scope = {"type": "http", "headers": headers}
    await TrimmedHeaders(app)(scope, None, None)  # type: ignore[arg-type]
    assert seen[0]["headers"] == [(b"host", b"a"), (b"cookie", b"a=b; c"), (b"x", b""), (b"y", b"")]
