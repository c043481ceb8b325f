"""The way of one file: where its bytes are, whether they are there already, and how they get there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from s3import.errors import (
    FileDiffers,
    FileMissing,
    FileRejected,
    FilesRefused,
    PartMissing,
    SourceChanged,
    SourceDenied,
)
from s3import.files.download import Downloads
from s3import.files.file import Content, Copied, Failed, File, Stored
from s3import.files.keys import storage_key
from s3import.files.target import Copies, Place
from s3import.readers.source import Source
from s3import.records import Entity, StoredObject
from s3import.validators import leaves_source

PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies files of one account from `source`, or from where their URLs lead, to `place`.

    `require_going` raises when nothing more is to be done; it is called between pieces of large files.
    """

    source: Source
    place: Place
    downloads: Downloads
    require_going: Callable[[], None]

    def key(self, file: File) -> str:
        """The file's key below the target."""
        return self.place.folder + storage_key(file.entity, file.id, file.filename)

    def look_up(self, files: Iterable[File]) -> dict[str, Stored]:
        """What lies where these files belong, by its key; what is not in the answer may be there, too."""
        return self.place.target.look_up([self.key(file) for file in files])

    def copy(self, file: File, there: Stored | None) -> Copied:
        """Copy the file, unless what lies `there` at its key is the same already.

        Raises: FileMissing, FileDiffers; FilesRefused, SourceUnavailable, and what `require_going` raises.
        """
        key = self.key(file)
        if there is not None and (same := self._same(file, key, there)):
            return Copied(file, key, same)
        return Copied(file, key, self._copy(file, key))

    def confirm(self, copied: list[Copied]) -> tuple[list[Copied], list[Failed]]:
        """Look whether the files lie where they were copied to: those that do, and what is wrong with the others."""
        right, wrong = [], []
        found = self.place.target.look_up([one.storage_key for one in copied])
        for one in copied:
            stored = found.get(one.storage_key) or self.place.target.find(one.storage_key)
            try:
                right.append(replace(one, stored=self._confirmed(one, stored)))
            except FileRejected as error:
                wrong.append(Failed(one.file, error))
        return right, wrong

    def _confirmed(self, copied: Copied, stored: Stored | None) -> Stored:
        file = copied.file
        if stored is None or stored.etag != copied.stored.etag:
            raise FileDiffers("what was stored is gone or another by now; somebody else writes to the same place")
        if file.size_bytes not in (None, stored.size_bytes):
            self.place.target.remove(copied.storage_key)
            raise _differs_in_size(file, stored.size_bytes)
        return stored

    # --- is it there already? --------------------------------------------------------------------------------------

    def _same(self, file: File, key: str, there: Stored) -> Stored | None:
        """What lies there, if it is known to be the same."""
        if file.size_bytes not in (None, there.size_bytes):
            return None
        wanted = file.sha256
        if wanted is None and file.key is not None:
            now = self._find(file.key)
            if now.size_bytes != there.size_bytes:
                return None
            if now.etag == there.etag:
                return there
            wanted = self._digest(now) if self.source.rereads_cheaply else None
        found = self.place.target.find(key) if wanted else None
        return found if found and found.sha256 == wanted else None

    # --- how it gets there -----------------------------------------------------------------------------------------

    def _copy(self, file: File, key: str) -> Stored:
        if file.url is not None:
            return self.downloads.fetch(file.url, lambda pieces: self._put(file, key, pieces, None))
        if file.key is None or (file.entity is Entity.MESSAGES and leaves_source(file.key)):  # others were checked
            raise FileMissing("it does not name a file within the source")
        copies = self.place.target.copies_from(self.source)
        return self._have_copied(file, file.key, key, copies) if copies else self._stream(file, file.key, key)

    def _stream(self, file: File, source_key: str, key: str) -> Stored:
        now = self._find(source_key)
        _require_size(file, now)
        with _readable(source_key), closing(self.source.open(now)) as body:
            return self._put(file, key, iter(lambda: body.read(PIECE_BYTES), b""), now.size_bytes)

    def _put(self, file: File, key: str, pieces: Iterator[bytes], size_bytes: int | None) -> Stored:
        content = Content(self._checked(file, pieces), file.label, size_bytes, file.sha256)
        return self.place.target.put(key, content)

    def _checked(self, file: File, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces. Raises: FileDiffers once it is clear that they are not what the record tells of."""
        digest, size_bytes = hashlib.sha256(), 0
        for piece in pieces:
            self.require_going()
            digest.update(piece)
            size_bytes += len(piece)
            if file.size_bytes is not None and size_bytes > file.size_bytes:
                break
            yield piece
        if file.size_bytes not in (None, size_bytes):
            raise _differs_in_size(file, size_bytes)
        _require_sha256(file, digest.hexdigest())

    def _have_copied(self, file: File, source_key: str, key: str, copies: Copies) -> Stored:
        """Have the store copy the file, which it does without telling the size: `confirm` looks at that."""
        size_bytes = file.size_bytes
        if size_bytes is None:
            size_bytes = self._find(source_key).size_bytes
        if not copies.takes_whole(size_bytes):
            return self._have_parts_copied(file, source_key, key, copies)
        try:
            stored = copies.copy(source_key, key, file.label)
        except PartMissing as error:
            raise _not_there(source_key) from error
        except FilesRefused:
            _require_size(file, self._find(source_key))  # where the source is at fault, this says so
            raise
        self._check_copy(file, source_key, key, stored)
        return stored

    def _have_parts_copied(self, file: File, source_key: str, key: str, copies: Copies) -> Stored:
        """As `_have_copied`, part by part; no SHA-256 is told then: where one is given the file is read for that."""
        now = self._find(source_key)
        _require_size(file, now)
        if file.sha256:
            _require_sha256(file, self._digest(now))
        with _readable(source_key):
            return copies.copy_parts(now, key, file.label, file.sha256, self.require_going)

    def _check_copy(self, file: File, source_key: str, key: str, stored: Stored) -> None:
        if file.sha256:
            try:
                _require_sha256(file, stored.sha256 or self._digest(self._find(source_key)))
            except FileDiffers:
                self.place.target.remove(key)
                raise

    # --- the source --------------------------------------------------------------------------------------------------

    def _find(self, source_key: str) -> StoredObject:
        """The object as it is now. Raises: FileMissing."""
        with _readable(source_key):
            found = self.source.find(source_key)
        if found is None:
            raise _not_there(source_key)
        return found

    def _digest(self, stored: StoredObject) -> str:
        digest = hashlib.sha256()
        with _readable(stored.key), closing(self.source.open(stored)) as body:
            for piece in iter(lambda: body.read(PIECE_BYTES), b""):
                self.require_going()
                digest.update(piece)
        return digest.hexdigest()


@contextmanager
def _readable(source_key: str) -> Iterator[None]:
    """What keeps one file from being read concerns that file alone."""
    try:
        yield
    except PartMissing as error:
        raise _not_there(source_key) from error
    except SourceDenied as error:
        raise FileMissing(f"the source refuses it: {error.message}") from error
    except SourceChanged as error:
        raise FileDiffers("it changed while it was copied") from error


def _not_there(source_key: str) -> FileMissing:
    return FileMissing(f"the source holds no {source_key}")


def _require_size(file: File, now: StoredObject) -> None:
    if file.size_bytes not in (None, now.size_bytes):
        raise _differs_in_size(file, now.size_bytes)


def _differs_in_size(file: File, size_bytes: int) -> FileDiffers:
    return FileDiffers(f"it has {size_bytes} bytes, not {file.size_bytes}")


def _require_sha256(file: File, found: str) -> None:
    if file.sha256 not in (None, found):
        raise FileDiffers(f"its sha256 is {found}, not the one given")
