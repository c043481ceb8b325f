"""The one way in which parts are read: import, dry run, verify, reset and the search for files get checked batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from s3import.core.errors import PartDiffers
from s3import.core.records import Batch, Checked, Pass, PlannedPart, Position
from s3import.readers.sources.source import DumpSource
from s3import.transform.validators import check

BEGINNING = Position()


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """A batch as it was read, and what the validators made of it. `new_bytes`: so many stored bytes more were consumed
    than for the batch before; of the first batch, than where the object begins."""

    batch: Batch
    checked: Checked
    new_bytes: int


def read_checked(
    source: DumpSource, part: PlannedPart, account_id: str, *, block_bytes: int, start: Position = BEGINNING
) -> Iterator[CheckedBatch]:
    """The part's records from `start` on, checked, in batches of about `block_bytes` of text.

    Raises: as `DumpSource.read_part`.
    """
    bytes_before = 0
    for batch in source.read_part(part, start, block_bytes):
        yield CheckedBatch(batch, check(batch, part.entity, account_id), batch.bytes_done - bytes_before)
        bytes_before = batch.bytes_done


def require_expected_rows(pass_: Pass, planned: PlannedPart, read: int) -> None:
    """Raises: PartDiffers, when a part held another number of records than its manifest says."""
    if planned.expected_rows not in (None, read):
        raise PartDiffers(
            f"{pass_}/{planned.key} holds {read} records, its manifest says {planned.expected_rows}; write the part or "
            "the manifest again, then run the same command again"
        )
