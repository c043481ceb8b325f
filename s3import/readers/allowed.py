"""Which sources a request may name: those below the configured one, or below others that the operator allows.

What is compared is what would be opened, never a prettier form of it: a source whose percent signs hide a dot, a slash
or a control character is refused, not decoded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from s3import.errors import ConfigurationError, SourceNotAllowed
from s3import.readers.location import ACCOUNT, split_scheme
from s3import.records import check_account_id

MAX_SOURCE_LENGTH = 2048  # characters; an S3 key has at most 1024 bytes
_BUCKET = re.compile(r"//[^/]")
_CONTROL = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source lies: what kind of storage, and the names on the way to it (for S3 the bucket comes first)."""

    kind: str
    names: tuple[str, ...]

    def is_below(self, other: Place) -> bool:
        """Whether it is the other place or lies below it, compared name by name."""
        return self.kind == other.kind and self.names[: len(other.names)] == other.names


def fill(source: str, account_id: str) -> str:
    """The source of one account: ``{account}`` replaced in such a way that opening it gives the account id back."""
    scheme, _ = split_scheme(source)
    return source.replace(ACCOUNT, quote(account_id, safe="") if scheme == "file" else account_id)


def require_allowed(source: str, account_id: str, configured: str | None, allowed: Sequence[str]) -> str:
    """The source in its plainest form, once it is sure that it lies below `configured` or one of `allowed`.

    In all of them ``{account}`` stands for the account id, so that one account's request never reaches another's dump
    where the configured source tells them apart. Folders are compared, and given back, with all links resolved.
    Raises: SourceNotAllowed; ConfigurationError for what the operator configured wrongly, or for the account id.
    """
    check_account_id(account_id)
    _require_plain(source)
    try:
        wanted = _place(source, account_id)
        uri = _uri(source, wanted)
    except (ConfigurationError, OSError, ValueError) as error:
        raise _refusal() from error
    bases = (_place(base, account_id) for base in (configured, *allowed) if base)
    if not any(wanted.is_below(base) for base in bases):
        raise _refusal()
    return uri


def _require_plain(source: str) -> None:
    """Refuse what reads differently once it is decoded, however often, and what climbs. Raises: SourceNotAllowed."""
    if len(source) > MAX_SOURCE_LENGTH:
        raise _refusal()
    for reading in _readings(source):
        hides = any(reading.count(sign) != source.count(sign) for sign in "./:{}")
        if hides or _CONTROL.search(reading) or {".", ".."} & set(reading.split("/")):
            raise _refusal()


def _readings(source: str) -> Iterator[str]:
    """The source, then decoded once, twice … until nothing changes any more; each is shorter than the one before."""
    while True:
        yield source
        decoded = unquote(source)
        if decoded == source:
            return
        source = decoded


def _place(source: str, account_id: str) -> Place:
    """Where `open_source` would look. Raises: ConfigurationError for what it would not open."""
    scheme, rest = split_scheme(source)
    if scheme in ("", "file"):
        return Place("folder", _names(os.path.realpath(_folder(scheme, rest).replace(ACCOUNT, account_id))))
    if scheme == "s3" and not _BUCKET.match(rest):
        raise ConfigurationError("an S3 source names a bucket: s3://bucket/prefix")
    return Place(scheme, _names(rest.replace(ACCOUNT, account_id)))


def _folder(scheme: str, rest: str) -> str:
    if scheme == "":
        return rest
    found = re.fullmatch(r"(?://(?:localhost)?|(?!//))(/.*)", unquote(rest), re.DOTALL | re.IGNORECASE)
    if not found:
        raise ConfigurationError("a file URI names a folder of this machine: file:///dir")
    return found[1]


def _names(path: str) -> tuple[str, ...]:
    return tuple(name for name in path.split("/") if name)


def _uri(source: str, place: Place) -> str:
    """The place as a source to open, of the scheme that was asked for."""
    scheme, _ = split_scheme(source)
    path = "/".join(place.names)
    if scheme == "":
        return f"/{path}"
    return f"file:///{quote(path)}" if scheme == "file" else f"{scheme}://{path}"


def _refusal() -> SourceNotAllowed:
    return SourceNotAllowed(
        "the source lies neither below the configured one nor below one of S3IMPORT_ALLOWED_SOURCES; name one that "
        "does, or leave it out"
    )
