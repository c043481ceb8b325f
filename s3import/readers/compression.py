"""From the stored bytes of a part to its text: plain, gzip (any number of members) or zstd (any number of frames)."""

from __future__ import annotations

from typing import BinaryIO, Literal

import pyarrow as pa

from s3import.errors import PartUnreadable, SourceChanged

Compression = Literal["gzip", "zstd"]

SKIP_BYTES = 1024 * 1024


class Text:
    """A part's text from a place on, read forward only.

    `stream` gives the stored bytes: of a plain part from `offset` on, of a compressed one from its very start, in which
    case the text before `offset` is decompressed and dropped. The stream stays the caller's to close.

    Raises: SourceChanged when a compressed part ends before `offset`; PartUnreadable as `read`.
    """

    def __init__(self, stream: BinaryIO, compression: Compression | None, object_name: str, offset: int = 0) -> None:
        self._stored = _Counted(stream)
        self._object_name = object_name
        self._compression = compression
        if compression is not None:
            self._text = pa.CompressedInputStream(pa.PythonFile(self._stored, mode="r"), compression)
            self._skip(offset)

    @property
    def stored_bytes(self) -> int:
        """How many stored bytes were read so far: a little ahead of the text handed out."""
        return self._stored.count

    def read(self, size_bytes: int) -> bytes:
        """At most `size_bytes` of text, maybe less; nothing only at the end.

        What the stream raises comes through unchanged. Raises: PartUnreadable when the compressed bytes are damaged or
        end too early.
        """
        if self._compression is None:
            return self._stored.read(size_bytes)
        try:
            return bytes(self._text.read(size_bytes))
        except (OSError, pa.ArrowException) as error:
            raise PartUnreadable(
                f"{self._object_name}: cannot be decompressed as {self._compression} ({type(error).__name__}); "
                "repair or upload the object again, then run the same command: it resumes"
            ) from error

    def _skip(self, size_bytes: int) -> None:
        left = size_bytes
        while left:
            skipped = len(self.read(min(left, SKIP_BYTES)))
            if not skipped:
                raise SourceChanged(
                    f"{self._object_name}: ends {left} bytes before the place where its import stopped; "
                    "it is not the object that was read before: put that one back, then run the same command"
                )
            left -= skipped


class _Counted:
    """The stored bytes, counted; closing it leaves the stream open."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size_bytes: int) -> bytes:
        chunk = self._stream.read(size_bytes)
        self.count += len(chunk)
        return chunk

    def close(self) -> None:
        """Arrow closes what it wraps; the stream is not ours to close."""
