"""Compressed parts: the same batches as their text, and damage that is told from an end."""

from __future__ import annotations

import gzip
import io

import pyarrow as pa
import pytest

from s3import.core.errors import PartUnreadable, SourceChanged, SourceUnavailable
from s3import.core.records import Entity, Position
from s3import.readers.formats.compression import Compression
from s3import.readers.formats.jsonl import read_jsonl
from tests.readers.formats.reading import read, seen

TEXT = b"".join(b'{"id":"%d","subject":"%x"}\n' % (number, number**9) for number in range(1000))
BOTH: list[Compression] = ["gzip", "zstd"]


def _compressed(text: bytes, compression: Compression) -> bytes:
    return gzip.compress(text) if compression == "gzip" else bytes(pa.compress(text, codec="zstd", asbytes=True))


@pytest.mark.parametrize("compression", BOTH)
def test_a_compressed_part_is_its_text(compression: Compression) -> None:
    """Records, lines and places are those of the text; the bytes done are those of the stored object."""
    stored = _compressed(TEXT, compression)
    batches = read(stored, compression=compression, block_bytes=10_000)
    plain = read(TEXT, block_bytes=10_000)
    assert seen(batches) == seen(plain)
    assert [batch.end for batch in batches] == [batch.end for batch in plain]
    assert batches[-1].bytes_done == len(stored)


@pytest.mark.parametrize("compression", BOTH)
def test_members_one_after_another_are_one_text(compression: Compression) -> None:
    """A part may be compressed in several members or frames, which may break a line, and may be empty."""
    texts = (TEXT[:1234], b"", TEXT[1234:])
    stored = b"".join(_compressed(text, compression) for text in texts)
    assert seen(read(stored, compression=compression)) == seen(read(TEXT))


@pytest.mark.parametrize("compression", BOTH)
def test_reading_goes_on_at_a_place_in_the_text(compression: Compression) -> None:
    """A checkpoint counts bytes of text, wherever they are in the stored object."""
    stored = _compressed(TEXT, compression)
    first, *rest = read(stored, compression=compression, block_bytes=10_000)
    again = read(stored, start=first.end, compression=compression, block_bytes=10_000)
    assert seen(again) == seen(rest)


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("text", [b"", None], ids=["no bytes", "no text"])
def test_an_empty_compressed_part_has_no_batches(compression: Compression, text: bytes | None) -> None:
    """An object without bytes, or without text, is an empty part."""
    assert read(_compressed(b"", compression) if text is None else text, compression=compression) == []


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("missing_bytes", [1, 9, 5_000])
def test_a_truncated_part_is_an_error_that_names_the_object(compression: Compression, missing_bytes: int) -> None:
    """A part that ends before its compression does is never taken for a short one."""
    stored = _compressed(TEXT, compression)
    with pytest.raises(PartUnreadable, match=r"recent/threads/part-0\.jsonl.*run the same command"):
        read(stored[:-missing_bytes], compression=compression)


@pytest.mark.parametrize("compression", BOTH)
def test_what_lies_before_the_damage_is_read(compression: Compression) -> None:
    """The batches before the damage come out, and after the repair reading goes on behind them."""
    text = TEXT * 5
    stored = _compressed(text, compression)
    damaged = read_jsonl(
        io.BytesIO(stored[:-9]),
        Entity.THREADS,
        Position(),
        compression=compression,
        object_name="p",
        block_bytes=30_000,
    )
    before = [next(damaged) for _ in range(3)]
    with pytest.raises(PartUnreadable):
        list(damaged)
    after = read(stored, start=before[-1].end, compression=compression, block_bytes=30_000)
    assert seen([*before, *after]) == seen(read(text, block_bytes=30_000))


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("stored", [b"no such format", TEXT, b"{}"])
def test_bytes_of_another_format_are_an_error(compression: Compression, stored: bytes) -> None:
    """An object that is not what its name says cannot be read."""
    with pytest.raises(PartUnreadable):
        read(stored, compression=compression)


@pytest.mark.parametrize("compression", BOTH)
def test_junk_after_the_end_is_an_error(compression: Compression) -> None:
    """What follows a member must be another one."""
    with pytest.raises(PartUnreadable):
        read(_compressed(TEXT, compression) + b"junk junk junk", compression=compression)


def test_a_wrong_checksum_is_an_error() -> None:
    """A gzip part whose text is not the one that was compressed cannot be read to its end."""
    stored = bytearray(gzip.compress(TEXT))
    stored[-6] ^= 1
    with pytest.raises(PartUnreadable):
        read(bytes(stored), compression="gzip")


@pytest.mark.parametrize("compression", BOTH)
def test_a_part_that_became_shorter_than_the_checkpoint_is_another_object(compression: Compression) -> None:
    """Text that ends before the place to go on from was not the text read before."""
    with pytest.raises(SourceChanged, match="100 bytes before"):
        read(_compressed(TEXT, compression), start=Position(len(TEXT) + 100, 3001), compression=compression)


class Failing(io.BytesIO):
    """A source that gives up after its bytes."""

    error = SourceUnavailable("gone")

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        if not chunk:
            raise self.error
        return chunk


@pytest.mark.parametrize("compression", [None, *BOTH])
def test_errors_of_the_source_come_through_unchanged(compression: Compression | None) -> None:
    """What the source raises is its own to explain: it is no damage."""
    stored = TEXT if compression is None else _compressed(TEXT, compression)[:-20]
    with pytest.raises(SourceUnavailable) as raised:
        list(read_jsonl(Failing(stored), Entity.THREADS, Position(), compression=compression, object_name="p"))
    assert raised.value is Failing.error


@pytest.mark.parametrize("compression", [None, *BOTH])
def test_the_stream_stays_open(compression: Compression | None) -> None:
    """Who opened the stream closes it."""
    stream = io.BytesIO(TEXT if compression is None else _compressed(TEXT, compression))
    list(read_jsonl(stream, Entity.THREADS, Position(), compression=compression, object_name="p"))
    assert not stream.closed


@pytest.mark.parametrize("padding", [b"\0", b"\0" * 511, b"\0" * 70_000])
def test_zeros_behind_a_member_are_padding(padding: bytes) -> None:
    """What tapes and block devices put behind gzip is passed over as `gzip` does, between members too."""
    stored = b"".join(_compressed(text, "gzip") + padding for text in (TEXT[:1234], TEXT[1234:]))
    assert seen(read(stored, compression="gzip")) == seen(read(TEXT))


def test_junk_behind_a_member_is_damage() -> None:
    """Anything else behind a member may be what is left of another one: it is not passed over."""
    with pytest.raises(PartUnreadable, match="damaged"):
        read(_compressed(TEXT, "gzip") + b"\0\0junk", compression="gzip")


@pytest.mark.parametrize(
    ("stored", "compression", "said"),
    [
        (_compressed(TEXT, "gzip"), None, r"holds gzip, .* ends with \.jsonl; let its name end with \.jsonl\.gz"),
        (_compressed(TEXT, "zstd"), None, r"holds zstd, .*let its name end with \.jsonl\.zst"),
        (_compressed(TEXT, "zstd"), "gzip", r"holds zstd, .*\.jsonl\.gz; let its name end with \.jsonl\.zst"),
        (TEXT, "gzip", r"holds text, .*let its name end with \.jsonl "),
        (b"\xef\xbb\xbf \n" + TEXT, "zstd", r"holds text, .*let its name end with \.jsonl "),
        (b"PAR1" + TEXT, None, r"holds Parquet, .*let its name end with \.parquet"),
        (b"BZh91AY&SY", "gzip", "holds bzip2, .*compress it as gzip or zstd"),
    ],
)
def test_a_name_that_says_another_kind_is_told_at_once(stored: bytes, compression: Compression, said: str) -> None:
    """Nothing of such a part is read, and the message has the name that it should have."""
    with pytest.raises(PartUnreadable, match=rf"recent/threads/part-0\.jsonl.* {said}"):
        read(stored, compression=compression)


def test_a_window_that_is_too_large_is_named() -> None:
    """A frame that needs more memory to be decompressed than there may be is refused with the setting's name."""
    frame = bytes.fromhex("28b52ffd 00 a8") + bytes.fromhex("010000")  # a window of 2 GiB, and an empty last block
    with pytest.raises(PartUnreadable, match="--long=27"):
        read(frame, compression="zstd")
