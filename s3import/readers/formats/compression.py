"""From the stored bytes of a part to its text: plain, gzip (any number of members) or zstd (any number of frames)."""

from __future__ import annotations

import gzip
import zlib
from typing import BinaryIO, Literal, cast

import pyarrow as pa

from s3import.core.errors import PartUnreadable, SourceChanged
from s3import.readers.formats.signatures import SIGNATURE_BYTES, require_signature

Compression = Literal["gzip", "zstd"]

SKIP_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024  # of stored bytes read at least: decompressors ask for less
_EXTENSIONS = {None: ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}


class Text:
    """A part's text from a place on, read forward only.

    `stream` gives the stored bytes: of a plain part from `offset` on, of a compressed one from its very start, in which
    case the text before `offset` is decompressed and dropped. The stream stays the caller's to close. `remedy`: what to
    do about a part of another kind than its name says, where another name would not help.

    Raises: SourceChanged when a compressed part ends before `offset`; PartUnreadable when it is of another kind than
    its name says, and as `read`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        compression: Compression | None,
        object_name: str,
        offset: int = 0,
        remedy: str | None = None,
    ) -> None:
        self._stored = _Counted(stream)
        self._object_name = object_name
        self._compression = compression
        if compression is not None or not offset:
            require_signature(self._stored.peek(SIGNATURE_BYTES), _EXTENSIONS[compression], object_name, remedy)
        if compression is not None:
            self._text = self._decompressed(compression)
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
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise PartUnreadable(
                f"{self._object_name}: cannot be decompressed as {self._compression}: {_fault(error)}, then run the "
                "same command: it resumes"
            ) from error

    def _decompressed(self, compression: Compression) -> gzip.GzipFile | pa.CompressedInputStream:
        if compression == "gzip":  # as `gzip` does, Python's reader takes zeros behind a member for padding
            return gzip.GzipFile(fileobj=cast("BinaryIO", self._stored))
        return pa.CompressedInputStream(pa.PythonFile(self._stored, mode="r"), compression)

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


def _fault(error: Exception) -> str:
    """What is wrong with compressed bytes, and what to do."""
    if "too much memory" in str(error):
        return "its window is larger than 128 MiB; compress it again without --long, or with --long=27 at most"
    return "it is damaged or ends too early; repair or upload the object again"


class _Counted:
    """The stored bytes, counted as they are handed out; closing it leaves the stream open."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = b""
        self.count = 0

    def peek(self, size_bytes: int) -> bytes:
        """The next bytes, which stay: at most so many, and fewer only at the end."""
        while len(self._held) < size_bytes and (chunk := self._stream.read(CHUNK_BYTES)):
            self._held += chunk
        return self._held[:size_bytes]

    def read(self, size_bytes: int) -> bytes:
        held = self._held or self._stream.read(max(size_bytes, CHUNK_BYTES))
        chunk, self._held = held[:size_bytes], held[size_bytes:]
        self.count += len(chunk)
        return chunk

    def close(self) -> None:
        """Decompressors close what they wrap; the stream is not ours to close."""
