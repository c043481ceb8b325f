"""The temporary space of this machine: what reading keeps there, and what is said when it is full."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from s3import.core.errors import MigrationFailed


@contextmanager
def temporary_space_for(what: str) -> Iterator[None]:
    """Name what there was no space for. Raises: MigrationFailed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_temporary_space(what) from error


def no_temporary_space(what: str) -> MigrationFailed:
    """What is raised where the folder for temporary files is full."""
    return MigrationFailed(
        f"{tempfile.gettempdir()} has no room for {what}; set TMPDIR to a folder that has, then run the same command "
        "again"
    )
