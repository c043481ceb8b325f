"""What a reader needs of the place where a dump lies. Implementations: `folder` and `s3`, found by the URI's scheme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, runtime_checkable

from s3import.core.records import Batch, Plan, PlannedPart, Position, StoredObject, Window

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024  # of a document that is read as a whole


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source bears with trouble, in seconds.

    `retry_seconds`: temporary failures in a row, bytes that arrive start it afresh; `connect_seconds`: one connection;
    `stall_seconds`: a body or an answer of which nothing comes; `first_wait_seconds`: before the second try, doubled
    (with jitter) before each further one.
    """

    retry_seconds: float = 120.0
    connect_seconds: float = 10.0
    stall_seconds: float = 20.0
    first_wait_seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class Role:
    """A role of another AWS account in which a source is read; that account may ask for an external id."""

    arn: str
    external_id: str | None = field(default=None, repr=False)


class Source(Protocol):
    """One account's dump: objects under one root, addressed by keys relative to it.

    Every method raises SourceUnavailable once the retries are used up, SourceDenied on a 403 that stays, and
    SourceMissing where the bucket or folder is not there.
    """

    uri: str
    rereads_cheaply: bool  # whether reading an object twice costs next to nothing: a checksum then needs no copy

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key starts with `prefix` (``recent/``), in the order of keys, folder markers left out."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders right below the root that start with `prefix`, in order."""
        ...

    def read(self, key: str) -> bytes | None:
        """A small document (at most 64 MiB) as a whole; None when there is no such object. Raises: DocumentTooLarge."""
        ...

    def find(self, key: str) -> StoredObject | None:
        """The object of this key as it is now; None when there is no such object."""
        ...

    def open(self, stored: StoredObject, offset: int = 0) -> BinaryIO:
        """The object's bytes from `offset` on, forward only; read(n) may return less than n, b"" means the end.

        A body that breaks off, stalls or ends early is opened again where it was, on the version listed.
        Raises: SourceChanged when the object is not that version any more; PartMissing when it is gone.
        """
        ...

    def open_random(self, stored: StoredObject) -> BinaryIO:
        """The object as a seekable file for formats with a footer; a read fetches just its range. Raises: as `open`."""
        ...


@runtime_checkable
class ItemSource(Source, Protocol):
    """A source whose records are items of DynamoDB, not the parts of a dump: it plans and reads them itself.

    What it has as a `Source` is what lies beside them: account.json and the attachments' files.
    """

    beside: Source | None  # where that lies, if anywhere

    def window(self) -> Window:
        """How an account that is imported for the first time is divided into passes."""
        ...

    def plan(self, window: Window) -> Plan:
        """The parts of the window's pass. Raises: as `dump.plan_pass`."""
        ...

    def read_part(self, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
        """The part's records from `start` on, in batches of about `block_bytes` of text; without a window those of
        every pass."""
        ...
