"""What is read: objects, in a `folder` or in `s3` as the URI says, and an account's dump, whatever lies behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from s3import.core.records import Batch, Pass, Plan, PlannedPart, Position, StoredObject, Window

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024  # of a document that is read as a whole


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How requests to a source are retried, and what they may take, in seconds.

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
    """Objects under one root, addressed by keys relative to it.

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


class DumpSource(Protocol):
    """One account's dump. It plans itself and reads its parts.

    Implementations: `ObjectDump`, and for items of DynamoDB `ExportSource` and `TableSource`. Every method raises what
    `Source` does.
    """

    uri: str
    companion: Source  # has account.json and the files that records name; its own objects where the dump is objects

    def plan(self, pass_: Pass, divided: Callable[[], Window | None] = lambda: None) -> Plan:
        """The parts of a pass, entities in the order of `Entity`, keys in order within; and the objects that are none.

        `divided`: gives how the account was divided into passes before, if it was; only items need to be told.
        Raises: DumpNotFound, InvalidManifest; PartMissing and PartDiffers (in size) against a manifest.
        """
        ...

    def read_part(self, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
        """The part's records from `start` on, in batches of about `block_bytes` of text.

        Of items, a part without a window gives what is there of every pass.
        Raises: PartUnreadable when the part is damaged; PartDiffers when it is not what its manifest says.
        """
        ...


SourceOpener = Callable[[str, str], DumpSource]
"""Opens the dump of an account: gives the source for a URI and an account id."""
