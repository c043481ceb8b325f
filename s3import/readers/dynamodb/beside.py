"""What lies beside the items: account.json and the attachments' files, where the mapping says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from s3import.core.errors import PartMissing
from s3import.core.records import StoredObject
from s3import.readers.sources.source import Source


class Beside:
    """A `Source` of what lies beside the items; without one there is nothing."""

    def __init__(self, uri: str, files: Source | None) -> None:
        self.uri = uri
        self.rereads_cheaply = files is not None and files.rereads_cheaply
        self.beside = files

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects whose key starts with `prefix`, in the order of keys, folder markers left out."""
        return self.beside.list(prefix) if self.beside else iter(())

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders right below the root that start with `prefix`, in order."""
        return self.beside.folders(prefix) if self.beside else iter(())

    def read(self, key: str) -> bytes | None:
        """A small document as a whole; None when there is no such object. Raises: DocumentTooLarge."""
        return self.beside.read(key) if self.beside else None

    def find(self, key: str) -> StoredObject | None:
        """The object of this key as it is now; None when there is no such object."""
        return self.beside.find(key) if self.beside else None

    def open(self, stored: StoredObject, offset: int = 0) -> BinaryIO:
        """The object's bytes from `offset` on, forward only. Raises: SourceChanged, PartMissing."""
        return self._required(stored).open(stored, offset)

    def open_random(self, stored: StoredObject) -> BinaryIO:
        """The object as a seekable file; a read fetches just its range. Raises: SourceChanged, PartMissing."""
        return self._required(stored).open_random(stored)

    def _required(self, stored: StoredObject) -> Source:
        if self.beside is None:
            raise PartMissing(f"{stored.key} lies nowhere: the mapping does not say what is `beside` the items")
        return self.beside
