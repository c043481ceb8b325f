"""How a part is cut into batches: where, from where again, and what of a line that is too long."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from s3import.core.records import MAX_LINE_BYTES, MAX_RAW_BYTES, Batch, Entity, Position
from s3import.readers.formats import blocks
from s3import.readers.formats.blocks import PIECE_BYTES, cut_blocks
from s3import.readers.formats.jsonl import read_columns, read_jsonl
from tests.readers.formats.reading import read, seen

LINE = b'{"id":"a"}\n'


def _line_of(size_bytes: int) -> bytes:
    return b'{"subject":"' + b"x" * (size_bytes - 14) + b'"}'


class Dribble(io.BytesIO):
    """A stream that gives less than it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7))


def test_a_batch_ends_at_the_last_line_end_within_its_size() -> None:
    """As many whole lines as fit make a batch, and the batches follow each other without a gap."""
    batches = read(LINE * 5, block_bytes=2 * len(LINE) + 3)
    assert [len(batch.lines) for batch in batches] == [2, 2, 1]
    assert [batch.end for batch in batches] == [Position(22, 2), Position(44, 4), Position(55, 5)]
    assert [batch.start for batch in batches] == [Position(), *(batch.end for batch in batches[:-1])]


def test_a_line_longer_than_a_block_is_a_batch_of_its_own() -> None:
    """A block grows to hold one whole line."""
    batches = read(LINE + _line_of(5000) + b"\n" + LINE, block_bytes=64)
    assert [batch.lines.to_pylist() for batch in batches] == [[1], [2], [3]]


def test_the_longest_line_has_16_mib() -> None:
    """Without its end it is a record like any other; one byte more is set aside, and the next line is read."""
    lines = (_line_of(MAX_LINE_BYTES), _line_of(MAX_LINE_BYTES + 1), LINE)
    longest, too_long, after = read(b"\n".join(lines))
    assert (longest.faults, after.faults) == ((), ())
    assert len(longest.records["subject"][0].as_py()) == MAX_LINE_BYTES - 14
    assert [fault.reason.code for fault in too_long.faults] == ["too_long"]


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> int:
    """The length of the longest line, in bytes, made smaller: what depends on it does not depend on its size."""
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 1 << 20)
    return 1 << 20


@pytest.mark.parametrize("careful", [False, True], ids=["columns", "lines"])
@pytest.mark.parametrize(
    ("block_bytes", "end"), [(1 << 16, b""), (1 << 16, b"\n"), (1 << 16, b"\r\n"), (1 << 22, b"\n")]
)
def test_the_longest_line_is_read(block_bytes: int, end: bytes, careful: bool, most: int) -> None:
    """Whatever its end, and however it compares with a block."""
    (batch,) = read(_line_of(most) + end, block_bytes=block_bytes, careful=careful)
    assert len(batch.records["subject"][0].as_py()) == most - 14
    assert not batch.faults


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"x" * (1 << 20) + b"\n"])
@pytest.mark.parametrize("block_bytes", [1 << 16, 1 << 22])
def test_a_longer_line_is_set_aside_alone(end: bytes, block_bytes: int, most: int) -> None:
    """One byte more is too long: the line is one row with the start of its text, and the next line is read."""
    too_long = _line_of(most + 1) + end
    text = LINE + too_long + (LINE if end else b"")
    batches = read(text, block_bytes=block_bytes)
    assert seen(batches).faults == [(1, "too_long", None)]
    assert seen(batches).lines == ([1, 2, 3] if end else [1, 2])
    assert batches[1].raw([0]) == [too_long[: MAX_RAW_BYTES + 1]]
    assert batches[-1].end == Position(len(text), text.count(b"\n") or 1) or not end


def test_a_part_of_one_endless_line_is_read_in_bounded_memory() -> None:
    """However long a line goes on, only its start is held."""
    chunks = iter([b"x" * (1 << 20)] * 200)
    (block,) = cut_blocks(lambda size_bytes: next(chunks, b""), 1 << 20, at_start=True)
    assert (len(block.text), block.size_bytes) == (MAX_RAW_BYTES + 1, 200 << 20)


@pytest.mark.parametrize("block_bytes", [1, 11, 30, 100])
def test_a_reader_that_starts_at_a_checkpoint_sees_the_same_batches(block_bytes: int) -> None:
    """From the end of any batch the batches that follow are those of the undisturbed reader."""
    text = b"\xef\xbb\xbf" + LINE * 3 + b"\n  \n" + _line_of(90) + b"\r\noops\n" + LINE + b'{"id":"z"}'
    batches = read(text, block_bytes=block_bytes)
    for done, batch in enumerate(batches):
        assert list(map(_told, read(text, start=batch.end, block_bytes=block_bytes))) == list(
            map(_told, batches[done + 1 :])
        )


def _told(batch: Batch) -> tuple[object, ...]:
    rows = range(len(batch.lines))
    return batch.start, batch.end, batch.bytes_done, batch.faults, batch.records.to_pylist(), batch.raw(rows)


def test_short_reads_change_nothing() -> None:
    """A stream may give less than it is asked for at any time."""
    text = b"\xef\xbb\xbf" + LINE * 20
    dribbled = read_jsonl(Dribble(text), Entity.THREADS, Position(), object_name="part", block_bytes=50)
    assert list(map(_told, dribbled)) == list(map(_told, read(text, block_bytes=50)))


@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf"])
def test_an_empty_part_has_no_batches(text: bytes) -> None:
    """Nothing, or nothing but a byte order mark, gives nothing."""
    assert read(text) == []


@pytest.mark.parametrize("careful", [False, True], ids=["columns", "lines"])
@pytest.mark.parametrize("text", [b"\xef\xbb\xbf" + LINE, LINE.strip(), LINE.replace(b"\n", b"\r\n")])
def test_marks_and_line_ends_of_other_systems_are_accepted(text: bytes, careful: bool) -> None:
    """A byte order mark at the very start, CRLF, and no newline at the end are all the same record."""
    (batch,) = read(text, careful=careful)
    assert (seen([batch]).records, seen([batch]).faults) == ([{"id": "a"}], [])
    assert (batch.end, batch.bytes_done) == (Position(len(text), 1), len(text))
    assert batch.raw([0]) == [LINE.strip()]


def test_raw_gives_the_lines_of_the_rows_asked_for() -> None:
    """The bytes of a row are those of its line without the end, bad bytes included, blank lines left out."""
    (batch,) = read(b'{"id":"a"}\n\n\xff\0\r\n{"id":"c"}')
    assert batch.raw([2, 1]) == [b'{"id":"c"}', b"\xff\0"]


@pytest.mark.parametrize(
    "text",
    [LINE * 3, LINE.replace(b"\n", b"\r\n") * 2, b"\n" + LINE, LINE + b'{"x":1}\n', b'{"customer":{"x":[{}]}}'],
)
def test_ordinary_blocks_are_parsed_as_columns(text: bytes) -> None:
    """Line ends of either kind, blank lines and unknown fields do not need the line path."""
    assert read_columns(text, Entity.THREADS, 1) is not None


def test_a_bad_line_sends_only_its_piece_to_the_line_path() -> None:
    """Rows, lines and faults of the pieces of a block are put together again."""
    long = _line_of(1000) + b"\n"
    many = PIECE_BYTES // 2 // len(long) * 3  # a piece and a half on either side
    text = long * many + b'{"subject":"\\ud800"}\noops\n' + long * many + b'{"x":1}\n'
    rows = seen(read(text, block_bytes=4 * PIECE_BYTES))
    assert rows.lines == list(range(1, 2 * many + 4))
    assert rows.faults == [(many + 1, "invalid_json", None)]
    assert (rows.sanitised, rows.ignored_fields) == ({many}, {"threads.x"})


def _numbered_fields() -> Iterator[bytes]:
    for number in range(3000):
        yield b'{"x%d":1}\n' % number


def test_the_names_of_ignored_fields_are_bounded() -> None:
    """A new name in every record does not fill the memory: a batch keeps a thousand, the same on both paths."""
    text = b"".join(_numbered_fields())
    fast, careful = seen(read(text + b"oops\n")), seen(read(text + b"oops\n", careful=True))
    assert len(fast.ignored_fields) == 1000
    assert fast.ignored_fields == careful.ignored_fields
