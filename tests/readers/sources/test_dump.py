"""What a dump consists of: with a manifest, without one, and when it is not as it should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.errors import DumpNotFound, InvalidManifest, PartDiffers, PartMissing, SourceUnavailable
from s3import.core.records import Entity, Pass, Plan, StoredObject
from s3import.readers.dump.objects import ObjectDump
from tests.readers.sources.conftest import ACCOUNT, FolderPlace, Place

PutAll = Callable[..., None]


def plan(place: Place) -> Plan:
    return ObjectDump(place.source(), ACCOUNT).plan(Pass.RECENT)


def keys(plan: Plan) -> list[str]:
    return [part.key for part in plan.parts]


def manifest(*parts: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({"version": 1, "account_id": ACCOUNT, "pass": "recent", "parts": parts, **changes}).encode()


def named(key: str, entity: str = "threads", **more: Any) -> dict[str, Any]:
    return {"entity": entity, "key": key, **more}


def test_takes_the_listing_parents_first(place: Place, put_all: PutAll) -> None:
    """Without a manifest the parts are those listed: threads, messages, attachments, each in the order of keys."""
    put_all("recent/attachments/a.jsonl", "recent/messages/b.parquet", "recent/messages/a.jsonl.zst")
    put_all("recent/threads/b.jsonl", "recent/threads/a.jsonl.gz", "remaining/threads/c.jsonl", "account.json")
    assert keys(plan(place)) == [
        "threads/a.jsonl.gz",
        "threads/b.jsonl",
        "messages/a.jsonl.zst",
        "messages/b.parquet",
        "attachments/a.jsonl",
    ]


def test_lists_what_it_skips(place: Place, put_all: PutAll) -> None:
    """Other names and other places are no parts, and are listed by key."""
    put_all("recent/threads/a.jsonl", "recent/threads/b.JSONL", "recent/threads/c.csv", "recent/threads/d/e.jsonl")
    put_all("recent/readme.txt", "recent/customers/a.jsonl", "recent/b.jsonl")
    assert plan(place).skipped_objects == (
        "b.jsonl",
        "customers/a.jsonl",
        "readme.txt",
        "threads/b.JSONL",
        "threads/c.csv",
        "threads/d/e.jsonl",
    )


def test_knows_where_a_part_is_stored(place: Place) -> None:
    """A planned part carries its object as it was listed: key below the source, size, version."""
    place.put("recent/threads/a.jsonl", b"12345")
    (part,) = plan(place).parts
    assert (part.entity, part.stored.key, part.stored.size_bytes) == (Entity.THREADS, "recent/threads/a.jsonl", 5)
    assert part.stored.etag
    assert (part.expected_rows, part.expected_sha256) == (None, None)


def test_a_pass_without_objects_is_no_dump(place: Place, put_all: PutAll) -> None:
    """Nothing below the pass means that the dump is not there (yet)."""
    put_all("account.json", "remaining/threads/a.jsonl")
    with pytest.raises(DumpNotFound, match=rf"no recent dump below .*/{ACCOUNT}/recent/"):
        plan(place)


def test_a_pass_without_parts_is_no_dump(place: Place, put_all: PutAll) -> None:
    """Objects that are no parts make no dump either; the message says how many there are."""
    put_all("recent/threads/a.csv", "recent/notes.txt")
    with pytest.raises(DumpNotFound, match="none of the 2 objects found is a part"):
        plan(place)


def test_a_manifest_without_parts_is_an_empty_pass(place: Place) -> None:
    """An empty pass says so by its manifest."""
    place.put("recent/manifest.json", manifest())
    assert plan(place) == Plan((), from_manifest=True)


def test_takes_only_what_the_manifest_names(place: Place, put_all: PutAll) -> None:
    """Where there is a manifest an unnamed part is skipped, and the manifest itself is no object to speak of."""
    put_all("recent/threads/a.jsonl", "recent/threads/b.jsonl", "recent/x/c.jsonl")
    place.put("recent/manifest.json", manifest(named("x/c.jsonl", "messages"), named("threads/b.jsonl")))
    assert keys(plan(place)) == ["threads/b.jsonl", "x/c.jsonl"]
    assert plan(place).skipped_objects == ("threads/a.jsonl",)


def test_keeps_what_the_manifest_promises(place: Place) -> None:
    """Rows and checksum are remembered (the checksum in lower case), and null means not given."""
    place.put("recent/threads/a.jsonl", b"12345")
    place.put("recent/threads/b.jsonl")
    promised = named("threads/a.jsonl", rows=3, bytes=5, sha256="AB" * 32)
    place.put("recent/manifest.json", manifest(promised, named("threads/b.jsonl", rows=None, bytes=None, sha256=None)))
    first, second = plan(place).parts
    assert (first.expected_rows, first.expected_sha256) == (3, "ab" * 32)
    assert (second.expected_rows, second.expected_sha256) == (None, None)


@pytest.mark.parametrize("written", ["./threads/a.jsonl", "threads//a.jsonl", "x/../threads/a.jsonl"])
def test_normalises_keys(folder: FolderPlace, written: str) -> None:
    """A key may take a detour within the pass's folder."""
    folder.put("recent/threads/a.jsonl")
    folder.put("recent/manifest.json", manifest(named(written)))
    assert keys(plan(folder)) == ["threads/a.jsonl"]


def test_takes_a_byte_order_mark(folder: FolderPlace) -> None:
    """A manifest may start with a byte order mark."""
    folder.put("recent/manifest.json", b"\xef\xbb\xbf" + manifest())
    assert plan(folder).parts == ()


def test_lets_a_manifest_name_deletions(folder: FolderPlace) -> None:
    """Tombstones are part of a dump, and come last."""
    folder.put("recent/deletions/a.jsonl")
    folder.put("recent/manifest.json", manifest(named("deletions/a.jsonl", "deletions")))
    assert [part.entity for part in plan(folder).parts] == [Entity.DELETIONS]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff{}", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"{}", "version must be 1"),
        (manifest(version=2), "version must be 1"),
        (manifest(version=True), "version must be 1"),
        (manifest(version="1"), "version must be 1"),
        (manifest(account_id="other"), "account_id must be 'acme'"),
        (manifest(**{"pass": "remaining"}), "pass must be 'recent'"),
        (manifest(parts=None), "parts must be a list"),
        (manifest(parts={}), "parts must be a list"),
        (manifest(parts=[1]), r"parts\[0\] must be an object"),
        (manifest(named("a.jsonl"), {"entity": "threads"}), r"parts\[1\].key is missing"),
        (manifest({"entity": "threads", "key": 5}), r"parts\[0\].key must be a string"),
        (manifest({"key": "a.jsonl"}), r"parts\[0\].entity is missing"),
        (manifest(named("a.jsonl", "customers")), r"parts\[0\].entity must be one of"),
        (manifest(named("a.csv")), r"parts\[0\].key .* parts end with one of"),
        (manifest(named("")), "not within the pass's folder"),
        (manifest(named("/a.jsonl")), "not within the pass's folder"),
        (manifest(named("../remaining/threads/a.jsonl")), "not within the pass's folder"),
        (manifest(named("a/../../a.jsonl")), "not within the pass's folder"),
        (manifest(named("a.jsonl"), named("a.jsonl")), "a second time"),
        (manifest(named("a.jsonl"), named("./a.jsonl", "messages")), "a second time"),
        (manifest(named("a.jsonl", rows=-1)), r"parts\[0\].rows must be a whole number"),
        (manifest(named("a.jsonl", rows=1.5)), r"parts\[0\].rows must be a whole number"),
        (manifest(named("a.jsonl", rows=True)), r"parts\[0\].rows must be a whole number"),
        (manifest(named("a.jsonl", bytes="5")), r"parts\[0\].bytes must be a whole number"),
        (manifest(named("a.jsonl", sha256="abc")), r"parts\[0\].sha256 must be 64 hexadecimal digits"),
    ],
)
def test_refuses_what_is_no_manifest(folder: FolderPlace, document: bytes, complaint: str) -> None:
    """A document that is no such manifest fails with its name, the place and the reason."""
    folder.put("recent/a.jsonl")
    folder.put("recent/manifest.json", document)
    with pytest.raises(InvalidManifest, match=rf"recent/manifest\.json.*{complaint}"):
        plan(folder)


def test_misses_a_part(place: Place) -> None:
    """A part that the manifest names and nobody stored is named."""
    place.put("recent/manifest.json", manifest(named("threads/a.jsonl")))
    with pytest.raises(PartMissing, match=r"manifest\.json names threads/a\.jsonl, which is not there"):
        plan(place)


def test_compares_sizes(place: Place) -> None:
    """A part of another size than promised is found while planning."""
    place.put("recent/threads/a.jsonl", b"12345")
    place.put("recent/manifest.json", manifest(named("threads/a.jsonl", bytes=6)))
    with pytest.raises(PartDiffers, match=r"threads/a\.jsonl has 5 bytes, the manifest says 6"):
        plan(place)


class Shelf:
    """A source that holds empty objects under any keys, and no documents."""

    uri = "shelf"
    rereads_cheaply = True

    def __init__(self, *keys: str) -> None:
        self._keys = sorted(keys)

    def list(self, prefix: str) -> Any:
        return iter([StoredObject(key, 0, "1") for key in self._keys if key.startswith(prefix)])

    def read(self, key: str) -> bytes | None:
        return None

    open = open_random = None


def test_does_not_plan_half_a_dump() -> None:
    """A manifest that appears between two looks means that the dump was being completed: try again."""
    shelf: Any = Shelf("recent/manifest.json", "recent/threads/a.jsonl")
    with pytest.raises(SourceUnavailable, match="completed just now"):
        ObjectDump(shelf, ACCOUNT).plan(Pass.RECENT)


segments = st.sampled_from(
    ["threads", "messages", "attachments", "a.jsonl", "b.jsonl.gz", "c.parquet", "d.txt", "x", "\0", ""]
)
some_keys = st.sets(st.lists(segments, min_size=1, max_size=4).map("/".join))


@given(some_keys)
def test_passes_over_nothing(below: set[str]) -> None:
    """Every object below the pass is either a part or listed as skipped, never both."""
    shelf: Any = Shelf("recent/threads/0.jsonl", *(f"recent/{key}" for key in below))
    planned = ObjectDump(shelf, ACCOUNT).plan(Pass.RECENT)
    shown = {key.replace("\0", "\ufffd") for key in below | {"threads/0.jsonl"}}
    assert sorted([*keys(planned), *planned.skipped_objects]) == sorted(shown)
