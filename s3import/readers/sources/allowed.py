"""Which sources a request may name: those below the configured one, or below others that the operator allows.

Dots are resolved first; what is compared is what would be opened. Percent signs are decoded where opening decodes them
(in `file:` URIs). Elsewhere they stay as they are, but a name that would lead out once it is decoded is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from s3import.core.errors import ConfigurationError, SourceNotAllowed
from s3import.readers.sources.location import bucket_and_folder, folder_of, resolve, split_scheme

MAX_SOURCE_LENGTH = 2048  # characters; an S3 key has at most 1024 bytes
_CONTROL = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StoredAt:
    """Where a source lies: what kind of storage, and the names on the way to it (for S3 the bucket comes first)."""

    kind: str
    names: tuple[str, ...]

    def is_below(self, other: StoredAt) -> bool:
        """Whether it is the other place or lies below it, compared name by name, also for who decodes it once more."""
        depth = len(other.names)
        return (self.kind, self.names[:depth]) == (other.kind, other.names) and not _leads_out(self.names[depth:])


def require_allowed(source: str, account_id: str, configured: str | None, allowed: Sequence[str]) -> str:
    """The source in its plainest form, once it is sure that it lies below `configured` or one of `allowed`.

    In all of them ``{account}`` stands for the account id, so that one account's request never reaches another's dump
    where the configured source tells them apart. Folders are compared, and given back, with all links resolved. One of
    the bases itself is given back as it is, whatever the account id holds.
    Raises: SourceNotAllowed; ConfigurationError for what the operator configured wrongly, or for the account id.
    """
    bases = [resolve(base, account_id) for base in (configured, *allowed) if base]
    if source in bases:
        return source
    if len(source) > MAX_SOURCE_LENGTH or any(map(_CONTROL.search, _readings(source))):
        raise _refusal()
    try:
        requested = _place(resolve(source, account_id))
        uri = _uri(source, requested)
    except (ConfigurationError, OSError, ValueError) as error:
        raise _refusal() from error
    if not any(requested.is_below(_place(base)) for base in bases):
        raise _refusal()
    return uri


def _readings(source: str) -> Iterator[str]:
    """The source, then decoded once, twice … until nothing changes any more; each is shorter than the one before."""
    while True:
        yield source
        decoded = unquote(source)
        if decoded == source:
            return
        source = decoded


def _place(uri: str) -> StoredAt:
    """Where `open_source` would look. Raises: ConfigurationError for what it would not open."""
    scheme, rest = split_scheme(uri)
    if scheme in ("", "file"):
        return StoredAt("folder", _names(os.path.realpath(folder_of(uri))))
    if scheme == "s3":
        bucket, folder = bucket_and_folder(uri)
        return StoredAt("s3", (bucket, *_without_dots(_names(folder))))  # dots do not lead out of a bucket
    names = _names(rest)
    return StoredAt(scheme, (*names[:1], *_without_dots(names[1:])))


def _without_dots(names: Iterable[str]) -> tuple[str, ...]:
    """The names with `.` and `..` resolved. Raises: ConfigurationError, where they lead above the first name."""
    kept: list[str] = []
    for name in names:
        if name == ".." and not kept:
            raise ConfigurationError("a source may not climb above its beginning")
        if name == "..":
            kept.pop()
        elif name != ".":
            kept.append(name)
    return tuple(kept)


def _leads_out(names: Sequence[str]) -> bool:
    """Whether the way goes above its beginning once it is decoded, however often."""
    try:
        for reading in _readings("/".join(names)):
            _without_dots(_names(reading))
    except ConfigurationError:
        return True
    return False


def _names(path: str) -> tuple[str, ...]:
    return tuple(name for name in path.split("/") if name)


def _uri(source: str, place: StoredAt) -> str:
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
