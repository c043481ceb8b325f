"""The certificate of a migration: one signed document of what was read and what became of it, without anybody's text.

It has numbers, digests and times only, so that its size does not grow with the account.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from typing import Any

import orjson

from s3import.core.errors import CertificateInvalid, ConfigurationError
from s3import.core.settings import Settings
from s3import.core.signing import ALGORITHM, SigningKey, canonical

FORMAT = "s3import-certificate"
VERSION = 1
PLACE = "document"  # the id of the element of a page that has the document
SEAL = b"\n<!-- signature: "  # begins the last line of a page
END = b" -->\n"
MAX_NAMES = 100

Document = dict[str, Any]


# --- what it says ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of records: `read` = `written` + `unchanged` + `rejected`; `sanitised` counts among the others."""

    read: int
    written: int
    unchanged: int
    rejected: int
    sanitised: int

    @property
    def adds_up(self) -> bool:
        return self.read == self.written + self.unchanged + self.rejected

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Tally:
        return cls(**{name: counts[name] for name in cls.__slots__})

    @classmethod
    def total(cls, tallies: Iterable[Tally]) -> Tally:
        added = list(tallies)
        return cls(**{name: sum(getattr(one, name) for one in added) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Names:
    """How many names there are, and the first hundred of them."""

    count: int
    first: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        every = tuple(names)
        return cls(len(every), every[:MAX_NAMES])


@dataclass(frozen=True, slots=True)
class CertifiedAccount:
    """The account; `status` as it was when the certificate was made."""

    id: str
    name: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Software:
    """What did the work. `tables`: their revision; `database`: the product, its version, and the database's name."""

    s3import: str
    tables: str
    database: dict[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `s3import verify` found when it last compared the dump with the database, record by record.

    `rejected`: records that are not expected to be there; `counts`: by entity, as in the status document.
    """

    verified_at: str
    differences: int
    rejected: int
    counts: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class CertifiedRun:
    """One reading of one pass. `by_code`: the rejects that have each code; `resolved`: those that a delta brought in
    since."""

    run_id: str
    pass_: str
    source: str
    requested_at: str
    started_at: str
    finished_at: str
    attempts: int
    counts: dict[str, Tally]
    by_code: dict[str, int]
    resolved: int
    ignored_fields: Names
    skipped_objects: Names


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that is too long to stand here: how many lines and bytes it tells of, and its SHA-256."""

    count: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CertifiedFiles:
    """The files behind attachments and recordings. `by_state`: how many are `copied`, `failed`, `pending` or only
    `referenced`; `size_bytes`: of those copied whose size is known; `sha256`: of the list of all of them."""

    count: int
    by_state: dict[str, int]
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TableDigest:
    """An entity's rows of the account: how many, and the digest over the fingerprints of all of them."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """Rows that are remembered as deleted: by tombstones of a dump, and by people in Re:amaze."""

    by_dump: int
    by_people: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is certified of one account. `totals`: the tallies of all runs together; `parts`: every object that was
    read, with its ETag; `is_as_verified`: the tables changed since they were verified, and stand here as they were
    then."""

    account: CertifiedAccount
    issued_at: str
    software: Software
    verification: Verdict
    totals: dict[str, Tally]
    runs: tuple[CertifiedRun, ...]
    deleted: dict[str, Deleted]
    parts: Listed
    files: CertifiedFiles
    tables: dict[str, TableDigest]
    is_as_verified: bool

    def document(self) -> Document:
        """As a JSON document, not signed yet."""
        plain = asdict(self, dict_factory=lambda members: {name.rstrip("_"): value for name, value in members})
        document: Document = orjson.loads(orjson.dumps({"format": FORMAT, "version": VERSION, **plain}))
        return document


# --- signatures ------------------------------------------------------------------------------------------------------


def signing_key(settings: Settings) -> SigningKey:
    """What signs certificates: their own secret, else the callback's. Raises: ConfigurationError, without any."""
    secret = settings.certificate_secret or settings.callback_secret
    if secret is None:
        raise ConfigurationError(
            "no secret to sign certificates with: set S3IMPORT_CERTIFICATE_SECRET, for instance to what "
            "`openssl rand -hex 32` prints, and keep it: whoever checks a certificate needs the same one"
        )
    return SigningKey(secret)


def signed(document: Document, key: SigningKey) -> Document:
    """The document with its signature, which covers all other members."""
    signature = {"algorithm": ALGORITHM, "key": key.name, "value": key.sign(canonical(document))}
    return {**document, "signature": signature}


def seal(page: str, key: SigningKey) -> bytes:
    """The page with a last line that signs all of it."""
    content = page.rstrip("\n").encode()
    return content + SEAL + key.sign(content).encode() + END


def checked(content: bytes, key: SigningKey) -> Document:
    """The document of a certificate, JSON or HTML, that this key has signed and nobody has changed.

    Raises: CertificateInvalid.
    """
    content = content.removeprefix(codecs.BOM_UTF8)  # which some editors and mail programs put in front
    is_page = content.lstrip()[:1] == b"<"
    document = _checked_document(_document_in(content) if is_page else content, key)
    if is_page:
        page, _, signature = content.rpartition(SEAL)
        if not key.has_signed(page, signature.removesuffix(END).decode("ascii", "replace")):
            raise CertificateInvalid(
                "the document within the page is right, but what the page shows was changed since it was made; ask "
                "for the JSON document, or for the page as it was"
            )
    return document


def _checked_document(content: bytes, key: SigningKey) -> Document:
    try:
        document = orjson.loads(content)
        signature = document.pop("signature")
        name, value = str(signature["key"]), str(signature["value"])
        is_ours = document["format"] == FORMAT
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise CertificateInvalid("this is no certificate of s3import, or only a piece of one")
    is_whole = signature == {"algorithm": ALGORITHM, "key": key.name, "value": value}
    if is_whole and key.has_signed(canonical(document), value):
        return {**document, "signature": signature}
    if name != key.name:
        raise CertificateInvalid(
            "the certificate was signed with another secret than S3IMPORT_CERTIFICATE_SECRET (or else "
            "S3IMPORT_CALLBACK_SECRET) has here, or was changed; set the secret that it was made with"
        )
    raise CertificateInvalid("the certificate was changed after it was signed; do not rely on it")


class _Reader(HTMLParser):
    """Collects the text of the element that has the document."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self._tag: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if ("id", PLACE) in attrs:
            self._tag = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._tag:
            self._tag = None

    def handle_data(self, data: str) -> None:
        if self._tag:
            self.text.append(data)


def _document_in(page: bytes) -> bytes:
    reader = _Reader()
    reader.feed(page.decode("utf-8", "replace"))
    return "".join(reader.text).encode("utf-8", "replace")
