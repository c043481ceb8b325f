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
        """As `Source.list`."""
        return self.beside.list(prefix) if self.beside else iter(())

    def folders(self, prefix: str) -> Iterator[str]:
        """As `Source.folders`."""
        return self.beside.folders(prefix) if self.beside else iter(())

    def read(self, key: str) -> bytes | None:
        """As `Source.read`."""
        return self.beside.read(key) if self.beside else None

    def find(self, key: str) -> StoredObject | None:
        """As `Source.find`."""
        return self.beside.find(key) if self.beside else None

    def open(self, stored: StoredObject, offset: int = 0) -> BinaryIO:
        """As `Source.open`."""
        return self._required(stored).open(stored, offset)

    def open_random(self, stored: StoredObject) -> BinaryIO:
        """As `Source.open_random`."""
        return self._required(stored).open_random(stored)

    def _required(self, stored: StoredObject) -> Source:
        if self.beside is None:
            raise PartMissing(f"{stored.key} lies nowhere: the mapping does not say what is `beside` the items")
        return self.beside
