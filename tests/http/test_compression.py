"""Bounded gzip decompression."""

from __future__ import annotations

import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay.http import CompressionError, Decompressor, TruncatedError, decompress

SIZES = st.integers(0, 200)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.lists(SIZES, max_size=5), SIZES)
def test_pieces_do_not_matter(parts: list[bytes], cuts: list[int], limit: int) -> None:
    """All members, or the first alone, decompress to the same bytes however they are cut, up to the limit."""
    data = b"\0\0".join(map(gzip.compress, parts))
    for members, whole in ((True, b"".join(parts)), (False, parts[0])):
        ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
        one = Decompressor(limit, members=members)
        fed = b"".join(one.feed(data[start:end]) for start, end in pairwise(ends))
        assert fed == decompress(data, limit, members=members) == whole[: limit + 1]
        assert one.exceeded is (len(whole) > limit)
        assert one.complete or one.exceeded


@given(st.binary(max_size=200))
def test_foreign_bytes_raise_one_error(data: bytes) -> None:
    """Bytes that are not gzip raise `CompressionError` and nothing else."""
    with pytest.raises(CompressionError):
        decompress(b"x" + data, 100)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_truncated_data_is_returned_with_the_error(plain: bytes, draw: st.DataObject) -> None:
    """Data that ends too early raises `TruncatedError` with the bytes so far."""
    data = gzip.compress(plain)
    end = draw.draw(st.integers(0, len(data) - 1))
    with pytest.raises(TruncatedError) as caught:
        decompress(data[:end], 1000)
    assert plain.startswith(caught.value.data)


def test_many_small_members_take_little_time() -> None:
    """A megabyte of empty members is read in one pass."""
    assert decompress(gzip.compress(b"") * 50_000, 10, members=True) == b""
