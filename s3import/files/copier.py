"""The way of one file: where its bytes are, whether they are there already, and how they get there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from s3import.core.errors import (
    FileDiffers,
    FileMissing,
    FileRejected,
    FilesRefused,
    PartMissing,
    SourceChanged,
    SourceDenied,
)
from s3import.core.records import Entity, StoredObject
from s3import.files.download import Downloads
from s3import.files.encodings import decoded
from s3import.files.file import Content, Copied, Failed, File, Stored
from s3import.files.keys import storage_key
from s3import.files.labels import Label
from s3import.files.target import Copies, TargetFolder
from s3import.readers.sources.source import Source
from s3import.transform.validators import leaves_source

PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies files of one account from `source`, or from where their URLs lead, to `place`.

    `require_going` raises when nothing more is to be done; it is called between pieces of large files.
    """

    source: Source
    place: TargetFolder
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
        promised = copied.stored
        if stored is None or (promised.etag and stored.etag != promised.etag):
            raise FileDiffers("what was stored is gone or another by now; somebody else writes to the same place")
        if stored.size_bytes != promised.size_bytes:
            self.place.target.remove(copied.storage_key)
            raise FileDiffers(f"{stored.size_bytes} bytes of it were stored, not {promised.size_bytes}")
        return stored

    # --- is it there already? --------------------------------------------------------------------------------------

    def _same(self, file: File, key: str, there: Stored) -> Stored | None:
        """What lies there, if it is known to be the same."""
        if file.size_bytes not in (None, there.size_bytes):
            return None
        sha256 = file.sha256
        if sha256 is None and file.key is not None:
            now = self._find(file.key)
            if now.size_bytes != there.size_bytes:
                return None
            if now.etag == there.etag:
                return there
            sha256 = self._digest(now) if self.source.rereads_cheaply else None
        found = self.place.target.find(key) if sha256 else None
        return found if found and found.sha256 == sha256 else None

    # --- how it gets there -----------------------------------------------------------------------------------------

    def _copy(self, file: File, key: str) -> Stored:
        if file.url is not None:
            put = partial(self._put, file, key, file.label())
            return self.downloads.fetch(file.url, put, size_bytes=file.size_bytes)
        if file.key is None or (file.entity is Entity.MESSAGES and leaves_source(file.key)):  # others were checked
            raise FileMissing("it does not name a file within the source")
        now = self._find(file.key)
        label = file.label(now.served)
        if label.encoding is not None:
            self._require_either(file, now, label.encoding)
            file = replace(file, size_bytes=None, sha256=None)  # it is right
        _require_size(file, now)
        copies = self.place.target.copies_from(self.source)
        return self._have_copied(file, now, key, label, copies) if copies else self._stream(file, now, key, label)

    def _stream(self, file: File, now: StoredObject, key: str, label: Label) -> Stored:
        with _readable(now.key), closing(self.source.open(now)) as body:
            pieces = iter(lambda: body.read(PIECE_BYTES), b"")
            if label.encoding is None or self.place.target.keeps_encodings:
                return self._put(file, key, label, pieces, now.size_bytes)
            return self._put(file, key, label, decoded(pieces, label.encoding))

    def _put(
        self, file: File, key: str, label: Label, pieces: Iterator[bytes], size_bytes: int | None = None
    ) -> Stored:
        return self.place.target.put(key, Content(self._checked(file, pieces), label, size_bytes, file.sha256))

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

    def _have_copied(self, file: File, now: StoredObject, key: str, label: Label, copies: Copies) -> Stored:
        """Have the store copy the file: `confirm` looks at the size of what lies there then."""
        if not copies.takes_whole(now.size_bytes):
            return self._have_parts_copied(file, now, key, label, copies)
        try:
            stored = copies.copy(now, key, label)
        except PartMissing as error:
            raise _not_there(now.key) from error
        except FilesRefused:
            self._find(now.key)  # where the source is at fault, this says so
            raise
        self._check_copy(file, now, key, stored)
        return stored

    def _have_parts_copied(self, file: File, now: StoredObject, key: str, label: Label, copies: Copies) -> Stored:
        """Have the store copy the file in parts. It tells no SHA-256 then: where one is given the file is read."""
        if file.sha256:
            _require_sha256(file, self._digest(now))
        with _readable(now.key):
            return copies.copy_parts(now, key, label, file.sha256, self.require_going)

    def _check_copy(self, file: File, now: StoredObject, key: str, stored: Stored) -> None:
        if file.sha256:
            try:
                _require_sha256(file, stored.sha256 or self._digest(self._find(now.key)))
            except FileDiffers:
                self.place.target.remove(key)
                raise

    def _require_either(self, file: File, now: StoredObject, encoding: str) -> None:
        """The record may tell of the file as it lies there, or as it is read. Raises: FileDiffers, if it is neither."""
        if file.size_bytes is None and file.sha256 is None:
            return
        try:
            self._read_through(file, now, None)
        except FileDiffers:
            self._read_through(file, now, encoding)

    def _read_through(self, file: File, now: StoredObject, encoding: str | None) -> None:
        with _readable(now.key), closing(self.source.open(now)) as body:
            for _ in self._checked(file, decoded(iter(lambda: body.read(PIECE_BYTES), b""), encoding)):
                pass

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
