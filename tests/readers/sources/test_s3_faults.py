"""How the S3 source bears with a network and a server that break: a real proxy in between does the breaking."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest

from s3import.core.errors import (
    ConfigurationError,
    PartMissing,
    SourceChanged,
    SourceDenied,
    SourceMissing,
    SourceUnavailable,
)
from s3import.core.records import StoredObject
from s3import.readers.sources.location import open_source
from s3import.readers.sources.source import RetryPolicy, Source
from tests.faults import (
    Answer,
    EarlyEnd,
    Fault,
    FaultyProxy,
    Meanwhile,
    Passed,
    Refusal,
    Request,
    Reset,
    Stall,
    random_faults,
)
from tests.objects import Bucket
from tests.readers.sources.conftest import QUICK

pytestmark = pytest.mark.integration

BODY = random.Random(7).randbytes(200_000)
HASTY = replace(QUICK, stall_seconds=0.3)
IMPATIENT = RetryPolicy(retry_seconds=0.3, connect_seconds=10, stall_seconds=1, first_wait_seconds=0.01)

Opener = Callable[..., tuple[Source, FaultyProxy]]


@pytest.fixture
def through(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterable[Opener]:
    """Opens the bucket through a proxy with the faults given; `BODY` is stored under ``recent/a``."""
    s3.put("acme/recent/a", BODY)
    opened: list[FaultyProxy] = []

    def open_through(
        faults: Iterable[Fault], *, policy: RetryPolicy = QUICK, **choices: object
    ) -> tuple[Source, FaultyProxy]:
        proxy = FaultyProxy(s3.endpoint_url, faults, **choices)  # type: ignore[arg-type]
        opened.append(proxy.__enter__())
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        return open_source(f"s3://{s3.bucket}/{{account}}", "acme", policy=policy), proxy

    yield open_through
    for proxy in opened:
        proxy.__exit__(None, None, None)


def stored_a(source: Source) -> StoredObject:
    (stored,) = source.list("recent/a")
    return stored


def read_all(source: Source, stored: StoredObject, offset: int = 0) -> bytes:
    with source.open(stored, offset) as stream:
        return b"".join(iter(lambda: stream.read(64 * 1024), b""))


@pytest.mark.parametrize("after_bytes", [0, 1, 65_536, len(BODY) - 1])
@pytest.mark.parametrize("kind", [Reset, EarlyEnd, lambda after_bytes: Stall(after_bytes, 0.6)])
def test_goes_on_where_a_body_broke(through: Opener, kind: Callable[[int], Fault], after_bytes: int) -> None:
    """A body that resets, ends early or stalls is read to its end all the same."""
    source, _ = through([kind(after_bytes)], policy=HASTY)
    assert read_all(source, stored_a(source)) == BODY


def test_reopens_the_planned_version_at_the_offset(through: Opener) -> None:
    """The second request asks for what is left, and only of the version that was planned."""
    source, proxy = through([EarlyEnd(100_000)])
    stored = stored_a(source)
    read_all(source, stored)
    first, second = [headers for method, path, headers in proxy.requests if method == "GET" and "list-type" not in path]
    assert "Range" not in first
    assert second["Range"].endswith(f"-{len(BODY) - 1}")
    assert first["If-Match"] == second["If-Match"] == stored.etag


@pytest.mark.parametrize("seed", range(6))
def test_survives_whatever_passes(through: Opener, seed: int) -> None:
    """Any series of passing faults changes nothing in what is read, from any offset."""
    source, _ = through(random_faults(seed, count=8, most_bytes=len(BODY)))
    offset = random.Random(seed).randrange(len(BODY))
    assert read_all(source, stored_a(source), offset) == BODY[offset:]


def test_makes_progress_in_small_steps(through: Opener) -> None:
    """A line on which no body gets far is borne with for as long as bytes flow, beyond the time for retries."""
    policy = RetryPolicy(retry_seconds=0.2, connect_seconds=10, stall_seconds=10, first_wait_seconds=0.01)
    source, proxy = through([], policy=policy, afterwards=Reset(15_000))
    assert read_all(source, stored_a(source)) == BODY
    assert len(proxy.requests) > len(BODY) // 15_000


def test_random_access_survives_too(through: Opener) -> None:
    """A range that breaks off is completed before it is handed out."""
    source, _ = through([Reset(10), Refusal(503, "SlowDown"), EarlyEnd(50)])
    with source.open_random(stored_a(source)) as file:
        file.seek(1000)
        assert file.read(500) == BODY[1000:1500]


def test_listing_is_tried_again(through: Opener) -> None:
    """A page of a listing that fails is asked for again, and no object is lost or doubled."""
    source, _ = through([Refusal(500, "InternalError"), Reset(20)], chosen=lambda _method, _path: True)
    assert [stored.key for stored in source.list("recent/")] == ["recent/a"]


def test_documents_are_read_again(through: Opener) -> None:
    """A document whose body breaks is read again from its start."""
    source, _ = through([Reset(10), EarlyEnd(70_000)])
    assert source.read("recent/a") == BODY


def test_waits_as_long_as_the_server_asks(through: Opener) -> None:
    """Retry-After of a SlowDown is honoured, though the usual wait is shorter."""
    source, _ = through([Refusal(503, "SlowDown", {"Retry-After": "1"})])
    stored, began = stored_a(source), time.monotonic()
    read_all(source, stored)
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("fault", [Refusal(500, "InternalError"), Refusal(503, "SlowDown"), Reset(0), Stall(0, 1.5)])
def test_gives_up_in_the_end(through: Opener, fault: Fault) -> None:
    """Trouble that outlasts the retries is temporary to the caller, and the message names the object."""
    source, _ = through([], policy=IMPATIENT, afterwards=fault)
    stored = stored_a(source)
    with pytest.raises(SourceUnavailable, match=r"s3://.*/acme/recent/a does not answer"):
        read_all(source, stored)


def test_gives_up_on_a_server_that_is_away(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint at which nobody listens is temporary trouble too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    source = open_source(f"s3://{s3.bucket}", "acme", policy=IMPATIENT)
    with pytest.raises(SourceUnavailable, match="EndpointConnectionError"):
        list(source.list("recent/"))


def test_tries_once_where_there_is_no_time_for_retries(through: Opener) -> None:
    """With 0 seconds for retries the first failure counts."""
    source, proxy = through([Refusal(503, "SlowDown")], policy=RetryPolicy(retry_seconds=0))
    stored = stored_a(source)
    with pytest.raises(SourceUnavailable):
        read_all(source, stored)
    assert len(proxy.requests) == 2


def test_refuses_an_object_replaced_in_the_middle(through: Opener, s3: Bucket) -> None:
    """Of an object that is replaced while its body breaks no byte of the new version is read."""
    replace = lambda: s3.put("acme/recent/a", BODY[::-1])  # noqa: E731
    source, _ = through([Meanwhile(replace, EarlyEnd(50_000))])
    stored = stored_a(source)
    read: list[bytes] = []
    with source.open(stored) as stream, pytest.raises(SourceChanged):
        read.extend(iter(lambda: stream.read(10_000), b""))
    assert read
    assert BODY.startswith(b"".join(read))


@pytest.mark.parametrize(("header", "offset"), [("If-Match", 0), ("Range", 5)])
def test_distrusts_a_server_without_conditions(through: Opener, header: str, offset: int) -> None:
    """A store that does not heed If-Match or Range is found out by what it answers."""
    source, _ = through([], deaf_to=(header,))
    etag = stored_a(source).etag if header == "Range" else '"another"'
    with pytest.raises(SourceChanged):
        read_all(source, StoredObject("recent/a", len(BODY), etag), offset)


def test_names_what_is_not_allowed(through: Opener) -> None:
    """A 403 that stays names the object and the permission it takes."""
    source, proxy = through([], afterwards=Refusal(403, "AccessDenied"))
    stored = stored_a(source)
    with pytest.raises(SourceDenied, match=r"S3 refuses s3:GetObject on s3://.*/acme/recent/a: AccessDenied; use"):
        read_all(source, stored)
    assert len(proxy.requests) == 4


def test_names_the_permission_to_list(through: Opener) -> None:
    """A listing that is refused names the bucket and s3:ListBucket."""
    source, _ = through([], afterwards=Refusal(403, "AccessDenied"), chosen=lambda _method, _path: True)
    with pytest.raises(SourceDenied, match=r"s3:ListBucket on s3://"):
        list(source.list("recent/"))


def test_bears_with_a_passing_refusal(through: Opener) -> None:
    """Permissions that take a moment to spread do not fail a run."""
    source, _ = through([Refusal(403, "AccessDenied"), Passed()])
    assert read_all(source, stored_a(source)) == BODY


def test_does_not_wait_for_what_is_not_there(through: Opener) -> None:
    """A 404 is believed at once."""
    source, proxy = through([])
    with pytest.raises(PartMissing):
        read_all(source, StoredObject("recent/none", 3, '"x"'))
    assert len(proxy.requests) == 1


def test_names_a_bucket_that_does_not_exist(s3: Bucket) -> None:
    """A bucket that is not there is told from an object that is not there."""
    source = open_source("s3://no-such-bucket/dumps", "acme", policy=QUICK)
    with pytest.raises(SourceMissing, match="the bucket no-such-bucket does not exist"):
        list(source.list("recent/"))
    with pytest.raises(SourceMissing):
        source.read("account.json")


def test_says_how_to_give_credentials(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any credentials the message says what to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    source = open_source(f"s3://{s3.bucket}", "acme", policy=QUICK)
    with pytest.raises(ConfigurationError, match="set AWS_PROFILE"):
        list(source.list("recent/"))


@pytest.mark.parametrize(("variable", "value"), [("AWS_PROFILE", "nobody"), ("AWS_ENDPOINT_URL", "no url")])
def test_says_what_is_misconfigured(s3: Bucket, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A profile or an endpoint that is none is found before anything is read."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        open_source(f"s3://{s3.bucket}", "acme")


def test_lists_page_by_page(s3: Bucket) -> None:
    """A listing longer than a page is complete and in order, folder markers left out."""
    keys = [f"acme/recent/threads/{number:04}.jsonl" for number in range(1100)]
    s3.put_many([*keys, "acme/recent/", "acme/recent/threads/"])
    source = open_source(f"s3://{s3.bucket}/{{account}}", "acme")
    assert [f"acme/{stored.key}" for stored in source.list("recent/")] == keys


@pytest.mark.parametrize(
    ("status", "code", "message", "advice"),
    [
        (403, "InvalidObjectState", "", "it is archived: restore it"),
        (403, "RequestTimeTooSkewed", "", "clock is wrong"),
        (400, "ExpiredToken", "", "have expired: renew them"),
        (403, "SignatureDoesNotMatch", "", "check AWS_ACCESS_KEY_ID"),
        (400, "AuthorizationHeaderMalformed", "", "set AWS_REGION=eu-west-3"),
        (301, "PermanentRedirect", "", "set AWS_REGION=eu-west-3"),
        (403, "AccessDenied", "not authorized to perform: kms:Decrypt on it", "allow kms:Decrypt"),
        (400, "KMS.DisabledException", "", "allow kms:Decrypt"),
        (400, "InvalidRequest", "The object was stored using a form of Server Side Encryption.", "SSE-C"),
        (405, "Canary canary", "", "an error without a code; use credentials that may"),
    ],
)
def test_says_what_helps(through: Opener, status: int, code: str, message: str, advice: str) -> None:
    """The advice fits the error, and nothing that the store says is repeated but the error's code."""
    source, _ = through([], afterwards=Said(status, code, f"{message} canary"))
    with pytest.raises(SourceDenied, match=advice) as caught:
        read_all(source, stored_a(source))
    assert "anary" not in str(caught.value)


@dataclass(frozen=True, slots=True)
class Said:
    """An error of S3 with a message of its own, and the bucket's region."""

    status: int
    code: str
    message: str

    def send(self, request: Request, answer: Answer) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>".encode()
        headers = {"Content-Length": str(len(body)), "x-amz-bucket-region": "eu-west-3"}
        request.answer(self.status, headers, body)


def test_survives_errors_that_break_off(through: Opener) -> None:
    """An error whose own body breaks off is trouble that passes, like any other."""
    source, _ = through([BrokenRefusal(), BrokenRefusal()])
    stored = stored_a(source)
    assert read_all(source, stored) == BODY


class BrokenRefusal:
    """An error of S3 that promises more than it says."""

    def send(self, request: Request, answer: Answer) -> None:
        request.answer(500, {"Content-Length": "1000"}, b"<Error>")
