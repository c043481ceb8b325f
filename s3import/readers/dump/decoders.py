"""Decoders of a dump's parts, by their names' ending: a new format is one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from s3import.core.records import Batch, PlannedPart, Position
from s3import.readers.formats.compression import Compression
from s3import.readers.formats.jsonl import read_jsonl
from s3import.readers.formats.parquet import read_parquet
from s3import.readers.sources.checksum import open_part
from s3import.readers.sources.source import Source

Decoder = Callable[[Source, PlannedPart, Position, int], Iterator[Batch]]


def decoder_of(key: str) -> Decoder:
    """What reads the records of the part with that key, from a position on, in batches of about so many bytes."""
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
EXTENSIONS = tuple(DECODERS)
