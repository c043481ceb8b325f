"""Files into S3: what S3 copies by itself, what goes in parts, and what S3 does wrong on the way."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from s3import.core.errors import FileDiffers, FilesRefused, SourceUnavailable
from s3import.core.records import Entity
from s3import.files.copier import Copier
from s3import.files.download import Downloads
from s3import.files.file import Content, Copied, File
from s3import.files.labels import label
from s3import.files.s3_target import BucketTarget
from s3import.files.target import TargetFolder
from s3import.readers.dynamodb.export import ExportSource
from s3import.readers.sources.location import open_source
from s3import.readers.sources.s3 import S3Source
from s3import.readers.sources.source import Role
from tests.faults import Fault, FaultyProxy, Passed, Refusal, Reset
from tests.files.dumps import BucketPlace
from tests.importing.dumps import ACCOUNT
from tests.readers.dynamodb.items import mapping
from tests.readers.sources.conftest import QUICK
from tests.readers.sources.test_s3_manners import Manner, Rewritten, spelt_in_headers, spelt_in_listings, unquoted, weak

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
BODY = bytes(range(256)) * 4096 * 12  # 12 MiB
IN_PARTS = BODY[: 7 * MIB]  # as little as needs two of them
KEY = "attachments/a0/note.txt"
TEXT = label("note.txt", "text/plain")


def store_of(place: BucketPlace) -> S3Source:
    """The place as the environment's endpoint shows it."""
    return cast("S3Source", open_source(place.uri, ACCOUNT, policy=QUICK))


def copier(source: BucketPlace, target: BucketPlace, going: Callable[[], None] = lambda: None) -> Copier:
    """Copies on the server what has at most 6 MiB, and what has more in parts of 5 MiB."""
    small = BucketTarget(store_of(target), max_copy_bytes=6 * MIB, copied_part_bytes=5 * MIB, part_bytes=5 * MIB)
    return Copier(store_of(source), TargetFolder(small, ""), Downloads(), going)


def file(body: bytes | None = None) -> File:
    """Attachment a0 at ``files/0``, with what is known of its body."""
    one = File(Entity.ATTACHMENTS, "a0", "note.txt", "files/0")
    if body is None:
        return one
    return dataclasses.replace(one, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())


def copied(copier: Copier, one: File) -> Copied:
    """Copy and confirm one file. Raises: what is wrong with it."""
    right, wrong = copier.confirm([copier.copy(one, copier.look_up([one]).get(copier.key(one)))])
    for failed in wrong:
        raise failed.error
    return right[0]


@pytest.mark.parametrize("same", [True, False], ids=["as ourselves", "in a role"])
def test_what_lies_beside_items_is_copied_by_s3(
    source_bucket: BucketPlace, target_bucket: BucketPlace, same: bool
) -> None:
    """An item source's files are copied like a dump's; not where they are read in a role that writes nothing."""
    role = None if same else Role("arn:aws:iam::444455556666:role/reader")
    target = BucketTarget(store_of(target_bucket))
    beside = open_source(source_bucket.uri, ACCOUNT, policy=QUICK, role=role)
    items = ExportSource(beside, mapping(), ACCOUNT, recent_days=30, companion=beside)
    assert (target.copies_from(items.companion) is not None) == (target.copies_from(beside) is not None) == same


@pytest.fixture
def proxy(source_bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy before S3 that breaks nothing and remembers everything."""
    with FaultyProxy(source_bucket.bucket.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.mark.parametrize("known", [BODY, None], ids=["promised", "unpromised"])
def test_a_large_object_is_copied_in_parts_by_s3(
    source_bucket: BucketPlace, target_bucket: BucketPlace, proxy: FaultyProxy, known: bytes | None
) -> None:
    """Three ranges, none of which comes by here; only where a checksum is promised the object is read for it."""
    source_bucket.put("files/0", BODY)
    assert copied(copier(source_bucket, target_bucket), file(known)).stored.size_bytes == len(BODY)
    assert target_bucket.get(KEY) == BODY
    ranges = [sent["x-amz-copy-source-range"] for _, _, sent in proxy.requests if "x-amz-copy-source-range" in sent]
    assert ranges == ["bytes=0-5242879", "bytes=5242880-10485759", "bytes=10485760-12582911"]
    assert any(method == "GET" and "/files/0" in path for method, path, _ in proxy.requests) == (known is not None)


def test_a_small_object_costs_two_requests_and_a_share_of_two_listings(
    source_bucket: BucketPlace, target_bucket: BucketPlace, proxy: FaultyProxy
) -> None:
    """It is looked at before, for what it is served with, and never read."""
    source_bucket.put("files/0", b"small")
    copied(copier(source_bucket, target_bucket), file(b"small"))
    assert [method for method, path, _ in proxy.requests] == ["GET", "HEAD", "PUT", "GET"]
    assert all("list-type" in path for method, path, _ in proxy.requests if method == "GET")


@pytest.mark.parametrize("body", [b"small", IN_PARTS], ids=["whole", "parts"])
def test_what_is_there_already_is_not_copied_again(
    source_bucket: BucketPlace, target_bucket: BucketPlace, proxy: FaultyProxy, body: bytes
) -> None:
    """Same size, same checksum: nothing is written."""
    source_bucket.put("files/0", body)
    copied(copier(source_bucket, target_bucket), file(body))
    proxy.requests.clear()
    copied(copier(source_bucket, target_bucket), file(body))
    assert {method for method, _, _ in proxy.requests} == {"GET", "HEAD"}


@pytest.mark.parametrize("there", [b"mine!", b"longer than that"], ids=["same size", "another size"])
def test_what_is_there_but_another_is_copied(
    source_bucket: BucketPlace, target_bucket: BucketPlace, there: bytes
) -> None:
    """An object of the same key with other bytes gives way."""
    source_bucket.put("files/0", b"small")
    target_bucket.put(KEY, there)
    copied(copier(source_bucket, target_bucket), file(b"small"))
    assert target_bucket.get(KEY) == b"small"


def test_an_unpromised_object_of_the_same_etag_is_not_copied_again(
    source_bucket: BucketPlace, target_bucket: BucketPlace, proxy: FaultyProxy
) -> None:
    """Without a checksum the ETags tell."""
    source_bucket.put("files/0", b"small")
    target_bucket.put(KEY, b"small")
    copied(copier(source_bucket, target_bucket), file())
    assert "PUT" not in {method for method, _, _ in proxy.requests}


@pytest.mark.parametrize("body", [b"small", IN_PARTS], ids=["whole", "parts"])
def test_an_error_within_an_answer_of_200_is_an_error(
    source_bucket: BucketPlace, target_bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """S3 may say OK and then fail: it is asked again until the copy is there."""
    source_bucket.put("files/0", body)
    faults: list[Fault] = [Refusal(200, "InternalError"), Refusal(200, "SlowDown"), Reset(10)]
    is_copy = lambda method, path: method in ("PUT", "POST") and KEY in path and "uploads" not in path  # noqa: E731
    with FaultyProxy(source_bucket.bucket.endpoint_url, faults, chosen=is_copy) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        copied(copier(source_bucket, target_bucket), file(body))
    assert target_bucket.get(KEY) == body


def test_a_copy_that_never_succeeds_is_a_passing_failure(
    source_bucket: BucketPlace, target_bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 and an error, again and again: the run ends, and can be run again."""
    source_bucket.put("files/0", b"small")
    always = Refusal(200, "InternalError")
    impatient = dataclasses.replace(QUICK, retry_seconds=0.2)
    with FaultyProxy(
        source_bucket.bucket.endpoint_url, afterwards=always, chosen=lambda method, path: method == "PUT"
    ) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        store = cast("S3Source", open_source(target_bucket.uri, ACCOUNT, policy=impatient))
        hasty = Copier(store_of(source_bucket), TargetFolder(BucketTarget(store), ""), Downloads(), lambda: None)
        with pytest.raises(SourceUnavailable):
            hasty.copy(file(b"small"), None)


def test_a_bucket_that_is_not_there_is_no_fault_of_the_file(
    source_bucket: BucketPlace, target_bucket: BucketPlace
) -> None:
    """Whoever misspells the bucket learns it at once, and no file is set aside."""
    source_bucket.put("files/0", b"small")
    target_bucket.uri = "s3://no-such-bucket/files/{account}"
    with pytest.raises(FilesRefused, match="no-such-bucket"):
        copier(source_bucket, target_bucket).copy(file(b"small"), None)


def test_a_stream_goes_in_parts_and_is_put_away_as_a_whole(target_bucket: BucketPlace) -> None:
    """More than a part holds: several parts, one object, and the checksum is kept with it."""
    target = BucketTarget(store_of(target_bucket), part_bytes=5 * MIB)
    digest = hashlib.sha256(BODY).hexdigest()
    pieces = (BODY[start : start + MIB] for start in range(0, len(BODY), MIB))
    stored = target.put(KEY, Content(pieces, TEXT, len(BODY), digest))
    assert target_bucket.get(KEY) == BODY
    assert (stored.size_bytes, (target.find(KEY) or stored).sha256) == (len(BODY), digest)


@pytest.mark.parametrize("size_bytes", [10, 12 * MIB], ids=["whole", "parts"])
def test_a_stream_that_ends_in_an_error_leaves_nothing(target_bucket: BucketPlace, size_bytes: int) -> None:
    """Neither an object nor an upload in parts that somebody would pay for."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, size_bytes, MIB):
            yield BODY[start : min(start + MIB, size_bytes)]
        raise FileDiffers("not what was promised")

    target = BucketTarget(store_of(target_bucket), part_bytes=5 * MIB)
    with pytest.raises(FileDiffers):
        target.put(KEY, Content(pieces(), TEXT, size_bytes))
    assert target_bucket.keys() == []
    uploads = target_bucket.bucket.client.list_multipart_uploads(Bucket=target_bucket.bucket.bucket)
    assert "Uploads" not in uploads


def test_an_object_that_is_gone_right_away_was_not_copied(
    source_bucket: BucketPlace, target_bucket: BucketPlace
) -> None:
    """What is not in its place when it is looked for is set aside, whatever S3 said before."""
    source_bucket.put("files/0", b"small")
    one = copier(source_bucket, target_bucket)
    made = one.copy(file(b"small"), None)
    target_bucket.put(KEY, b"other")
    right, [wrong] = one.confirm([made])
    assert (right, wrong.error.code) == ([], "file_differs")


def test_requests_pass_through_an_undisturbed_proxy(source_bucket: BucketPlace, proxy: FaultyProxy) -> None:
    """The proxy itself changes nothing."""
    source_bucket.put("files/0", b"x")
    assert store_of(source_bucket).find("files/0") is not None
    assert store_of(source_bucket).find("files/1") is None
    assert isinstance(proxy.fault_for("GET", "/"), Passed)


@pytest.mark.parametrize("body", [b"small", IN_PARTS], ids=["whole", "parts"])
def test_a_copy_keeps_the_encoding(source_bucket: BucketPlace, target_bucket: BucketPlace, body: bytes) -> None:
    """Copied as a whole or in parts, by S3 itself."""
    key = f"dumps/{ACCOUNT}/files/0"
    bucket = source_bucket.bucket
    bucket.client.put_object(Bucket=bucket.bucket, Key=key, Body=body, ContentEncoding="gzip", CacheControl="private")
    copied(copier(source_bucket, target_bucket), file())
    head = target_bucket.head(KEY) or {}
    assert (head["ContentEncoding"], head["CacheControl"]) == ("gzip", "private")


@pytest.mark.parametrize("body", [b"small", IN_PARTS], ids=["whole", "parts"])
@pytest.mark.parametrize("by_store", [True, False], ids=["copied", "sent"])
def test_a_store_that_refuses_checksums_gets_none(
    source_bucket: BucketPlace,
    target_bucket: BucketPlace,
    proxy: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    by_store: bool,
) -> None:
    """With boto3's own setting for that; every file arrives, and is checked by its SHA-256 all the same."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    source_bucket.put("files/0", body)
    if not by_store:
        monkeypatch.setattr(BucketTarget, "copies_from", lambda *_: None)
    copied(copier(source_bucket, target_bucket), file(body))
    assert target_bucket.get(KEY) == body
    sent = {name for _, _, headers in proxy.requests for name in map(str.lower, headers)}
    assert {name for name in sent if "checksum" in name or "trailer" in name} == set()
    with pytest.raises(FileDiffers):
        copied(copier(source_bucket, target_bucket), dataclasses.replace(file(body), sha256="0" * 64))


@pytest.mark.parametrize(
    ("spell", "manner", "body"),
    [
        (unquoted, spelt_in_headers, b"small"),
        (unquoted, spelt_in_listings, IN_PARTS),
        (weak, spelt_in_listings, b"small"),
        (weak, spelt_in_headers, IN_PARTS),
        (str.upper, spelt_in_headers, b"small"),
        (str.upper, spelt_in_listings, IN_PARTS),
    ],
    ids=["unquoted header", "unquoted parts", "weak", "weak header, parts", "upper case header", "upper case parts"],
)
def test_an_etag_spelt_in_two_ways_is_one_version(
    source_bucket: BucketPlace,
    target_bucket: BucketPlace,
    monkeypatch: pytest.MonkeyPatch,
    spell: Callable[[str], str],
    manner: Callable[[Callable[[str], str]], Manner],
    body: bytes,
) -> None:
    """Between a copy's answer, a header and a listing."""
    source_bucket.put("files/0", body)
    everything = Rewritten(manner(spell))
    with FaultyProxy(
        source_bucket.bucket.endpoint_url, [], afterwards=everything, chosen=lambda _method, _path: True
    ) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        copied(copier(source_bucket, target_bucket), file())
        store.requests.clear()
        copied(copier(source_bucket, target_bucket), file(body))
    assert target_bucket.get(KEY) == body
