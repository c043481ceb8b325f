"""Room for what a reading keeps in this machine's folder for temporary files."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from s3import.core.errors import MigrationFailed


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """Name what the folder had no room for. Raises: MigrationFailed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise MigrationFailed(
            f"{tempfile.gettempdir()} has no room for {what}; set TMPDIR to a folder that has, then run the same "
            "command again"
        ) from error
