"""Files made of HTTP bodies: they outlive the connections, and hold bytes of one version of an object only."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Protocol

PIECE_BYTES = 1024 * 1024  # the most that a break in a body costs


class Stream(Protocol):
    """A body on its way: read gives at most `size` bytes, b"" at its end."""

    def read(self, size: int) -> bytes: ...
    def close(self) -> None: ...


class Version(Protocol):
    """One version of an object."""

    @property
    def size_bytes(self) -> int: ...

    def with_retries(self, work: Callable[[], Any], /) -> Any:
        """What `work` returns, tried again where that helps."""
        ...

    def fetch(self, start: int, end: int) -> Stream:
        """Ask once for the bytes from `start` to `end`. Raises: SourceChanged when the version is gone."""
        ...

    def confirm(self) -> None:
        """Raise SourceChanged or PartMissing unless this still is the object's version."""
        ...


class Body(io.RawIOBase):
    """The bytes from `start` to `end` of a version, forward only; a body that breaks is opened again where it was."""

    def __init__(self, version: Version, start: int, end: int) -> None:
        self._version = version
        self._offset, self._end = start, end
        self._stream: Stream | None = None
        self._piece_bytes = PIECE_BYTES

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        size_bytes = min(size, self._end - self._offset)
        if size_bytes <= 0:
            return b""
        # Every call brings bytes or fails: so each has all the time there is for retries.
        piece: bytes = self._version.with_retries(lambda: self._read_piece(size_bytes))
        self._offset += len(piece)
        return piece

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(PIECE_BYTES), b""))

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._drop()
        super().close()

    def _read_piece(self, size_bytes: int) -> bytes:
        try:
            if self._stream is None:
                self._stream = self._version.fetch(self._offset, self._end)
            piece = self._stream.read(min(size_bytes, self._piece_bytes))
            if not piece:
                raise ConnectionError(f"the body ended {self._end - self._offset} bytes early")
        except BaseException:
            self._drop()
            raise
        self._piece_bytes = min(self._piece_bytes * 2, PIECE_BYTES)
        return piece

    def _drop(self) -> None:
        """Give the connection up, and take smaller pieces for a while: what came of a broken piece is lost."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._piece_bytes = max(self._piece_bytes // 16, 1)


class WholeBody(Body):
    """A body up to the object's end, where the object must still be the version that was read."""

    def __init__(self, version: Version, start: int = 0) -> None:
        super().__init__(version, start, version.size_bytes)
        self._confirmed = False

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if not piece and size != 0 and not self._confirmed:
            self._version.confirm()
            self._confirmed = True
        return piece


class RandomFile(io.RawIOBase):
    """An object as a seekable file: each reading is one request for exactly its bytes."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._version.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("a place before the file's start")
        self._offset = base + offset
        return self._offset

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._version.size_bytes - self._offset, 0)
        length = left if size is None or size < 0 else min(size, left)
        with Body(self._version, self._offset, self._offset + length) as body:
            chunk = body.readall()
        self._offset += len(chunk)
        return chunk

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
