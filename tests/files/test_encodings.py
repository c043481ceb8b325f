"""Files that a store or a server has packed: as readable after the copy as they were before."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from s3import.core.errors import FileDiffers, SourceUnavailable
from s3import.files.encodings import canonical_encoding, decoded
from tests.files.dumps import RECENT, BucketPlace, Place, attachment, call, dump_of, fill, settings_for
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import migrate

PLAIN = b"hello " * 50_000
PACKED = {
    "gzip": gzip.compress(PLAIN),
    "x-gzip": gzip.compress(PLAIN[:7]) + gzip.compress(PLAIN[7:]),
    "br": bytes(pa.compress(PLAIN, "brotli")),
    "zstd": bytes(pa.compress(PLAIN, "zstd")),
}


def in_pieces(body: bytes, size_bytes: int = 1000) -> Iterator[bytes]:
    return (body[start : start + size_bytes] for start in range(0, len(body), size_bytes))


@pytest.mark.parametrize("encoding", PACKED)
def test_what_was_encoded_is_had_again(encoding: str) -> None:
    """In every encoding that servers use, of several members too, whatever the pieces."""
    assert b"".join(decoded(in_pieces(PACKED[encoding]), encoding)) == PLAIN


@pytest.mark.parametrize(
    ("header", "encoding"),
    [(None, None), ("", None), ("aws-chunked", None), ("aws-chunked,GZIP", "gzip"), ("gzip, br", "gzip, br")],
)
def test_an_encoding_is_told_from_how_the_body_was_sent(header: str | None, encoding: str | None) -> None:
    """Some stores write down what S3 leaves out."""
    assert canonical_encoding(header) == encoding


@pytest.mark.parametrize("body", [PACKED["gzip"][:-10], b"plain", PACKED["zstd"]], ids=["short", "plain", "another"])
def test_what_is_not_as_encoded_as_it_says_is_no_file(body: bytes) -> None:
    """Never half a file."""
    with pytest.raises(FileDiffers, match="Content-Encoding"):
        list(decoded(in_pieces(body), "gzip"))


def test_an_encoding_that_nobody_knows_is_no_file() -> None:
    """Its bytes would be read for what they are not."""
    with pytest.raises(FileDiffers, match="encoded as gzip, br"):
        list(decoded(iter([b""]), "gzip, br"))


def test_a_source_that_breaks_off_is_not_blamed_on_the_encoding() -> None:
    """The error of the source ends it."""

    def broken() -> Iterator[bytes]:
        yield PACKED["gzip"][:100]
        raise SourceUnavailable("gone")

    with pytest.raises(SourceUnavailable):
        list(decoded(broken(), "gzip"))


def encoded_dump(place: BucketPlace, body: bytes, record: dict[str, Any], **headers: str) -> None:
    """A dump with the attachment a0, whose object has these headers."""
    fill(place, dump_of([record], {}))
    key = f"dumps/{ACCOUNT}/files/0"
    place.bucket.client.put_object(Bucket=place.bucket.bucket, Key=key, Body=body, **headers)


@pytest.mark.integration
@pytest.mark.parametrize(
    "promise", [None, PLAIN, PACKED["gzip"]], ids=["no promise", "of the file", "as it lies there"]
)
def test_an_encoded_object_stays_readable(
    source_bucket: BucketPlace, target: Place, sqlite_url: str, promise: bytes | None
) -> None:
    """A copy in S3 says how it is encoded; a folder, which cannot, has the file itself. Promises may be of either."""
    encoded_dump(source_bucket, PACKED["gzip"], attachment(0, promise), ContentEncoding="gzip")
    result = migrate(settings_for(source_bucket, target, sqlite_url), passes=RECENT)
    assert result.rejected == 0
    [key] = target.keys()
    if isinstance(target, BucketPlace):
        head = target.head(key) or {}
        assert (head["ContentEncoding"], target.get(key)) == ("gzip", PACKED["gzip"])
    else:
        assert target.get(key) == PLAIN


@pytest.mark.integration
def test_an_encoded_object_that_is_another_is_rejected(
    source_bucket: BucketPlace, target: Place, sqlite_url: str
) -> None:
    """Neither as it lies there nor as it is read what the record tells of."""
    encoded_dump(source_bucket, PACKED["gzip"], attachment(0, b"another"), ContentEncoding="gzip")
    assert migrate(settings_for(source_bucket, target, sqlite_url), passes=RECENT).rejected == 1
    assert target.keys() == []


@pytest.mark.integration
def test_an_encoded_object_that_comes_by_here_stays_readable(
    source_bucket: BucketPlace, target_bucket: BucketPlace, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one S3 to another, where no store copies by itself."""
    encoded_dump(source_bucket, PACKED["gzip"], attachment(0, PLAIN), ContentEncoding="gzip", CacheControl="private")
    monkeypatch.setattr("s3import.files.s3_target.BucketTarget.copies_from", lambda *_: None)
    assert migrate(settings_for(source_bucket, target_bucket, sqlite_url), passes=RECENT).rejected == 0
    [key] = target_bucket.keys()
    head = target_bucket.head(key) or {}
    assert (head["ContentEncoding"], head["CacheControl"]) == ("gzip", "private")
    assert target_bucket.get(key) == PACKED["gzip"]


@pytest.mark.integration
def test_a_type_that_no_record_tells_is_the_objects_own(
    source_bucket: BucketPlace, target_bucket: BucketPlace, sqlite_url: str
) -> None:
    """As safe as any: sound is shown in place, a page is not."""
    fill(source_bucket, dump_of([attachment(0)], {}, [call(6)]))
    put = source_bucket.bucket.client.put_object
    root = {"Bucket": source_bucket.bucket.bucket, "Body": b"x"}
    put(**root, Key=f"dumps/{ACCOUNT}/files/0", ContentType="text/html")
    put(**root, Key=f"dumps/{ACCOUNT}/files/call-6.wav", ContentType="audio/wav")
    migrate(settings_for(source_bucket, target_bucket, sqlite_url), passes=RECENT)
    heads = [target_bucket.head(key) or {} for key in target_bucket.keys()]  # noqa: SIM118 - a place is no dictionary
    assert [head["ContentType"] for head in heads] == ["application/octet-stream", "audio/wav"]
    assert [head["ContentDisposition"].split(";")[0] for head in heads] == ["attachment", "inline"]
