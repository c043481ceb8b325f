"""The frozen values of copying files: what a row says of one, what lies at its key, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from s3import.core.errors import FileRejected
from s3import.core.records import Entity, Served
from s3import.files.labels import Label, label


@dataclass(frozen=True, slots=True)
class File:
    """What an attachment, or a message with a recording, says of its bytes: `key` below the source or else `url`."""

    entity: Entity
    id: str
    filename: str
    key: str | None = None
    url: str | None = None
    content_type: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None  # lower-case

    @property
    def field(self) -> str:
        """The field of the record that says where the bytes are."""
        if self.entity is Entity.MESSAGES:
            return "telephony.recording_key"
        return "key" if self.url is None else "url"

    def label(self, served: Served = Served()) -> Label:
        """The headers it is served with where it is copied to, if its source serves it with those."""
        return label(self.filename, self.content_type, served)


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be stored: the iteration over `pieces` ends with an error unless they are right.

    `size_bytes`: about how many there are; `sha256`: theirs, where it is known beforehand.
    """

    pieces: Iterator[bytes]
    label: Label
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A file where it was copied to. `etag` is "" where the store does not tell it; `sha256`: in lower-case hex, None
    where nobody knows without reading it."""

    size_bytes: int
    etag: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that lies at its key below the target."""

    file: File
    storage_key: str
    stored: Stored


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that is set aside."""

    file: File
    error: FileRejected
