"""What every source promises, whatever is behind it."""

from __future__ import annotations

import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s3import.core.errors import MigrationFailed, PartMissing, SourceChanged
from tests.readers.sources.conftest import Place

ODD_NAMES = [
    "a b",
    "a+b",
    "100%",
    "%41",
    "a%2Fb",
    "ü😀",
    "u\u0301",
    "a&b=c?d#e",
    "a..b",
    "~t",
    "x;y:z@w,$",
    "'q'\"",
    "tab\there",
    "back\\slash",
    "(1)[2]{3}<4>",
]


def test_lists_in_the_order_of_keys(place: Place) -> None:
    """Objects come in the order of their whole keys, not folder by folder."""
    for key in ("recent/b/1", "recent/b.x", "recent/b0", "recent/a/z/1", "remaining/a", "recent.txt"):
        place.put(key)
    assert [stored.key for stored in place.source().list("recent/")] == [
        "recent/a/z/1",
        "recent/b.x",
        "recent/b/1",
        "recent/b0",
    ]


def test_lists_sizes(place: Place) -> None:
    """An object is listed with its size, an empty one with 0."""
    place.put("recent/a", b"12345")
    place.put("recent/b")
    assert [stored.size_bytes for stored in place.source().list("recent/")] == [5, 0]


def test_lists_folders(place: Place) -> None:
    """The folders right below the root are listed by their beginning, each once, however much lies in them."""
    for key in ("a/1", "a/2/3", "ab/1", "ü b/1", "file", "a.txt"):
        place.put(key)
    assert [list(place.source().folders(prefix)) for prefix in ("", "a", "x")] == [["a", "ab", "ü b"], ["a", "ab"], []]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_reads_odd_keys(place: Place, name: str) -> None:
    """Any legal key is listed as it is, and can be opened."""
    place.put(f"recent/threads/{name}.jsonl", name.encode())
    source = place.source()
    (stored,) = source.list("recent/")
    assert stored.key == f"recent/threads/{name}.jsonl"
    assert source.open(stored).read(1000) == name.encode()


def test_has_nothing_where_nothing_is(place: Place) -> None:
    """A folder that does not exist holds no objects, and no documents."""
    assert list(place.source().list("recent/")) == []
    assert place.source().read("account.json") is None


def test_reads_a_document(place: Place) -> None:
    """A small document is read as a whole."""
    place.put("account.json", b"{}")
    assert place.source().read("account.json") == b"{}"


@pytest.mark.parametrize("offset", [0, 1, 9, 10])
def test_opens_at_an_offset(place: Place, offset: int) -> None:
    """The stream starts where one wants it to, the end included."""
    place.put("recent/a", b"0123456789")
    source = place.source()
    (stored,) = source.list("recent/")
    with source.open(stored, offset) as stream:
        assert b"".join(iter(lambda: stream.read(3), b"")) == b"0123456789"[offset:]


def test_ends_an_empty_object_at_once(place: Place) -> None:
    """An empty object is an empty stream, again and again."""
    place.put("recent/a")
    source = place.source()
    (stored,) = source.list("recent/")
    with source.open(stored) as stream:
        assert (stream.read(10), stream.read()) == (b"", b"")


def test_seeks_in_a_random_file(place: Place) -> None:
    """A random file reads from its end, from anywhere, and nothing past its end."""
    place.put("recent/a", b"0123456789")
    source = place.source()
    (stored,) = source.list("recent/")
    with source.open_random(stored) as file:
        assert file.seek(-3, io.SEEK_END) == 7
        assert (file.read(2), file.tell(), file.read(5), file.read(5)) == (b"78", 9, b"9", b"")
        assert file.seek(2) == 2
        assert file.read() == b"23456789"
        buffer = bytearray(4)
        file.seek(-4, io.SEEK_CUR)
        assert file.readinto(buffer) == 4  # type: ignore[attr-defined]
        assert bytes(buffer) == b"6789"


@pytest.mark.parametrize("body", [b"other", b"another size"])
@pytest.mark.parametrize("offset", [0, 2])
def test_refuses_a_replaced_object(place: Place, body: bytes, offset: int) -> None:
    """An object that changed after it was listed is not opened as if it were the same."""
    place.put("recent/a", b"first")
    source = place.source()
    (stored,) = source.list("recent/")
    place.put("recent/a", body)
    with pytest.raises(SourceChanged, match=r"recent/a changed since it was listed"):
        source.open(stored, offset).read(10)
    with pytest.raises(SourceChanged):
        source.open_random(stored).read(1)


def test_notices_a_change_during_reading(place: Place) -> None:
    """An object replaced between the first byte and the end fails the reading, if only at the end."""
    place.put("recent/a", b"first")
    source = place.source()
    (stored,) = source.list("recent/")
    with source.open(stored) as stream:
        assert stream.read(5) == b"first"
        place.put("recent/a", b"other")
        with pytest.raises(SourceChanged):
            stream.read(5)


def test_says_what_is_gone(place: Place) -> None:
    """An object that was removed after it was listed is named as missing."""
    place.put("recent/a", b"first")
    source = place.source()
    (stored,) = source.list("recent/")
    place.remove("recent/a")
    with pytest.raises(PartMissing, match=r"recent/a is not there"):
        source.open(stored).read(10)


def test_refuses_an_oversized_document(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that does not fit into memory is not read into it."""
    monkeypatch.setattr("s3import.readers.sources.folder.MAX_DOCUMENT_BYTES", 5)
    monkeypatch.setattr("s3import.readers.sources.s3.MAX_DOCUMENT_BYTES", 5)
    place.put("account.json", b"123456")
    with pytest.raises(MigrationFailed, match=r"account\.json is larger than 5 bytes"):
        place.source().read("account.json")


def test_is_a_file_to_others(place: Place) -> None:
    """Streams and random files are files to the standard library: a buffered reader works upon them."""
    place.put("recent/a", b"one\ntwo\n")
    source = place.source()
    (stored,) = source.list("recent/")
    for file in (source.open(stored), source.open_random(stored)):
        assert io.BufferedReader(file).readlines() == [b"one\n", b"two\n"]  # type: ignore[type-var]
    assert source.open(stored, 4).read() == source.open_random(stored).read()[4:] == b"two\n"


def test_is_a_file_to_arrow(place: Place) -> None:
    """Arrow decompresses from a stream, and reads Parquet from a random file."""
    table = pa.table({"id": ["a", "b"]})
    pq.write_table(table, parquet := io.BytesIO())
    place.put("recent/a.gz", gzip.compress(b"text" * 100_000))
    place.put("recent/b.parquet", parquet.getvalue())
    source = place.source()
    zipped, columns = source.list("recent/")
    with pa.CompressedInputStream(pa.PythonFile(source.open(zipped), mode="r"), "gzip") as stream:
        assert stream.read() == b"text" * 100_000
    assert pq.read_table(pa.PythonFile(source.open_random(columns), mode="r")) == table


def test_does_not_seek_before_the_start(place: Place) -> None:
    """A place before the first byte is no place."""
    place.put("recent/a", b"1")
    source = place.source()
    (stored,) = source.list("recent/")
    with source.open_random(stored) as file, pytest.raises((ValueError, OSError)):
        file.seek(-2, io.SEEK_END)
