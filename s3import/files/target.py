"""What copying needs of the place where files go.

Implementations: `folder_target` and `s3_target`, found by the URI's scheme.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from s3import.core.records import StoredObject
from s3import.files.file import Content, Stored
from s3import.files.labels import Label
from s3import.readers.sources.source import Source


class Target(Protocol):
    """One account's files below one root, addressed by keys relative to it.

    Every method raises FilesRefused where the place is not there or does not let itself be written to, and
    SourceUnavailable once the retries are used up.
    """

    uri: str
    keeps_encodings: bool  # whether it can say that bytes are gzip on top of what they are; else they are unpacked

    def find(self, key: str) -> Stored | None:
        """What lies there, with its SHA-256 where that costs nothing; None when nothing does."""
        ...

    def look_up(self, keys: Sequence[str]) -> dict[str, Stored]:
        """What lies at these keys, by key, found with few requests: what is not in the answer may be there, too."""
        ...

    def put(self, key: str, content: Content) -> Stored:
        """Store the content as a whole; nothing of it where its pieces end with an error."""
        ...

    def copies_from(self, source: Source) -> Copies | None:
        """What copies from that source without the bytes coming by here, where there is such a thing."""
        ...

    def remove(self, key: str) -> None:
        """Take away what lies at the key, if that is allowed; nothing is said when it is not."""
        ...


class Copies(Protocol):
    """A store that copies by itself. Raises: PartMissing when an object is not there; as `Target` besides."""

    def takes_whole(self, size_bytes: int) -> bool:
        """Whether an object of that size is copied by one request."""
        ...

    def copy(self, stored: StoredObject, key: str, label: Label) -> Stored:
        """Copy an object as a whole, whatever its version; the size in the answer is that of the one given."""
        ...

    def copy_parts(
        self, stored: StoredObject, key: str, label: Label, sha256: str | None, require_going: Callable[[], None]
    ) -> Stored:
        """Copy one version of an object in parts; `sha256` is known to be its own. `require_going` is called between
        them. Raises: SourceChanged when it is another version by now."""
        ...


@dataclass(frozen=True, slots=True)
class TargetFolder:
    """A target, and the folder within it that holds one account's files ("": all of it)."""

    target: Target
    folder: str
