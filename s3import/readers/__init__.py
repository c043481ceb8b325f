"""From stored bytes, or DynamoDB's items, to Arrow batches: a source that reads its parts itself, or a decoder by
file extension."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from s3import.core.records import Batch, PlannedPart, Position
from s3import.readers.formats.compression import Compression
from s3import.readers.formats.jsonl import read_jsonl
from s3import.readers.formats.parquet import read_parquet
from s3import.readers.sources.checksum import open_part
from s3import.readers.sources.source import ItemSource, Source

Decoder = Callable[[Source, PlannedPart, Position, int], Iterator[Batch]]


def read_part(source: Source, part: PlannedPart, start: Position, *, block_bytes: int) -> Iterator[Batch]:
    """The part's records from `start` on, in batches of about `block_bytes` of text.

    Raises: PartUnreadable when the part is damaged; PartDiffers when it is not what its manifest says; and what
    `Source.open` raises.
    """
    if isinstance(source, ItemSource):
        yield from source.read_part(part, start, block_bytes)
        return
    yield from _decoder(part.key)(source, part, start, block_bytes)


def _decoder(key: str) -> Decoder:
    return next(decoder for extension, decoder in DECODERS.items() if key.endswith(extension))


def _json_lines(compression: Compression | None) -> Decoder:
    def decode(source: Source, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
        offset = 0 if compression else start.offset
        with closing(open_part(source, part, offset)) as stream:
            yield from read_jsonl(
                stream,
                part.entity,
                start,
                compression=compression,
                object_name=part.stored.key,
                block_bytes=block_bytes,
            )

    return decode


def _parquet(source: Source, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
    with closing(open_part(source, part, random=True)) as file:
        if part.stored.size_bytes:  # an empty object is an empty part in every format
            yield from read_parquet(file, part.entity, start, object_name=part.stored.key, batch_bytes=block_bytes)


DECODERS: dict[str, Decoder] = {
    ".jsonl": _json_lines(None),
    ".jsonl.gz": _json_lines("gzip"),
    ".jsonl.zst": _json_lines("zstd"),
    ".parquet": _parquet,
}
"""What reads a part, by its name's ending."""
