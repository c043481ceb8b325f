"""Stores that speak S3's protocol with manners of their own: a proxy in between rewrites what a real server says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import pytest

from s3import.core.errors import MigrationFailed, SourceChanged, SourceDenied, SourceMissing
from s3import.core.records import StoredObject
from s3import.readers.sources.aws import canonical_etag
from s3import.readers.sources.location import open_source
from s3import.readers.sources.source import Source
from tests.faults import Answer, FaultyProxy, Request
from tests.objects import Bucket
from tests.readers.sources.conftest import QUICK

pytestmark = pytest.mark.integration

BODY = b"0123456789" * 10_000

Manner = Callable[[Answer], Answer]
Opener = Callable[[Manner], Source]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Every answer as `manner` has it."""

    manner: Manner

    def send(self, request: Request, answer: Answer) -> None:
        changed = self.manner(answer)
        request.answer(changed.status, changed.headers, changed.body)


@pytest.fixture
def store(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """Opens the bucket, with `BODY` under ``recent/a``, as a store of those manners."""
    s3.put("acme/recent/a", BODY)
    opened: list[FaultyProxy] = []

    def open_store(manner: Manner) -> Source:
        proxy = FaultyProxy(s3.endpoint_url, [], afterwards=Rewritten(manner), chosen=lambda _method, _path: True)
        opened.append(proxy.__enter__())
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        return open_source(f"s3://{s3.bucket}/{{account}}", "acme", policy=QUICK)

    yield open_store
    for proxy in opened:
        proxy.__exit__(None, None, None)


def spelt_in_listings(spell: Callable[[str], str]) -> Manner:
    def manner(answer: Answer) -> Answer:
        body = re.sub(
            rb"<ETag>(?:\"|&quot;)?(\w+)(?:\"|&quot;)?</ETag>",
            lambda found: f"<ETag>{spell(found[1].decode())}</ETag>".encode(),
            answer.body,
        )
        return without("content-length", replace(answer, body=body) if b"<ListBucketResult" in answer.body else answer)

    return manner


def spelt_in_headers(spell: Callable[[str], str]) -> Manner:
    def manner(answer: Answer) -> Answer:
        headers = {
            name: spell(value.strip('"')) if name.lower() == "etag" else value for name, value in answer.headers.items()
        }
        return replace(answer, headers=headers)

    return manner


def without(header: str, answer: Answer) -> Answer:
    return replace(answer, headers={name: value for name, value in answer.headers.items() if name.lower() != header})


def unquoted(digest: str) -> str:
    return digest


def weak(digest: str) -> str:
    return f'W/"{digest}"'


def upper(digest: str) -> str:
    return f'"{digest.upper()}"'


def read_all(source: Source, offset: int = 0) -> bytes:
    (stored,) = source.list("recent/")
    with source.open(stored, offset) as stream:
        return b"".join(iter(lambda: stream.read(64 * 1024), b""))


@pytest.mark.parametrize("spell", [unquoted, weak, upper])
@pytest.mark.parametrize("where", [spelt_in_listings, spelt_in_headers])
def test_one_version_may_be_spelt_in_two_ways(
    store: Opener, where: Callable[[Callable[[str], str]], Manner], spell: Callable[[str], str]
) -> None:
    """Quotes, weakness and the case of hexadecimal digits make no other version of an object."""
    source = store(where(spell))
    assert read_all(source) == BODY
    assert read_all(source, 7) == BODY[7:]
    assert source.find("recent/a") in list(source.list("recent/"))


@pytest.mark.parametrize("spell", [unquoted, weak, upper])
def test_another_version_stays_another(store: Opener, s3: Bucket, spell: Callable[[str], str]) -> None:
    """However a store spells its ETags, an object that was replaced is told from the one that was listed."""
    source = store(spelt_in_listings(spell))
    (stored,) = source.list("recent/")
    s3.put("acme/recent/a", BODY[::-1])
    with pytest.raises(SourceChanged):
        source.open(stored).read(10)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('"0cc1-2"', "0CC1-2", True),
        (' "ab" ', 'W/"AB"', True),
        ('"CKih16GjycICEAE="', '"ckih16gjyciceae="', False),
        ('"ab"', '"ab-2"', False),
    ],
)
def test_only_spelling_is_looked_through(one: str, other: str, same: bool) -> None:
    """Letters that are more than digits differ by their case, and what differs otherwise differs."""
    assert (canonical_etag(one) == canonical_etag(other)) is same


def test_asks_for_the_version_that_a_listing_leaves_out(store: Opener) -> None:
    """A listing without ETags is as good as one with them, for each object can be asked."""

    def manner(answer: Answer) -> Answer:
        return without("content-length", replace(answer, body=re.sub(rb"<ETag>.*?</ETag>", b"", answer.body)))

    assert read_all(store(manner)) == BODY


def test_says_that_versions_cannot_be_told_apart(store: Opener) -> None:
    """A store that has no ETags at all is refused in a sentence."""

    def manner(answer: Answer) -> Answer:
        body = re.sub(rb"<ETag>.*?</ETag>", b"", answer.body)
        return without("etag", without("content-length", replace(answer, body=body)))

    with pytest.raises(MigrationFailed, match="gives no ETag"):
        read_all(store(manner))


def unmeasured(answer: Answer) -> Answer:
    return without("content-length", answer)


def test_reads_bodies_whose_length_is_not_told(store: Opener) -> None:
    """Without Content-Length the listing's size is the length."""
    source = store(unmeasured)
    assert read_all(source) == BODY
    assert read_all(source, 99) == BODY[99:]
    assert source.read("recent/a") == BODY
    assert source.find("recent/a") == next(source.list("recent/"))


def test_bodies_of_no_told_length_that_end_early_are_gone_on_with(store: Opener) -> None:
    """A connection that closes in the middle looks like an end, and is none."""
    cuts = count()

    def manner(answer: Answer) -> Answer:
        is_cut = answer.body.startswith(BODY[:100]) and next(cuts) == 0
        return unmeasured(replace(answer, body=answer.body[:1234]) if is_cut else answer)

    assert read_all(store(manner)) == BODY
    assert next(cuts) == 1


def repeating(more: Callable[[], str]) -> Manner:
    pages: list[bytes] = []

    def manner(answer: Answer) -> Answer:
        pages.append(answer.body)
        truncated = f"<IsTruncated>true</IsTruncated>{more()}".encode()
        body = re.sub(rb"<IsTruncated>\w+</IsTruncated>", truncated, pages[0])
        return unmeasured(replace(answer, status=200, body=body))

    return manner


TOKENS = count()


@pytest.mark.parametrize(
    "more",
    [
        lambda: "",
        lambda: "<NextContinuationToken></NextContinuationToken>",
        lambda: "<NextContinuationToken>same</NextContinuationToken>",
        lambda: f"<NextContinuationToken>{next(TOKENS)}</NextContinuationToken>",
    ],
    ids=["no token", "empty token", "the same token", "the same page"],
)
@pytest.mark.parametrize("prefix", ["recent/", "nothing/"])
def test_listings_without_an_end_are_refused(
    store: Opener, monkeypatch: pytest.MonkeyPatch, more: Callable[[], str], prefix: str
) -> None:
    """A listing that says that it goes on, and does not, is neither taken as whole nor followed for ever."""
    monkeypatch.setattr("s3import.readers.sources.s3.MAX_EMPTY_PAGES", 3)
    source = store(repeating(more))
    with pytest.raises(MigrationFailed, match=r"not where, or it gives the same page again"):
        list(source.list(prefix))


def test_sends_no_checksums_that_were_not_asked_for(store: Opener, s3: Bucket) -> None:
    """Stores that do not know boto3's own checksums can be written to and read."""
    source = store(lambda answer: answer)
    config = source.client.meta.config  # type: ignore[attr-defined]
    assert (config.request_checksum_calculation, config.response_checksum_validation) == ("when_required",) * 2
    assert isinstance(next(source.list("recent/")), StoredObject)


def test_lists_nothing_that_was_not_asked_for(store: Opener, s3: Bucket) -> None:
    """A store that ignores prefixes lists whatever there is; only what lies below the one asked for counts."""
    s3.put("acme/recent/a", BODY)
    source = store(lambda answer: replace(answer, body=answer.body.replace(b"<Key>acme/recent/a", b"<Key>other/a")))
    assert list(source.list("recent/")) == []


def test_asks_for_the_size_that_a_listing_leaves_out(store: Opener) -> None:
    """As for a version."""
    source = store(lambda answer: unsized(replace(answer, body=re.sub(rb"<Size>.*?</Size>", b"", answer.body))))
    assert [stored.size_bytes for stored in source.list("recent/")] == [len(BODY)]


def unsized(answer: Answer) -> Answer:
    """Without the length of a body that was changed."""
    return unmeasured(answer) if answer.body.startswith(b"<") else answer


@dataclass(frozen=True, slots=True)
class WithoutHead:
    """A store, or a proxy before it, that refuses HEAD."""

    status: int

    def send(self, request: Request, answer: Answer) -> None:
        if request.command == "HEAD":
            request.answer(self.status, {"Content-Length": "0"}, b"")
        else:
            request.answer(answer.status, answer.headers, answer.body)


@pytest.mark.parametrize("status", [403, 405])
def test_reads_where_head_is_refused(s3: Bucket, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A GET of one byte tells the same, of an empty object too."""
    s3.put("acme/recent/a", BODY)
    s3.put("acme/recent/b", b"")
    refusing = WithoutHead(status)
    with FaultyProxy(s3.endpoint_url, [], afterwards=refusing, chosen=lambda _method, _path: True) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        source = open_source(f"s3://{s3.bucket}/{{account}}", "acme", policy=QUICK)
        found = [source.find(f"recent/{name}") for name in "ab"]
        assert [stored and stored.size_bytes for stored in found] == [len(BODY), 0]
        listed = list(source.list("recent/"))
        assert [(one.key, one.etag) for one in found if one] == [(one.key, one.etag) for one in listed]
        with source.open(listed[0]) as stream:
            assert stream.read(2 * len(BODY)) == BODY


@pytest.mark.parametrize(
    "manner",
    [
        lambda answer: replace(answer, headers={**answer.headers, "Last-Modified": "yesterday"}),
        lambda answer: unmeasured(
            replace(answer, body=re.sub(rb"<LastModified>.*?<", b"<LastModified>now<", answer.body))
        ),
        lambda answer: Answer(307, {"Content-Length": "0", "Location": "http://127.0.0.1:1/elsewhere"}, b""),
    ],
    ids=["date of an object", "date in a listing", "redirect to nowhere"],
)
def test_nonsense_is_the_stores_fault(store: Opener, manner: Manner) -> None:
    """What botocore cannot make sense of is told in a sentence, at once; it is no fault of s3import's."""
    with pytest.raises(MigrationFailed, match="makes no sense by AWS's protocol"):
        read_all(store(manner))


WEB_PAGE = (
    b"<!doctype html><html lang=en><head><meta charset=utf-8><title>Welcome</title></head><body>Hello<br></body></html>"
)


@pytest.mark.parametrize("status", [200, 302, 403, 404])
@pytest.mark.parametrize("page", [WEB_PAGE, b"\n<html><body><p>Log in</p></body></html>", b"<!-- x -->\n<HTML></HTML>"])
@pytest.mark.parametrize("ask", [lambda source: list(source.list("recent/")), lambda source: source.read("a.json")])
def test_a_web_page_is_no_store(store: Opener, status: int, page: bytes, ask: Callable[[Source], object]) -> None:
    """A wrong endpoint, or a network that asks for a login, is told at once: neither an empty folder, nor a refusal."""
    source = store(lambda _: Answer(status, {"Content-Type": "text/html", "Content-Length": str(len(page))}, page))
    with pytest.raises(SourceMissing, match="no S3 endpoint"):
        ask(source)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b'{"ok": true}'), (200, b"<rss><channel/></rss>"), (404, b'{"message": "not found"}'), (404, b"")],
)
def test_what_lists_nothing_is_no_store(store: Opener, status: int, body: bytes) -> None:
    """An answer that no listing can be read from is not waited for."""
    source = store(lambda _: Answer(status, {"Content-Length": str(len(body))}, body))
    with pytest.raises(SourceMissing, match="no S3 endpoint"):
        list(source.list("recent/"))


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, WEB_PAGE), (429, WEB_PAGE), (500, b'{"message": "Internal server error"}'), (500, b"<h1>500</h1>")],
)
def test_trouble_before_a_store_may_pass(store: Opener, status: int, body: bytes) -> None:
    """A balancer or a gateway says so in its own way; the store answers later."""
    troubled = iter([True, True])
    headers = {"Content-Type": "text/html", "Content-Length": str(len(body))}
    source = store(lambda answer: Answer(status, headers, body) if next(troubled, False) else answer)
    assert [stored.key for stored in source.list("recent/")] == ["recent/a"]


def test_a_document_of_comments_is_read_at_once(store: Opener, s3: Bucket) -> None:
    """To find out that it is no web page takes no longer than to read it."""
    document = b"<!-- -->" * 10_000
    s3.put("acme/a.json", document)
    assert store(lambda answer: answer).read("a.json") == document


@pytest.mark.parametrize(
    "error", [b"<Error><Code>AccessDenied</Code><Message></Message></Error>", b"<Error><Code/></Error>"]
)
def test_refusals_without_words_are_refusals(store: Opener, error: bytes) -> None:
    """The elements of an error may be empty."""
    source = store(lambda _: Answer(403, {"Content-Length": str(len(error))}, error))
    with pytest.raises(SourceDenied, match="s3:ListBucket"):
        list(source.list("recent/"))
