"""A dump in a folder of this machine."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from s3import.core.errors import (
    DocumentTooLarge,
    MigrationFailed,
    PartMissing,
    SourceChanged,
    SourceDenied,
    SourceMissing,
    SourceUnavailable,
    system_reason,
)
from s3import.core.records import StoredObject
from s3import.readers.sources.source import MAX_DOCUMENT_BYTES


class FolderSource:
    """The `Source` below the folder `root`. A file's version is its size, time of change and inode.

    Links to files within the root are followed. Links that lead out of it, links to folders, and what is neither file
    nor folder raise SourceDenied when they are met: a dump must not reach what lies outside of it, and nothing of it
    may be passed over in silence.
    """

    rereads_cheaply = True

    def __init__(self, root: str, uri: str | None = None) -> None:
        self.uri = uri or root
        self._root = self.path = Path(os.path.realpath(root))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The files whose key starts with `prefix`, in the order of keys; a folder that is not there holds none."""
        folder = prefix.rpartition("/")[0]
        for key in self._walk(folder + "/" if folder else ""):
            if key.startswith(prefix) and os.path.lexists(self._path(key)):
                yield self._stored(key)

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders right below the root that start with `prefix`, in order; links to folders too."""
        found = [name.removesuffix("/") for name in self._entries("") if name.startswith(prefix)]
        return (name for name in found if self._path(name).is_dir())

    def read(self, key: str) -> bytes | None:
        """A small document as a whole; None when there is no such object. Raises: DocumentTooLarge."""
        try:
            with self._open(key) as file:
                document = file.read(MAX_DOCUMENT_BYTES + 1)
        except PartMissing:
            return None
        if len(document) > MAX_DOCUMENT_BYTES:
            raise DocumentTooLarge(f"{self._path(key)} is larger than {MAX_DOCUMENT_BYTES} bytes; shorten it")
        return document

    def find(self, key: str) -> StoredObject | None:
        """The object of this key as it is now; None when there is no such object."""
        try:
            return self._stored(key)
        except PartMissing:
            return None

    def open(self, stored: StoredObject, offset: int = 0) -> BinaryIO:
        """The object's bytes from `offset` on, forward only. Raises: SourceChanged, PartMissing."""
        file = self._open(stored.key, stored)
        file.seek(offset)
        return cast("BinaryIO", file)

    def open_random(self, stored: StoredObject) -> BinaryIO:
        """The object as a seekable file; a read fetches just its range. Raises: SourceChanged, PartMissing."""
        return self.open(stored)

    def _walk(self, folder: str) -> Iterator[str]:
        """Every file's key below `folder` ("" or ending with "/") in the order of keys, as S3 lists them."""
        for name in self._entries(folder):
            if name.endswith("/"):
                yield from self._walk(folder + name)
            else:
                yield folder + name

    def _entries(self, folder: str) -> Iterator[str]:
        """The names in a folder in the order of keys, those of folders with a slash at their end. Of a million there is
        no more in memory than the names."""
        path = self._path(folder)
        try:
            with _translated(path), os.scandir(path) as entries:
                found = [os.fsencode(entry.name) + b"/" * entry.is_dir(follow_symlinks=False) for entry in entries]
        except PartMissing:
            return iter(())
        found.sort()
        return map(os.fsdecode, found)

    def _stored(self, key: str) -> StoredObject:
        path = self._path(key)
        with _translated(path):
            status = path.stat()
        self._check(key, status)
        return StoredObject(key, status.st_size, _etag(status))

    def _open(self, key: str, stored: StoredObject | None = None) -> _WatchedFile:
        path = self._path(key)
        with _translated(path):
            file = _WatchedFile(path, stored)
        try:
            self._check(key, os.fstat(file.fileno()))
            file.check()
        except BaseException:
            file.close()
            raise
        return file

    def _check(self, key: str, status: os.stat_result) -> None:
        path = self._path(key)
        if not key.isascii() and key != os.fsencode(key).decode("utf-8", "replace"):
            raise MigrationFailed(f"the name of {os.fsencode(path)!r} is not UTF-8; rename the file")
        if not stat.S_ISREG(status.st_mode):
            raise SourceDenied(f"{path} is no regular file (links to folders are not followed); remove or replace it")
        if not Path(os.path.realpath(path)).is_relative_to(self._root):
            raise SourceDenied(f"{path} is a link that leads out of {self._root}; put the file itself there")

    def _path(self, key: str) -> Path:
        return self._root / key


class _WatchedFile(io.FileIO):
    """A file of which only the planned version's bytes are handed out: it looks after each reading."""

    def __init__(self, path: Path, stored: StoredObject | None) -> None:
        super().__init__(path, opener=_open_at_once)
        self._path = path
        self._etag = stored.etag if stored else _etag(os.fstat(self.fileno()))

    def read(self, size: int | None = -1) -> bytes:
        with _translated(self._path):
            chunk = super().read(-1 if size is None else size) or b""
        self.check(at_end=size != 0 and not chunk)
        return chunk

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        with _translated(self._path):
            count = super().readinto(buffer) or 0
        self.check(at_end=count == 0 and len(buffer) > 0)
        return count

    def check(self, *, at_end: bool = False) -> None:
        """Raise SourceChanged when the file was written to, or (looked at once, at the end) replaced by another."""
        with _translated(self._path):
            statuses = [os.fstat(self.fileno())] + ([self._path.stat()] if at_end else [])
        if any(_etag(status) != self._etag for status in statuses):
            raise SourceChanged(
                f"{self._path} changed since it was listed; when nobody writes to it any more, "
                "run the same command again"
            )


def _open_at_once(path: str, flags: int) -> int:
    """Open for reading; without O_NONBLOCK the opening of a pipe would wait for its other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise PartMissing(f"{path} is not there; put it back, then run the same command again") from error
    except PermissionError as error:
        raise SourceDenied(f"{path} may not be read by this user; allow it, then run the same command again") from error
    except NotADirectoryError as error:
        raise SourceMissing(f"{path} is not a folder; correct the source") from error
    except IsADirectoryError as error:
        raise PartMissing(f"{path} is a folder where a file is expected; correct the dump") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # what cannot have a name is not there
            raise PartMissing(f"{path} cannot exist: its name is too long") from error
        raise SourceUnavailable(f"{path} cannot be read: {system_reason(error)}; run the same command again") from error
