"""Content encodings: what a store, or a server, has packed a file in on top of what the file is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa

from s3import.core.errors import FileDiffers

PIECE_BYTES = 64 * 1024
_CODECS = {"gzip": "gzip", "x-gzip": "gzip", "br": "brotli", "zstd": "zstd"}
_NONE = ("", "identity", "aws-chunked")  # the last is how a body was sent, which some stores write down as S3 does not
_WORD = re.compile(r"[a-z0-9._-]{1,32}")


def canonical_encoding(header: str | None) -> str | None:
    """The encodings that a Content-Encoding header names, as ``gzip`` or ``gzip, br``; None without any.

    Raises: FileDiffers where it is no such header.
    """
    words = [word for word in re.split(r"[ \t,]+", (header or "").lower()) if word not in _NONE]
    if not all(_WORD.fullmatch(word) for word in words):
        raise FileDiffers("its Content-Encoding is none")
    return ", ".join(words) or None


def decoded(pieces: Iterator[bytes], encoding: str | None) -> Iterator[bytes]:
    """The bytes that were encoded. Raises: FileDiffers when they cannot be had; what `pieces` raises."""
    if encoding is None:
        yield from pieces
        return
    if encoding not in _CODECS:
        raise FileDiffers(f"it is encoded as {encoding}, which is not undone here")
    packed = _Packed(pieces)
    try:
        plain = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), _CODECS[encoding])
        yield from iter(lambda: plain.read(PIECE_BYTES), b"")
    except (OSError, pa.ArrowException) as error:
        if packed.error is not None:
            raise packed.error from None
        raise FileDiffers(f"it is not the {encoding} that its Content-Encoding says, or ends early") from error


class _Packed:
    """The pieces as a file; `error` is what they ended with."""

    closed = False

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""
        self.error: BaseException | None = None

    def read(self, size_bytes: int) -> bytes:
        try:
            found = self._left or next(self._pieces, b"")
        except BaseException as error:
            self.error = error
            raise
        self._left = found[size_bytes:]
        return found[:size_bytes]

    def close(self) -> None:
        """Arrow closes what it wraps; the pieces are not its own."""
