"""Files copied into S3: by S3 itself where they come from there, else in parts, and never by way of the disk."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from s3import.core.errors import (
    FilesRefused,
    PartMissing,
    S3ImportError,
    SourceChanged,
    SourceDenied,
    SourceMissing,
)
from s3import.core.records import StoredObject
from s3import.files.file import Content, Stored
from s3import.files.labels import Label
from s3import.files.target import Copies
from s3import.readers.sources.aws import canonical_etag, sends_checksums
from s3import.readers.sources.s3 import S3Source
from s3import.readers.sources.source import Source

T = TypeVar("T")

WHOLE_BYTES = 1024 * 1024  # a file of at most that is sent in one request, from memory
PART_BYTES = 16 * 1024 * 1024
COPIED_PART_BYTES = 512 * 1024 * 1024
MAX_COPY_BYTES = 5 * 1024 * 1024 * 1024  # what CopyObject takes
MAX_PARTS = 10_000
LARGE_AT_ONCE = 4  # files sent in parts: each has one in memory
MAX_PAGES = 8  # of a listing that is to spare requests


class BucketTarget:
    """The `Target` at the root of `store`, which is read and written with the same client. What is sent carries its
    SHA-256, or where the store knows no such thing its MD5."""

    keeps_encodings = True

    def __init__(
        self,
        store: S3Source,
        *,
        max_copy_bytes: int = MAX_COPY_BYTES,
        copied_part_bytes: int = COPIED_PART_BYTES,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.uri = store.uri
        self._store = store
        self._client = store.client
        self._max_copy_bytes, self._copied_part_bytes = max_copy_bytes, copied_part_bytes
        self._part_bytes = part_bytes
        self._large = threading.BoundedSemaphore(LARGE_AT_ONCE)
        self._checked = sends_checksums()

    # --- what is there -----------------------------------------------------------------------------------------------

    def find(self, key: str) -> Stored | None:
        """What lies there, with its SHA-256 where S3 tells it; None when nothing does. One request."""
        request = {**self._store.address(key), **({"ChecksumMode": "ENABLED"} if self._checked else {})}
        try:
            found = self._ask("s3:GetObject", key, lambda: self._client.head_object(**request))
        except PartMissing:
            return None
        if "ContentLength" not in found:
            return self.look_up([key]).get(key)
        return Stored(found["ContentLength"], _etag(found), found["Metadata"].get("sha256") or _sha256(found))

    def look_up(self, keys: Sequence[str]) -> dict[str, Stored]:
        """What lies at these keys, by key: one request for a thousand that lie side by side, at most `MAX_PAGES`."""
        ordered = sorted(keys)
        found: dict[str, Stored] = {}
        after = ordered[0][:-1]
        for _ in range(MAX_PAGES):
            page = self._page(after)
            found.update(page)
            after = max(page, default="")
            if not page or after >= ordered[-1]:
                break
        return {key: found[key] for key in ordered if key in found}

    def _page(self, after: str) -> dict[str, Stored]:
        """What a listing shows behind that key."""
        start = self._store.address(after)
        root = self._store.address("")["Key"]
        request = {"Bucket": start["Bucket"], "Prefix": root, "StartAfter": start["Key"]}
        listed = self._ask("s3:ListBucket", after, lambda: self._client.list_objects_v2(**request))
        return {
            entry["Key"].removeprefix(root): Stored(entry["Size"], _etag(entry)) for entry in listed.get("Contents", ())
        }

    # --- what comes from elsewhere -----------------------------------------------------------------------------------

    def put(self, key: str, content: Content) -> Stored:
        """Store the content, or nothing of it; `LARGE_AT_ONCE` large files at a time, for the memory they take."""
        few = _joined(content.pieces, WHOLE_BYTES)
        first = next(few)
        second = next(few, None)
        if second is None:
            return self._put_whole(key, first, content.label)
        part_bytes = max(self._part_bytes, -(-(content.size_bytes or 0) // MAX_PARTS))
        with self._large:
            parts = _joined(chain((first, second), few), part_bytes)
            send = partial(self._send_parts, parts=parts)
            return self._in_parts(key, content.label, content.sha256, send)

    def _put_whole(self, key: str, body: bytes, label: Label) -> Stored:
        request = {**self._store.address(key), **_headers(label), **self._body(body)}
        answer = self._ask("s3:PutObject", key, lambda: self._client.put_object(**request))
        return Stored(len(body), _etag(answer), hashlib.sha256(body).hexdigest())

    def _send_parts(self, upload: _Upload, parts: Iterator[bytes]) -> int:
        size_bytes = 0
        for number, part in enumerate(parts, 1):
            upload.add(number, self._ask_part(upload, self._client.upload_part, number, self._body(part)))
            size_bytes += len(part)
        return size_bytes

    def _body(self, body: bytes) -> dict[str, Any]:
        """The body of a request, with what the store checks it by."""
        if self._checked:
            return {"Body": body, "ChecksumSHA256": _base64(hashlib.sha256(body))}
        return {"Body": body, "ContentMD5": _base64(hashlib.md5(body, usedforsecurity=False))}

    @property
    def _with_checksum(self) -> dict[str, str]:
        return {"ChecksumAlgorithm": "SHA256"} if self._checked else {}

    def copies_from(self, source: Source) -> Copies | None:
        """What copies from that source within S3: only in the same S3, with credentials that may read and write."""
        if not isinstance(source, S3Source) or source.role != self._store.role:
            return None
        if source.client.meta.endpoint_url != self._client.meta.endpoint_url:
            return None
        return _Copies(self, source)

    # --- what S3 copies by itself ------------------------------------------------------------------------------------

    def takes_whole(self, size_bytes: int) -> bool:
        return size_bytes <= self._max_copy_bytes

    def copy(self, there: dict[str, str], size_bytes: int, key: str, label: Label) -> Stored:
        """Have S3 copy the object `there`."""
        request = {
            **self._store.address(key),
            **_headers(label),
            "CopySource": there,
            "MetadataDirective": "REPLACE",
            "TaggingDirective": "REPLACE",
            **self._with_checksum,
        }
        answer = self._ask("s3:PutObject", key, lambda: self._client.copy_object(**request))["CopyObjectResult"]
        return Stored(size_bytes, _etag(answer), _sha256(answer))

    def copy_parts(
        self,
        ranges: Callable[[int], Iterator[dict[str, Any]]],
        stored: StoredObject,
        key: str,
        label: Label,
        sha256: str | None,
    ) -> Stored:
        """Have S3 copy an object by `ranges`: requests for parts of so many bytes."""

        def copy(upload: _Upload) -> int:
            part_bytes = max(self._copied_part_bytes, -(-stored.size_bytes // MAX_PARTS))
            for number, byte_range in enumerate(ranges(part_bytes), 1):
                answer = self._ask_part(upload, self._client.upload_part_copy, number, byte_range)
                upload.add(number, answer["CopyPartResult"])
            return stored.size_bytes

        return self._in_parts(key, label, sha256, copy)

    def remove(self, key: str) -> None:
        """Take away the object at the key, if that is allowed; nothing is said when it is not."""
        address = self._store.address(key)
        with suppress(S3ImportError):
            self._ask("s3:DeleteObject", key, lambda: self._client.delete_object(**address))

    # --- how ---------------------------------------------------------------------------------------------------------

    def _in_parts(self, key: str, label: Label, sha256: str | None, send: Callable[[_Upload], int]) -> Stored:
        """An upload in parts that is there as a whole in the end, or not at all."""
        address = self._store.address(key)
        told = {**_headers(label), "Metadata": {"sha256": sha256} if sha256 else {}, **self._with_checksum}
        begun = self._ask("s3:PutObject", key, lambda: self._client.create_multipart_upload(**address, **told))
        upload = _Upload({**address, "UploadId": begun["UploadId"]}, key)
        try:
            size_bytes = send(upload)
            done = self._ask("s3:PutObject", key, lambda: self._client.complete_multipart_upload(**upload.finished()))
        except BaseException:
            with suppress(S3ImportError):
                self._ask("s3:AbortMultipartUpload", key, lambda: self._client.abort_multipart_upload(**upload.address))
            raise
        return Stored(size_bytes, _etag(done), sha256)

    def _ask_part(self, upload: _Upload, ask: Callable[..., Any], number: int, byte_range: dict[str, Any]) -> Any:
        return self._ask("s3:PutObject", upload.key, lambda: ask(**upload.address, PartNumber=number, **byte_range))

    def _ask(self, action: str, key: str, work: Callable[[], T]) -> T:
        with _as_target():
            return self._store.with_retries(action, key, work)


class _Upload:
    """An upload under way: what names it to boto3, and its parts so far."""

    def __init__(self, address: dict[str, str], key: str) -> None:
        self.address = address
        self.key = key
        self._parts: list[dict[str, Any]] = []

    def add(self, number: int, answer: Any) -> None:
        checksum = {"ChecksumSHA256": answer["ChecksumSHA256"]} if answer.get("ChecksumSHA256") else {}
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksum})

    def finished(self) -> dict[str, Any]:
        return {**self.address, "MultipartUpload": {"Parts": self._parts}}


def _joined(pieces: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    """The same bytes in pieces of exactly that size but for the last; at least one, which may be empty."""
    waiting = bytearray()
    is_first = True
    for piece in pieces:
        waiting += piece
        while len(waiting) > size_bytes:  # what may be the last piece waits
            yield bytes(waiting[:size_bytes])
            del waiting[:size_bytes]
            is_first = False
    if waiting or is_first:
        yield bytes(waiting)


@dataclass(frozen=True, slots=True)
class _Copies:
    """The `Copies` from a source to a target in one S3."""

    target: BucketTarget
    source: S3Source

    def takes_whole(self, size_bytes: int) -> bool:
        """Whether an object of that size is copied by one request."""
        return self.target.takes_whole(size_bytes)

    def copy(self, stored: StoredObject, key: str, label: Label) -> Stored:
        """Copy an object as a whole, whatever its version; the size in the answer is that of the one given."""
        return self.target.copy(self.source.address(stored.key), stored.size_bytes, key, label)

    def copy_parts(
        self, stored: StoredObject, key: str, label: Label, sha256: str | None, require_going: Callable[[], None]
    ) -> Stored:
        """Copy one version of an object in parts.

        A store that spells an ETag in two ways refuses the version that is there: then it is looked at before and
        after.
        """
        copy = partial(self._copy_parts, stored, key, label, sha256, require_going)
        try:
            return copy({"CopySourceIfMatch": stored.etag})
        except SourceChanged as changed:
            if self.source.find(stored.key) != stored:
                raise
            copied = copy({})
            if self.source.find(stored.key) != stored:
                self.target.remove(key)
                raise changed from None
            return copied

    def _copy_parts(
        self,
        stored: StoredObject,
        key: str,
        label: Label,
        sha256: str | None,
        require_going: Callable[[], None],
        condition: dict[str, str],
    ) -> Stored:
        version = {"CopySource": self.source.address(stored.key), **condition}

        def ranges(part_bytes: int) -> Iterator[dict[str, Any]]:
            for start in range(0, stored.size_bytes, part_bytes):
                require_going()
                last = min(start + part_bytes, stored.size_bytes) - 1
                yield {**version, "CopySourceRange": f"bytes={start}-{last}"}

        return self.target.copy_parts(ranges, stored, key, label, sha256)


@contextmanager
def _as_target() -> Iterator[None]:
    """What a source would be said to refuse is refused by the place where files go."""
    try:
        yield
    except (SourceDenied, SourceMissing) as error:
        raise FilesRefused(f"files cannot be copied: {error.message}") from error


def _headers(label: Label) -> dict[str, str]:
    headers = {
        "ContentType": label.content_type,
        "ContentDisposition": label.disposition,
        "ContentEncoding": label.encoding,
        "CacheControl": label.cache_control,
    }
    return {name: value for name, value in headers.items() if value}


def _base64(digest: hashlib._Hash) -> str:
    return base64.b64encode(digest.digest()).decode()


def _etag(answer: Any) -> str:
    return canonical_etag(answer["ETag"]) if answer.get("ETag") else ""


def _sha256(answer: Any) -> str | None:
    """The SHA-256 of the whole object in hex, where S3 tells it and not only that of its parts."""
    told = answer.get("ChecksumSHA256") or ""
    return base64.b64decode(told).hex() if told and "-" not in told else None
