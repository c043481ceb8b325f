"""Reading Parquet parts: places, memory, what is ours in a file, and files that are broken."""

from __future__ import annotations

import gzip
import io
import json
import random
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.errors import PartUnreadable, SourceChanged
from s3import.core.records import SCHEMAS, Batch, Entity, Position
from s3import.readers.formats import parquet_pages
from s3import.readers.formats.page_heads import ColumnChunk, column_places, page_head
from s3import.readers.formats.page_texts import TakenPage
from s3import.readers.formats.parquet import read_parquet
from s3import.readers.formats.parquet_pages import MAX_PAGE_BYTES, Leaf, WatchedPages

THREADS = Entity.THREADS


def write(table: pa.Table, **options: Any) -> bytes:
    """The table as a Parquet file, every page with its checksum."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"write_page_checksum": True, **options})
    return sink.getvalue()


def read(content: bytes, start: int = 0, batch_bytes: int = 1 << 20, entity: Entity = THREADS) -> list[Batch]:
    """All batches of the file from row `start` on."""
    place = Position(start, start)
    return list(read_parquet(io.BytesIO(content), entity, place, object_name="part.parquet", batch_bytes=batch_bytes))


def numbered(count: int) -> pa.Table:
    return pa.table({"id": [str(number) for number in range(count)], "subject": ["some words"] * count})


def ids(batches: list[Batch]) -> list[str]:
    return [id_ for batch in batches for id_ in batch.records["id"].to_pylist()]


# --- places ---------------------------------------------------------------------------------------------------------


def test_reads_every_row_once_and_in_order() -> None:
    """Batches follow one another without a gap, over row groups of any size, and know how far they are."""
    content = write(numbered(1000), row_group_size=300)
    batches = read(content, batch_bytes=4000)
    assert ids(batches) == [str(number) for number in range(1000)]
    assert [batch.start for batch in batches] == [Position(), *(batch.end for batch in batches[:-1])]
    assert [line for batch in batches for line in batch.lines.to_pylist()] == list(range(1, 1001))
    assert batches[-1].bytes_done == len(content)


@pytest.mark.parametrize("row_group_size", [7, 50, 1000])
def test_gives_the_same_batches_from_any_checkpoint(row_group_size: int) -> None:
    """Read again from the end of a batch, a part gives the batches that followed it."""
    content = write(numbered(200), row_group_size=row_group_size)
    batches = read(content, batch_bytes=700)
    assert len(batches) > 3
    for number, batch in enumerate(batches):
        again = read(content, batch.end.offset, batch_bytes=700)
        assert [each.records for each in again] == [each.records for each in batches[number + 1 :]]
        assert [each.end for each in again] == [each.end for each in batches[number + 1 :]]


@given(st.integers(0, 120), st.integers(1, 50), st.integers(0, 121), st.integers(1, 5000))
def test_starts_at_any_row(count: int, row_group_size: int, start: int, batch_bytes: int) -> None:
    """Whatever the sizes, reading from a row gives that row and all that follow."""
    content = write(numbered(count), row_group_size=row_group_size)
    assert ids(read(content, start, batch_bytes)) == [str(number) for number in range(start, count)]


def test_streams_a_large_row_group() -> None:
    """A row group of many rows comes in batches of about the size asked for, however well it is packed."""
    content = write(pa.table({"id": pa.repeat("x" * 1000, 20_000)}))
    assert len(content) < 100_000
    sizes = [batch.records["id"].nbytes for batch in read(content, batch_bytes=1 << 20)]
    assert len(sizes) > 3
    assert max(sizes) < 6 << 20


def steps_of(content: bytes, monkeypatch: pytest.MonkeyPatch, rows: int) -> int:
    """How often rows of a file of so many are decoded."""
    steps: list[int] = []
    rows_at_once = WatchedPages.rows_at_once

    def noted(pages: WatchedPages, row: int, few: int, most: int) -> int:
        steps.append(row)
        return rows_at_once(pages, row, few, most)

    monkeypatch.setattr(WatchedPages, "rows_at_once", noted)
    assert sum(batch.records.num_rows for batch in read(content)) == rows
    return len(steps)


def test_reads_small_rows_in_large_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pages that are small as a whole as many rows are decoded at once as make an eighth of a batch."""
    rows = pa.table({"id": [f"{number:032}" for number in range(20_000)], "subject": [f"s{n}" for n in range(20_000)]})
    assert steps_of(write(rows), monkeypatch, 20_000) < 30


def test_reads_long_lists_behind_short_ones_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short lists do not speak for thousands of rows: where these turn out too long each is read alone."""
    monkeypatch.setattr(parquet_pages, "MAX_LISTS_BYTES", 4 << 20)
    tags = [["a"]] * 3000 + [[random.Random(number).randbytes(10_000).hex()] for number in range(500)]
    rows = pa.table({"id": [f"{number}" for number in range(3500)], "tags": tags})
    content = write(rows, use_dictionary=False, data_page_size=1, write_batch_size=5)
    assert steps_of(content, monkeypatch, 3500) < 300


def test_an_empty_part_has_no_batches() -> None:
    """A part without rows is read to its end at once."""
    assert read(write(numbered(0))) == []


# --- what is ours ---------------------------------------------------------------------------------------------------


def test_gives_the_types_of_the_contract() -> None:
    """Columns that the file has not are null; types and order are those of the records."""
    [batch] = read(write(pa.table({"subject": ["s"], "id": ["t1"]})))
    assert batch.records.schema == SCHEMAS[THREADS]
    [record] = batch.records.to_pylist()
    assert {name: value for name, value in record.items() if value is not None} == {"id": "t1", "subject": "s"}


def test_names_the_fields_that_it_ignores() -> None:
    """Columns that the contract does not know are named with their path, at every level, whatever they hold."""
    table = pa.table(
        {
            "id": ["t1"],
            "foo": [{"a": 1, "b": [{"c": 2}]}],
            "customer": [{"x": 1, "id": "u1"}],
            "custom_fields": [[{"name": "n", "y": 1}]],
        }
    )
    [batch] = read(write(table))
    assert batch.ignored_fields == {"threads.foo", "threads.customer.x", "threads.custom_fields.y"}
    [record] = batch.records.to_pylist()
    assert record["customer"]["id"] == "u1"
    assert record["custom_fields"] == [{"name": "n", "value": None}]


def test_reads_a_part_with_no_column_of_ours() -> None:
    """A row of unknown columns is a record all the same: it is checked, and rejected, not lost."""
    [batch] = read(write(pa.table({"foo": [1, 2, 3]})))
    assert batch.records.num_rows == 3
    assert batch.raw([1]) == [b"{}"]


def test_a_corrupt_column_of_others_does_not_matter() -> None:
    """Damage in a column that is none of ours is never read."""
    content = bytearray(write(pa.table({"foo": ["secret" * 100] * 50, "id": ["t1"] * 50}), compression="none"))
    for place in range(content.index(b"secret"), content.index(b"secret") + 300):
        content[place] ^= 0xFF
    assert ids(read(bytes(content))) == ["t1"] * 50


def test_shows_a_row_as_json() -> None:
    """A reject's text is the row as one JSON object of our columns, nulls left out."""
    table = pa.table({"id": ["a", "b"], "tags": [["x", None], None], "customer": [{"id": "u"}, None], "foo": [1, 2]})
    [batch] = read(write(table))
    assert [json.loads(raw) for raw in batch.raw([1, 0])] == [
        {"id": "b"},
        {"id": "a", "tags": ["x", None], "customer": {"id": "u"}},
    ]


# --- broken files ---------------------------------------------------------------------------------------------------


def damaged(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"no parquet at all" * 10, b'{"id":"t1"}\n'])
def test_refuses_what_is_no_parquet(content: bytes) -> None:
    """A file of another format is unreadable, and the message names it and says what to do."""
    with pytest.raises(PartUnreadable, match=r"part\.parquet cannot be read.*run the same command"):
        read(content)


def test_names_the_kind_that_a_part_really_is() -> None:
    """A part of another format, named as Parquet, is told with the name that it should have."""
    with pytest.raises(PartUnreadable, match=r"holds gzip, .*let its name end with \.jsonl\.gz"):
        read(gzip.compress(b"{}"))
    with pytest.raises(PartUnreadable, match=r"holds text, .*let its name end with \.jsonl "):
        read(b'{"id":"1"}\n')


def test_refuses_a_truncated_part() -> None:
    """Cut anywhere, a part is never a shorter one."""
    content = write(numbered(200), row_group_size=50)
    for size in range(0, len(content), 37):
        with pytest.raises(PartUnreadable):
            read(content[:size])


def test_refuses_a_corrupt_page() -> None:
    """A page that fails its checksum is unreadable; the batches before it may be used."""
    content = write(numbered(2000), row_group_size=500, compression="none", use_dictionary=False)
    place = content.index(b"1800")
    batches = read_parquet(
        io.BytesIO(damaged(content, place)), THREADS, Position(), object_name="part.parquet", batch_bytes=4000
    )
    first = next(batches)
    assert first.records["id"][0].as_py() == "0"
    with pytest.raises(PartUnreadable, match=r"part\.parquet"):
        list(batches)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
def test_any_flipped_byte_is_noticed_or_harmless(compression: str) -> None:
    """With checksums, damage anywhere in a part is unreadable or changes no record."""
    content = write(numbered(60), row_group_size=20, compression=compression)
    whole = [batch.records for batch in read(content)]
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(4, footer, 11):
        try:
            assert [batch.records for batch in read(damaged(content, place))] == whole
        except PartUnreadable:
            continue


@pytest.mark.parametrize(
    ("compression", "noted", "dense"),
    [
        ("none", True, True),
        ("none", False, False),
        ("snappy", True, False),
        ("snappy", False, True),
        ("zstd", True, True),
        ("zstd", False, False),
    ],
)
def test_refuses_a_page_that_is_too_large(
    monkeypatch: pytest.MonkeyPatch, compression: str, noted: bool, dense: bool
) -> None:
    """Wherever it stands; pages of columns that are not ours, and smaller ones, do no harm."""
    monkeypatch.setattr("s3import.readers.formats.parquet_pages.MAX_PAGE_BYTES", 40_000)
    words = pa.array(["some words"] * 3000)
    table = pa.table({"id": [str(number) for number in range(3000)], "other": words, "tags": [["a"]] * 3000})
    options = {"compression": compression, "use_dictionary": False, "row_group_size": 1000, "write_batch_size": 10}
    content = write(table, data_page_size=2000, **options)
    assert len(ids(read(content))) == 3000
    large = pa.array(["x" * 45] * 1000 + ["y" * 44] * 1000 + ["z" * 5] * 1000)
    whole = table.append_column("subject", large.dictionary_encode() if dense else large)
    with pytest.raises(
        PartUnreadable, match=r"part\.parquet has a page of \d+ bytes in its column subject, and at most"
    ):
        read(write(whole, data_page_size=1 << 30, **{**options, "write_batch_size": 1000}, store_schema=noted))
    others = whole.rename_columns(["id", "other", "tags", "another"])
    assert len(ids(read(write(others, data_page_size=30_000, **options)))) == 3000


def length(number: int) -> bytes:
    """A length as Thrift's compact protocol writes it: seven bits a byte, the lowest first."""
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + length(number >> 7)


def zigzag(number: int) -> bytes:
    """An integer as that protocol writes it, which is not negative here."""
    return length(2 * number)


def test_understands_a_page_whose_head_tells_of_long_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Least and largest value may be cells of megabytes, of which a read mostly holds the beginning alone."""
    largest = b"x" * (3 << 20)
    too_large = zigzag(MAX_PAGE_BYTES + 1)
    binary = b"\x18" + length(len(largest)) + largest + b"\x00"  # field 1, a binary, within the statistics
    head = b"\x15\x00" + b"\x15" + too_large + b"\x15" + zigzag(10) + b"\x2c" + b"\x5c" + binary + b"\x00" + b"\x00"
    content = head + b"." * 10 + bytes(8)
    place = [[ColumnChunk(0, len(content) - 8)]]
    monkeypatch.setattr("s3import.readers.formats.parquet_pages.column_places", lambda footer: place)
    pages = WatchedPages(io.BytesIO(content), len(content), "part.parquet")
    pages.watch(0, {0: Leaf("body")})
    with pytest.raises(PartUnreadable, match="in its column body"):
        pages.read(100)


def test_finds_the_columns_of_any_footer() -> None:
    """Where each begins and ends, as Arrow says it."""
    table = numbered(5000).append_column("tags", pa.array([["a", "b"], None] * 2500))
    content = write(table, row_group_size=900, use_dictionary=["subject"])
    metadata = pq.ParquetFile(io.BytesIO(content)).metadata
    told = [
        [metadata.row_group(group).column(number) for number in range(metadata.num_columns)]
        for group in range(metadata.num_row_groups)
    ]
    places = [
        [(min(one.dictionary_page_offset or one.data_page_offset, one.data_page_offset), one) for one in group]
        for group in told
    ]
    expected = [[(begin, begin + one.total_compressed_size) for begin, one in group] for group in places]
    size = int.from_bytes(content[-8:-4], "little")
    assert [[(one.begin, one.end) for one in group] for group in column_places(content[-8 - size : -8])] == expected


@given(
    st.lists(st.lists(st.text("ab", max_size=40), max_size=5), min_size=1, max_size=300),
    st.sampled_from(["1.0", "2.0"]),
)
def test_adds_up_the_texts_of_a_list_before_they_are_decoded(tags: list[list[str]], version: str) -> None:
    """Texts that share their beginnings are as long together as Arrow finds them, in either kind of page."""
    options = {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY", "data_page_version": version}
    content = write(pa.table({"tags": tags}, pa.schema([("tags", pa.list_(pa.string()))])), **options)
    chunk = column_places(content[-8 - int.from_bytes(content[-8:-4], "little") : -8])[0][0]
    head = page_head(content, chunk.begin)
    assert head is not None
    page = TakenPage(chunk.begin + head.size_bytes, head, chunk)
    assert page.take(0, content)
    assert page.delta_bytes() == sum(len(tag) for row in tags for tag in row)


@given(
    st.one_of(st.lists(st.text(max_size=40), min_size=1), st.lists(st.text("ab", min_size=7, max_size=7), min_size=1))
)
def test_finds_the_longest_text_of_a_dictionary(texts: list[str]) -> None:
    """Before Arrow repeats it, and whether or not all are of one length."""
    content = write(pa.table({"subject": texts}), compression="zstd")
    chunk = column_places(content[-8 - int.from_bytes(content[-8:-4], "little") : -8])[0][0]
    head = page_head(content, chunk.begin)
    assert head is not None
    assert head.is_dictionary
    page = TakenPage(chunk.begin + head.size_bytes, head, chunk)
    assert page.take(0, content)
    assert page.widest_bytes() == max(len(text.encode()) for text in texts)


def test_refuses_a_part_with_a_column_twice() -> None:
    """Two columns of one name leave it open which one counts."""
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["id", "id"])
    with pytest.raises(PartUnreadable, match="twice"):
        read(write(twice))


class Breaking(io.BytesIO):
    """A file whose source finds another version once `reads` reads are done."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        if self.reads == 0:
            raise SourceChanged("part.parquet changed")
        self.reads -= 1
        return super().read(size)


@pytest.mark.parametrize("reads", range(6))
def test_lets_errors_of_the_source_through(reads: int) -> None:
    """What the file itself raises, opening or later, reaches the caller as it is."""
    file = Breaking(write(numbered(8000), row_group_size=1000, compression="none"))
    file.reads = reads
    with pytest.raises(SourceChanged):
        list(read_parquet(file, THREADS, Position(), object_name="part.parquet", batch_bytes=1 << 16))


CRASH_TEST = """
import io, sys
from s3import.core.errors import PartUnreadable
from s3import.readers.formats.page_heads import column_places
from s3import.readers.formats.parquet import read_parquet
from s3import.core.records import Entity, Position
content = sys.stdin.buffer.read()
for place in range(4, len(content)):
    for change in (0x01, 0x02, 0xFF):
        broken = content[:place] + bytes([content[place] ^ change]) + content[place + 1:]
        try:
            list(read_parquet(io.BytesIO(broken), Entity.THREADS, Position(), object_name="p", batch_bytes=1 << 16))
        except PartUnreadable:
            pass
"""


@pytest.mark.integration
@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_no_damage_ends_the_process(compression: str) -> None:
    """A process that met damage in every byte of a part, footer and all, goes on and exits in peace."""
    table = pa.table({"id": ["t1", "t2"], "tags": [["a"], []]})
    content = write(table, compression=compression, write_page_checksum=False, store_schema=False)
    done = subprocess.run(
        [sys.executable, "-c", CRASH_TEST], input=content, capture_output=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
