"""Bounded gzip decompression."""

from __future__ import annotations

import zlib

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 16 * 1024
"""Bytes per step of `decompress`. Each member copies the rest of its step, so that steps are small."""


class CompressionError(Exception):
    """The data is not gzip, or is damaged."""


class TruncatedError(CompressionError):
    """
    The compressed data ends too early.

    Attributes:
        data: The bytes that were decompressed.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        super().__init__("the compressed data ends too early")


class Decompressor:
    """
    Decompress gzip in pieces, up to a limit.

    Args:
        limit: Maximum number of decompressed bytes. One more is returned if there are
            more, so that the caller can tell.
        members: Read all members of the data. By default only the first is read, and what follows it is
            ignored, as browsers do: its checksum proves that it is complete.
    """

    __slots__ = ("_left", "_members", "_stream")

    def __init__(self, limit: int, *, members: bool = False) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._left = limit + 1
        self._members = members

    @property
    def complete(self) -> bool:
        """Whether the data ends with a complete member."""
        return self._stream.eof

    @property
    def exceeded(self) -> bool:
        """Whether more than ``limit`` bytes were decompressed."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """
        Return the bytes that a piece of the data decompresses to.

        Raises:
            CompressionError: The data is not gzip, or is damaged.
        """
        plain = b""
        while data and self._left:
            if self._stream.eof:
                if not self._members or not (data := data.lstrip(b"\0")):
                    break
                self._stream = zlib.decompressobj(_GZIP)
            try:
                part = self._stream.decompress(data, self._left)
            except zlib.error as error:
                raise CompressionError(str(error)) from error
            self._left -= len(part)
            plain = plain + part if plain else part
            data = self._stream.unused_data
        return plain


def decompress(data: bytes, limit: int, *, members: bool = False) -> bytes:
    """
    Return decompressed gzip data: ``limit + 1`` bytes if there are more than ``limit``.

    Args:
        data: One or more gzip members.
        limit: Maximum number of decompressed bytes.
        members: Read all members instead of the first one; see `Decompressor`.

    Raises:
        CompressionError: The data is not gzip, or is damaged.
        TruncatedError: The data ends too early.
    """
    decompressor = Decompressor(limit, members=members)
    plain = bytearray()
    for start in range(0, len(data), _PIECE):
        plain += decompressor.feed(data[start : start + _PIECE])
        if decompressor.exceeded:
            return bytes(plain)
    if not decompressor.complete:
        raise TruncatedError(bytes(plain))
    return bytes(plain)
