"""Memory follows the settings, whatever a part decodes to: each is read by a process of its own, whose peak counts."""

from __future__ import annotations

import gzip
import random
import string
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s3import.core.records import MAX_BATCH_ROWS, MAX_LINE_BYTES, Entity
from tests import forks
from tests.readers.formats.peaks import tell

pytestmark = pytest.mark.integration

PEAK_MB = 390  # above what the process begins with; half of what the smallest of these parts took before
MESSAGES, THREADS = Entity.MESSAGES, Entity.THREADS
LETTERS = random.Random(1).choices(string.ascii_letters, k=540_000)


def read(path: Path, entity: Entity) -> dict[str, Any]:
    """What a process that read and checked the part says of it; its peak is within bounds."""
    ours, theirs = forks.context.Pipe()
    child = forks.context.Process(target=tell, args=(path, entity, theirs))
    child.start()
    theirs.close()
    told: dict[str, Any] = ours.recv()
    child.join()
    assert told["peak_mb"] < PEAK_MB
    return told


def text(length: int) -> str:
    return "".join(LETTERS[:length])


def repeated(value: str, rows: int, nulls_first: int = 0) -> pa.Array:
    """A value that stands in every row, once in memory."""
    indices = pa.array([None] * nulls_first + [0] * (rows - nulls_first), pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array([value]))


def lists(values: pa.Array, rows: int) -> pa.Array:
    each = len(values) // rows
    return pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, each), pa.int32()), values)


def table(entity: Entity, rows: int, column: str, values: pa.Array) -> pa.Table:
    same = {"account_id": "acme", "created_at": "2024-05-01T10:00:00Z"} | (
        {"thread_id": "t1", "kind": "call", "direction": "inbound"}
        if entity is MESSAGES
        else {"brand_id": "b1", "channel_id": "c1", "status": "open"}
    )
    columns = {name: pa.repeat(value, rows) for name, value in same.items()}
    return pa.table({"id": [str(number) for number in range(rows)], **columns, column: values})


def write(path: Path, rows: pa.Table, **options: Any) -> Path:
    pq.write_table(rows, path, dictionary_pagesize_limit=1 << 26, **options)
    assert path.stat().st_size < 1 << 20
    return path


def transcripts(rows: int) -> pa.Array:
    return pa.StructArray.from_arrays([repeated(text(200_000), rows)], ["transcript"])


def values(rows: int) -> pa.Array:
    return lists(
        pa.StructArray.from_arrays([pa.repeat("n", rows), repeated(text(200_000), rows)], ["name", "value"]), rows
    )


DELTA = {"use_dictionary": False, "column_encoding": {"body": "DELTA_BYTE_ARRAY"}}


TEXT = {"store_schema": False}
NOTED = {"store_schema": True}  # Arrow would read dictionaries, did nobody take the note of them away


@pytest.mark.parametrize(
    ("entity", "rows", "column", "of_rows", "options"),
    [
        (MESSAGES, 8000, "body", lambda rows: repeated(text(100_000), rows), TEXT),
        (MESSAGES, 8000, "body", lambda rows: repeated(text(100_000), rows), NOTED),
        (MESSAGES, 4000, "body", lambda rows: repeated(text(100_000), rows), TEXT | DELTA),
        (MESSAGES, 66_000, "body", lambda rows: repeated(text(12_000), rows), NOTED),
        (MESSAGES, 4200, "telephony", transcripts, NOTED),
        (MESSAGES, 4000, "body_html", lambda rows: repeated(text(540_000), rows, rows // 2), TEXT),
        (THREADS, 8000, "tags", lambda rows: lists(repeated(text(100_000), rows), rows), TEXT),
        (THREADS, 8000, "tags", lambda rows: lists(repeated(text(100_000), rows), rows), NOTED),
        (THREADS, 4000, "custom_fields", values, NOTED),
    ],
    ids=[
        *("own column", "own column, noted", "delta", "many rows, noted", "struct, noted", "all at once"),
        *("tags", "tags, noted", "custom fields, noted"),
    ],
)
def test_a_text_that_rows_share_is_read_in_little_memory(
    tmp_path: Path, entity: Entity, rows: int, column: str, of_rows: Any, options: dict[str, Any]
) -> None:
    """Some hundred kilobytes of Parquet that decode to most of a gigabyte are read whole, within bounds."""
    rows_of_it = table(entity, rows, column, of_rows(rows))
    told = read(write(tmp_path / "part.parquet", rows_of_it, **options), entity)
    assert (told["rows"], told["codes"]) == (rows, {})


def one_list(element: pa.Array) -> pa.Array:
    """A column of four rows, of which the second is a list of all these elements."""
    offsets = pa.array([0, 0, len(element), len(element), len(element)], pa.int32())
    return pa.ListArray.from_arrays(offsets, element)


def of_fields(value: pa.Array) -> pa.Array:
    return pa.StructArray.from_arrays([pa.repeat("n", len(value)), value], ["name", "value"])


def one_map(value: pa.Array) -> pa.Array:
    keys = pa.array([str(number) for number in range(len(value))])
    offsets = pa.array([0, 0, len(value), len(value), len(value)], pa.int32())
    return pa.MapArray.from_arrays(offsets, keys, value)


@pytest.mark.parametrize("noted", [False, True], ids=["text", "dictionaries"])
@pytest.mark.parametrize(
    ("column", "of_elements"),
    [("tags", one_list), ("custom_fields", lambda value: one_list(of_fields(value))), ("custom_fields", one_map)],
    ids=["list", "list of structs", "map"],
)
def test_a_row_that_repeats_a_text_is_read_in_little_memory(
    tmp_path: Path, column: str, of_elements: Any, noted: bool
) -> None:
    """A list that would decode to 150 GB is a reject, with as much of it as rejects keep; the other rows are read."""
    values = of_elements(repeated("x" * (15 << 20), 10_000))
    told = read(write(tmp_path / "part.parquet", table(THREADS, 4, column, values), store_schema=noted), THREADS)
    assert (told["rows"], told["codes"]) == (4, {"too_long": 1})


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_long_texts_behind_short_ones_are_read_in_little_memory(tmp_path: Path, compression: str) -> None:
    """How many rows are read at once heeds the longest text that the next ones can repeat, not those before them."""
    rows = 160
    values = pa.DictionaryArray.from_arrays(
        pa.array([0] * (rows // 2) + [1] * (rows // 2), pa.int32()), pa.array(["short", text(540_000) * 27])
    )
    path = tmp_path / "part.parquet"
    pq.write_table(
        table(MESSAGES, rows, "body", values), path, dictionary_pagesize_limit=1 << 26, compression=compression
    )
    told = read(path, MESSAGES)
    assert (told["rows"], told["codes"]) == (rows, {})


@pytest.mark.parametrize(("line", "count"), [(b"{}\n", 100_000), (b"1\n", 100_000), (b"\n", 400_000)])
def test_many_tiny_lines_are_read_in_little_memory(tmp_path: Path, line: bytes, count: int) -> None:
    """Some kilobytes of gzip that hold hundreds of thousands of lines come in batches of a bounded number of them."""
    (tmp_path / "part.jsonl.gz").write_bytes(gzip.compress(line * count))
    told = read(tmp_path / "part.jsonl.gz", MESSAGES)
    assert told["rows"] == (0 if line == b"\n" else count)
    assert told["most"] <= MAX_BATCH_ROWS


@pytest.mark.parametrize("noted", [False, True], ids=["text", "dictionaries"])
def test_cells_that_are_too_long_are_set_aside(tmp_path: Path, noted: bool) -> None:
    """A cell longer than a line may be is a reject, however many rows share it, and those without it are imported."""
    long = "x" * (MAX_LINE_BYTES + 1)
    rows_of_it = table(MESSAGES, 40, "body", repeated(long, 40, 10))
    told = read(write(tmp_path / "part.parquet", rows_of_it, store_schema=noted), MESSAGES)
    assert (told["rows"], told["codes"]) == (40, {"too_long": 30})


def test_lists_that_are_too_long_are_set_aside(tmp_path: Path) -> None:
    """A list whose elements are longer together than a line may be is one reject."""
    tags = [["a"], ["x" * 1000] * (MAX_LINE_BYTES // 1000 + 1), None, ["b", "c"]]
    told = read(write(tmp_path / "part.parquet", table(THREADS, 4, "tags", pa.array(tags))), THREADS)
    assert (told["rows"], told["codes"]) == (4, {"too_long": 1})


TAGS_AS_DELTA = {"use_dictionary": False, "column_encoding": {"tags.list.element": "DELTA_BYTE_ARRAY"}}
MEGABYTE = "x" * (1 << 20)


@pytest.mark.parametrize(
    ("element", "count", "options"),
    [(None, 16_000_000, {}), ("ab", 16_000_000, {}), (MEGABYTE, 200, TAGS_AS_DELTA)],
    ids=["nulls", "repeated", "delta"],
)
def test_a_list_that_memory_has_no_room_for_is_refused(
    tmp_path: Path, element: str | None, count: int, options: dict[str, Any]
) -> None:
    """Some kilobytes that decode to one list of gigabytes end the part with words on its column and the cure."""
    tags = one_list(pa.repeat(pa.scalar(element, pa.string()), count))
    told = read(write(tmp_path / "part.parquet", table(THREADS, 4, "tags", tags), **options), THREADS)
    assert "in its column tags.list.element" in told["error"]
    assert "run the same command" in told["error"]


@pytest.mark.parametrize(
    ("element", "count", "options"),
    [
        (None, 8_000_000, {}),
        (MEGABYTE, 60, TAGS_AS_DELTA),
        (MEGABYTE, 60, {"use_dictionary": False, "compression": "zstd"}),
    ],
    ids=["nulls", "delta", "plain"],
)
def test_a_list_that_memory_has_room_for_is_set_aside(
    tmp_path: Path, element: str | None, count: int, options: dict[str, Any]
) -> None:
    """A list longer than a line may be is a reject, and the rows beside it are imported, however it is encoded."""
    tags = one_list(pa.repeat(pa.scalar(element, pa.string()), count))
    told = read(write(tmp_path / "part.parquet", table(THREADS, 4, "tags", tags), **options), THREADS)
    assert (told["rows"], told["codes"], told["error"]) == (4, {"too_long": 1}, "")


def test_long_lists_behind_short_ones_are_read_row_by_row(tmp_path: Path) -> None:
    """Lists of which memory has room for a few, but not for as many as short ones are read at once, are all read."""
    tags = pa.array([["a"]] * 200 + [[MEGABYTE[: 1 << 19]] * 5] * 90)
    options = TAGS_AS_DELTA | {"data_page_size": 1, "write_batch_size": 5, "compression": "none"}
    pq.write_table(table(THREADS, 290, "tags", tags), tmp_path / "part.parquet", **options)
    told = read(tmp_path / "part.parquet", THREADS)
    assert (told["rows"], told["codes"], told["error"]) == (290, {}, "")


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY"])
def test_long_cells_behind_short_ones_are_read_in_little_memory(tmp_path: Path, encoding: str) -> None:
    """How many rows are read at once heeds the pages that they go on into, and texts with the same beginning."""
    bodies = pa.array(["short"] * 200 + [MEGABYTE * 15] * 40)
    options = {"use_dictionary": False, "column_encoding": {"body": encoding}, "write_batch_size": 1}
    path = write(tmp_path / "part.parquet", table(MESSAGES, 240, "body", bodies), compression="zstd", **options)
    told = read(path, MESSAGES)
    assert (told["rows"], told["codes"], told["error"]) == (240, {}, "")


@pytest.mark.parametrize("each", [1000, 100_000])
def test_long_cells_in_the_page_of_short_ones_are_read_in_little_memory(tmp_path: Path, each: int) -> None:
    """However small the rows are that were read first: how many are read at once heeds all that the page may hold."""
    rows = 160_000_000 // each
    bodies = pa.concat_arrays([pa.repeat("short", 200), pa.repeat(text(each), rows)])
    options = {"use_dictionary": False, "data_page_size": 1 << 30, "write_batch_size": rows, "compression": "zstd"}
    pq.write_table(table(MESSAGES, 200 + rows, "body", bodies), tmp_path / "part.parquet", **options)
    told = read(tmp_path / "part.parquet", MESSAGES)
    assert (told["rows"], told["codes"], told["error"]) == (200 + rows, {}, "")


def test_a_list_of_nulls_of_a_wide_type_is_refused(tmp_path: Path) -> None:
    """A null of a type of fixed size takes as much memory as a value, though it takes nothing in the file."""
    tags = one_list(pa.nulls(600, pa.binary(1 << 20)))
    told = read(write(tmp_path / "part.parquet", table(THREADS, 4, "tags", tags)), THREADS)
    assert "in its column tags.list.element" in told["error"]


def test_a_type_wider_than_a_line_is_refused(tmp_path: Path) -> None:
    """A column of which each value takes more than a line may is told with the cure, before a row is read."""
    subjects = pa.nulls(4, pa.binary(MAX_LINE_BYTES + 1))
    told = read(write(tmp_path / "part.parquet", table(THREADS, 4, "subject", subjects)), THREADS)
    assert "a column subject of which each value takes" in told["error"]


def test_large_pages_of_many_columns_are_refused(tmp_path: Path) -> None:
    """A page of each column is in memory at the same time: all of them together are bounded too."""
    rows, long = table(MESSAGES, 4, "body", pa.repeat(text(100_000), 4)), repeated(MEGABYTE, 200)
    rows = pa.concat_tables([rows] * 50)
    for name in ("body_html", "thread_id", "kind"):
        rows = rows.drop_columns([name] if name in rows.column_names else []).append_column(name, long)
    options = {"use_dictionary": False, "compression": "zstd", "data_page_size": 1 << 30}
    told = read(write(tmp_path / "part.parquet", rows, **options), MESSAGES)
    assert "side by side" in told["error"]
