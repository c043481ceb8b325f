"""Files copied into a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from s3import.core.errors import FilesRefused, system_reason
from s3import.files.file import Content, Stored
from s3import.readers.sources.source import Source

PIECE_BYTES = 1024 * 1024


class FolderTarget:
    """The `Target` below the folder `root`, which is made where it is missing. Labels are kept nowhere."""

    keeps_encodings = False

    def __init__(self, root: Path) -> None:
        self.uri = str(root)
        self._root = root

    def find(self, key: str) -> Stored | None:
        """What lies there, with its SHA-256, for which the file is read; None when nothing does."""
        path = self._root / key
        with _translated(path), suppress(FileNotFoundError), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return _stored(os.fstat(file.fileno()), digest)
        return None

    def look_up(self, keys: Sequence[str]) -> dict[str, Stored]:
        """What lies at these keys, by key."""
        found = {}
        for key in keys:
            path = self._root / key
            with _translated(path), suppress(FileNotFoundError):
                found[key] = _stored(path.stat())
        return found

    def put(self, key: str, content: Content) -> Stored:
        """Store the content: the file is there as a whole, and on the disk, or not at all."""
        path = self._root / key
        unfinished = path.with_name(f".{secrets.token_hex(8)}.unfinished")
        with _translated(path):
            _make_folder(path.parent)
            try:
                _write(unfinished, content.pieces)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
            _sync(path.parent)
            return _stored(path.stat())

    def copies_from(self, source: Source) -> None:
        """None: all bytes come by here."""

    def remove(self, key: str) -> None:
        """Take away the file at the key, if that is allowed; nothing is said when it is not."""
        with suppress(OSError):
            (self._root / key).unlink()


def _make_folder(folder: Path) -> None:
    """Make the folder and those above it, as far as they are missing, and have their names on the disk."""
    missing = [one for one in (folder, *folder.parents) if not one.is_dir()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        _sync(one.parent)


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Have the folder's names on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stored(status: os.stat_result, sha256: str | None = None) -> Stored:
    return Stored(status.st_size, f"{status.st_size}-{status.st_mtime_ns}", sha256)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fault = system_reason(error)
        message = f"{path} cannot be written or read: {fault}; make room or allow it, then run the same command"
        raise FilesRefused(message) from error
