"""The promise that a part whose checksum is wrong is found out before its first byte is used."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

from s3import.core.errors import PartDiffers
from s3import.core.records import PlannedPart, StoredObject
from s3import.readers.sources.source import Source
from s3import.readers.sources.temporary_space import temporary_space_for

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a manifest says of an object: the algorithm's name for hashlib, and the digest in lower-case hex. `remedy`:
    what to do where the object has another one."""

    algorithm: str
    digest: str
    remedy: str = "write the part or the manifest again"


def open_part(source: Source, part: PlannedPart, offset: int = 0, *, random: bool = False) -> BinaryIO:
    """A part's stored bytes from `offset` on, or (`random`) as a seekable file; checked first where a sha256 is known.

    Where the plan has none this is the source's own file. Where it has one, a folder's file is read twice, and any
    other object is spooled to a temporary file (in TMPDIR) that is gone when it is closed.
    Raises: PartDiffers when the checksum is wrong; what `Source.open` raises; MigrationFailed when TMPDIR is full.
    """
    checksum = Checksum("sha256", part.expected_sha256) if part.expected_sha256 is not None else None
    return open_checked(source, part.stored, checksum, offset, random=random)


def open_checked(
    source: Source, stored: StoredObject, checksum: Checksum | None, offset: int = 0, *, random: bool = False
) -> BinaryIO:
    """An object's bytes from `offset` on, checked first where its checksum is known. Raises: as `open_part`."""
    if checksum is not None:
        if not source.rereads_cheaply:
            return _spooled(source, stored, checksum, offset)
        with source.open(stored) as stream:
            _check(source, stored, checksum, _digest(stream, checksum))
    return source.open_random(stored) if random else source.open(stored, offset)


def _spooled(source: Source, stored: StoredObject, checksum: Checksum, offset: int) -> BinaryIO:
    spool = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    try:
        what = f"{stored.key} of {source.uri} ({stored.size_bytes} bytes), which is copied to check its checksum"
        with source.open(stored) as stream, temporary_space_for(what):
            _check(source, stored, checksum, _digest(stream, checksum, spool))
            spool.seek(offset)
    except BaseException:
        spool.close()
        raise
    return spool


def _digest(stream: BinaryIO, checksum: Checksum, copy: IO[bytes] | None = None) -> str:
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False)
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return digest.hexdigest()


def _check(source: Source, stored: StoredObject, checksum: Checksum, actual: str) -> None:
    if actual != checksum.digest:
        raise PartDiffers(
            f"{source.uri}: the {checksum.algorithm} of {stored.key} is {actual}, the manifest says {checksum.digest}; "
            f"{checksum.remedy}, then run the same command"
        )
