"""A dump in S3, or in anything that speaks its protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar, cast

from botocore import exceptions as boto
from botocore.config import Config

from s3import import __version__
from s3import.core.errors import (
    DocumentTooLarge,
    MigrationFailed,
    PartMissing,
    S3ImportError,
    SourceChanged,
    SourceDenied,
    SourceMissing,
    SourceUnavailable,
)
from s3import.core.records import Served, StoredObject
from s3import.readers.sources import aws_retries
from s3import.readers.sources.aws import canonical_etag, client
from s3import.readers.sources.aws_retries import code_of, is_temporary, is_temporary_status, status_of
from s3import.readers.sources.bodies import RandomFile, WholeBody
from s3import.readers.sources.remedies import remedy, shown_code
from s3import.readers.sources.source import MAX_DOCUMENT_BYTES, RetryPolicy, Role

T = TypeVar("T")

_SETTINGS = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role, and check the source's bucket and "
    "AWS_REGION"
)
MAX_EMPTY_PAGES = 1000  # of a listing, in a row: S3 itself gives some behind many deleted objects


def connect(policy: RetryPolicy, connections: int, role: Role | None = None) -> Any:
    """A client as `aws.client` makes it. Retries are left to `S3Source`, which also knows how to go on in the middle of
    a body."""
    config = Config(
        connect_timeout=policy.connect_seconds,
        read_timeout=policy.stall_seconds,
        max_pool_connections=connections,
        retries={"total_max_attempts": 1},
        # Not every store that speaks the protocol knows the checksums that boto3 adds by itself.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        user_agent=f"s3import/{__version__}",  # boto3's own takes a quarter of a request's time to put together
    )
    store = client("s3", config, role)
    store.meta.events.register("before-parse.s3", _require_store)
    return store


class S3Source:
    """The `Source` below ``s3://bucket/folder/``. `folder` is taken literally, with or without a slash at its end."""

    rereads_cheaply = False

    def __init__(
        self,
        client: Any,
        bucket: str,
        folder: str = "",
        *,
        uri: str | None = None,
        policy: RetryPolicy | None = None,
        page_size: int = 1000,
        role: Role | None = None,
    ) -> None:
        self.bucket = bucket
        self.role = role
        self.uri = uri or f"s3://{bucket}/{folder}"
        self.client = client
        self._root = folder.removesuffix("/") + "/" if folder else ""
        self._policy = policy or RetryPolicy()
        self._page_size = page_size

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects whose key starts with `prefix`, in the order of keys, folder markers left out."""
        for page in self._pages(prefix):
            for entry in page.get("Contents", ()):
                key = entry["Key"].removeprefix(self._root)
                told = entry if {"ETag", "Size"} <= entry.keys() else self._head(key)
                size_bytes = entry["Size"] if "Size" in entry else told["ContentLength"]
                if entry["Key"].startswith(self._root + prefix) and (size_bytes or not key.endswith("/")):
                    yield StoredObject(key, size_bytes, _etag(told, self._where(key)))

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders right below the root that start with `prefix`, in order."""
        for page in self._pages(prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"].removeprefix(self._root).removesuffix("/")

    def read(self, key: str) -> bytes | None:
        """A small document as a whole; None when there is no such object. Raises: DocumentTooLarge."""
        try:
            return self.with_retries("s3:GetObject", key, lambda: self._read_document(key))
        except PartMissing:
            return None

    def find(self, key: str) -> StoredObject | None:
        """The object of this key as it is now; None when there is no such object."""
        try:
            found = self._head(key)
        except PartMissing:
            return None
        served = Served(*(found.get(name) for name in ("ContentType", "ContentEncoding", "CacheControl")))
        if "ContentLength" not in found:
            listed = next((stored for stored in self.list(key) if stored.key == key), None)
            return listed and replace(listed, served=served)
        return StoredObject(key, found["ContentLength"], _etag(found, self._where(key)), served)

    def _head(self, key: str) -> Mapping[str, Any]:
        request = self.address(key)
        found: Mapping[str, Any] = self.with_retries("s3:GetObject", key, lambda: ask_head(self.client, request))
        return found

    def address(self, key: str) -> dict[str, str]:
        """What names the object to boto3."""
        return {"Bucket": self.bucket, "Key": self._root + key}

    def open(self, stored: StoredObject, offset: int = 0) -> BinaryIO:
        """The object's bytes from `offset` on, forward only. Raises: SourceChanged, PartMissing."""
        return cast("BinaryIO", WholeBody(self._version(stored), offset))

    def open_random(self, stored: StoredObject) -> BinaryIO:
        """The object as a seekable file; a read fetches just its range. Raises: SourceChanged, PartMissing."""
        return cast("BinaryIO", RandomFile(self._version(stored)))

    def with_retries(self, action: str, key: str, work: Callable[[], T]) -> T:
        """What `work` returns, tried again while it fails for reasons that pass; `action` and `key` name it in errors.

        A server's Retry-After is honoured. Raises: what `Source` promises.
        """
        where = self._where(key)
        return aws_retries.ask(
            work, where, self._policy, partial(_refusal, action=action, where=where, bucket=self.bucket), _SETTINGS
        )

    def _where(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._root}{key}"

    def _version(self, stored: StoredObject) -> _Version:
        return _Version(
            self.client, self.address(stored.key), stored, partial(self.with_retries, "s3:GetObject", stored.key)
        )

    def _pages(self, prefix: str, **query: Any) -> Iterator[dict[str, Any]]:
        """The pages of a listing up to its end. Raises: MigrationFailed where the store does not tell how to go on."""
        query |= {"Bucket": self.bucket, "Prefix": self._root + prefix, "MaxKeys": self._page_size}
        seen: set[str] = set()
        empty = 0
        while True:
            page = self.with_retries("s3:ListBucket", prefix, lambda: self.client.list_objects_v2(**query))
            yield page
            if not page.get("IsTruncated"):
                return
            empty = 0 if page.get("Contents") or page.get("CommonPrefixes") else empty + 1
            token = page.get("NextContinuationToken")
            if not token or token in seen or _first(page) in seen or empty > MAX_EMPTY_PAGES:
                raise _endless(self._where(prefix))
            seen |= {token, _first(page) or token}
            query["ContinuationToken"] = token

    def _read_document(self, key: str) -> bytes:
        answer = self.client.get_object(**self.address(key))
        with closing(answer["Body"]) as body:
            document = cast("bytes", body.read(MAX_DOCUMENT_BYTES + 1))
        if len(document) > MAX_DOCUMENT_BYTES:
            raise DocumentTooLarge(f"{self.uri}: {key} is larger than {MAX_DOCUMENT_BYTES} bytes; shorten it")
        if len(document) < answer.get("ContentLength", 0):
            raise ConnectionError("the document ended early")
        if _WEB_PAGE.match(document):
            raise _no_store()
        return document


@dataclass(frozen=True, slots=True)
class _Version:
    """The `bodies.Version` that was listed of an object in S3; `request` names the object to boto3."""

    client: Any
    request: Mapping[str, str]
    stored: StoredObject
    with_retries: Callable[[Callable[[], Any]], Any]

    @property
    def size_bytes(self) -> int:
        return self.stored.size_bytes

    def fetch(self, start: int, end: int) -> Any:
        """One request; the body is a StreamingBody of botocore."""
        partly = {"Range": f"bytes={start}-{end - 1}"} if (start, end) != (0, self.size_bytes) else {}
        answer = self._get(partly)
        try:
            self._check(answer, end - start)
            if partly and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                raise _changed(self._where)
        except S3ImportError:
            answer["Body"].close()
            raise
        return answer["Body"]

    def _get(self, partly: Mapping[str, str]) -> Any:
        request = {**self.request, **partly}
        try:
            return self.client.get_object(**request, IfMatch=self.stored.etag)
        except boto.ClientError as error:
            if status_of(error) != 412:
                raise
        # A store that spells an ETag in two ways refuses the version that is there: `_check` tells it from another.
        return self.client.get_object(**request)

    def confirm(self) -> None:
        self._check(self.with_retries(lambda: ask_head(self.client, self.request)), self.size_bytes)

    def _check(self, answer: Mapping[str, Any], size_bytes: int) -> None:
        """Not every store that speaks the protocol heeds If-Match and Range, or tells how long a body is."""
        planned, found = canonical_etag(self.stored.etag), _etag(answer, self._where)
        if (found, answer.get("ContentLength", size_bytes)) != (planned, size_bytes):
            raise _changed(self._where)

    @property
    def _where(self) -> str:
        return "s3://{Bucket}/{Key}".format(**self.request)


def ask_head(client: Any, request: Mapping[str, str]) -> Mapping[str, Any]:
    """What a store tells of an object without its bytes; `request` names it to boto3. Raises: ClientError.

    Where HEAD is refused, by a store or a proxy that knows only GET, a GET of the first byte tells the same. If that is
    refused too its answer has a body, which says why.
    """
    try:
        return cast("Mapping[str, Any]", client.head_object(**request))
    except boto.ClientError as error:
        if status_of(error) not in (400, 403, 405, 501):
            raise
    try:
        answer = client.get_object(**request, Range="bytes=0-0")
    except boto.ClientError as error:
        if status_of(error) != 416:  # there is no first byte
            raise
        answer = client.get_object(**request)
    answer["Body"].close()
    total = answer.get("ContentRange", "").rpartition("/")[2]
    return {**answer, "ContentLength": int(total)} if total else cast("Mapping[str, Any]", answer)


def _etag(answer: Mapping[str, Any], where: str) -> str:
    """The version that the answer is about. Raises: MigrationFailed."""
    if not answer.get("ETag"):
        raise MigrationFailed(
            f"{where}: the store gives no ETag, without which nobody can tell two versions of an object apart; copy "
            "the dump into a store that does, or into a folder"
        )
    return canonical_etag(answer["ETag"])


def _first(page: Mapping[str, Any]) -> str | None:
    """The first key of a page of a listing, if it has one."""
    entries: list[dict[str, str]] = page.get("Contents") or []
    return entries[0]["Key"] if entries else None


# Of comments nothing is tried twice (`*+`): there are as many ways to divide them as there are sets of them.
_WEB_PAGE = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*+<(!doctype\s+)?html\b", re.IGNORECASE | re.DOTALL)
_LISTING = "ListObjectsV2"
_OF_LISTING = re.compile(rb"ListBucketResult|<(\w+:)?(Contents|IsTruncated|KeyCount|Error)\b")
_FAILURE = re.compile(rb"500|internal (server )?error", re.IGNORECASE)


def _require_store(operation_model: Any, response_dict: Mapping[str, Any], **_event: object) -> None:
    """A hook for botocore, which would make an empty listing of a web page, or a refusal, or ask again and again.

    Raises: SourceMissing, where what answers is no store.
    """
    status, body = response_dict["status_code"], response_dict["body"]
    if not isinstance(body, bytes):  # the stream of an object, which may be anything
        return
    was_success = status < HTTPStatus.MULTIPLE_CHOICES or _was_success(status, body)
    is_listing = operation_model.name == _LISTING and was_success
    lists_nothing = is_listing and body.strip() and not _OF_LISTING.search(body)
    may_pass = is_temporary_status(status) and not is_listing  # such an error has any form
    if lists_nothing or (_WEB_PAGE.match(body) and not may_pass):
        raise _no_store()


def _was_success(status: int, body: bytes) -> bool:
    """Whether a listing that is none came with 200: botocore calls that 500, as if it were an error in the body. What
    came with 500 says so, as a rule."""
    return status == HTTPStatus.INTERNAL_SERVER_ERROR and not _FAILURE.search(body)


def _no_store() -> SourceMissing:
    return SourceMissing(
        "what answers is no S3 endpoint, but a web site, or a proxy or network that asks for a login; correct "
        "AWS_ENDPOINT_URL (or set it), log in there, then run the same command again"
    )


def _endless(where: str) -> MigrationFailed:
    return MigrationFailed(
        f"{where}: the store says that its listing goes on, but not where, or it gives the same page again: what the "
        "dump consists of cannot be known. Update the store or the proxy before it, or copy the dump into a folder"
    )


def _changed(where: str) -> SourceChanged:
    return SourceChanged(
        f"{where} changed since it was listed; when nobody writes to it any more, run the same command again"
    )


def _refusal(error: boto.ClientError, *, action: str, where: str, bucket: str) -> S3ImportError:
    """What an error that S3 itself answered means to the caller."""
    status, said = status_of(error), error.response["Error"]
    code = code_of(error)
    if code == "NoSuchBucket":
        return SourceMissing(f"the bucket {bucket} does not exist; correct the source")
    if status == 404 and action == "s3:ListBucket":
        return SourceMissing(
            f"{where} cannot be listed: there is no such bucket, or what answers is no S3 endpoint; correct the source "
            "or AWS_ENDPOINT_URL"
        )
    if status == 404:
        return PartMissing(f"{where} is not there; put it back, then run the same command again")
    if status in (412, 416):
        return _changed(where)
    if is_temporary(error):
        return SourceUnavailable(f"{where} does not answer: {shown_code(code)}; run the same command again")
    advice = remedy(action, code, said.get("Message") or "", error.response["ResponseMetadata"].get("HTTPHeaders", {}))
    return SourceDenied(
        f"S3 refuses {action} on {where}: {shown_code(code)}; {advice}, then run the same command again"
    )
