"""A file that is read through another one."""

from __future__ import annotations

import io
from typing import BinaryIO


class WrappedFile(io.RawIOBase):
    """Gives what `file` does. What a subclass does to that, it does in `read`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        return self._file.read(-1 if size is None else size)
