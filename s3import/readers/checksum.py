"""The promise that a part whose checksum is wrong is found out before its first byte is used."""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, cast

from s3import.errors import MigrationFailed, PartDiffers
from s3import.readers.source import Source
from s3import.records import PlannedPart

CHUNK_BYTES = 1024 * 1024


def open_part(source: Source, part: PlannedPart, offset: int = 0, *, random: bool = False) -> BinaryIO:
    """A part's stored bytes from `offset` on, or (`random`) as a seekable file; checked first where a sha256 is known.

    Where the plan has none this is the source's own file. Where it has one, a folder's file is read twice, and any
    other object is spooled to a temporary file (in TMPDIR) that is gone when it is closed.
    Raises: PartDiffers when the checksum is wrong; what `Source.open` raises; MigrationFailed when TMPDIR is full.
    """
    if part.expected_sha256 is not None:
        if not source.rereads_cheaply:
            return _spooled(source, part, offset)
        with source.open(part.stored) as stream:
            _check(source, part, _digest(stream))
    return source.open_random(part.stored) if random else source.open(part.stored, offset)


def _spooled(source: Source, part: PlannedPart, offset: int) -> BinaryIO:
    spool = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    try:
        with source.open(part.stored) as stream, _room_for(source, part):
            _check(source, part, _digest(stream, spool))
            spool.seek(offset)
    except BaseException:
        spool.close()
        raise
    return spool


def _digest(stream: BinaryIO, copy: IO[bytes] | None = None) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return digest.hexdigest()


def _check(source: Source, part: PlannedPart, actual: str) -> None:
    if actual != part.expected_sha256:
        raise PartDiffers(
            f"{source.uri}: the sha256 of {part.stored.key} is {actual}, the manifest says {part.expected_sha256}; "
            "write the part or the manifest again, then run the same command"
        )


@contextmanager
def _room_for(source: Source, part: PlannedPart) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise MigrationFailed(
            f"{tempfile.gettempdir()} has no room for {part.stored.key} of {source.uri} ({part.stored.size_bytes} "
            "bytes), which is copied to check its sha256; set TMPDIR to a folder that has"
        ) from error
