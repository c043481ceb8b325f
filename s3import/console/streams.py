"""The standard streams, fit for use whatever a shell, cron or a full disk made of them."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from s3import.core.errors import OutputLost, system_reason


class _Output(io.FileIO):
    """A standard stream's file, which stays open, and whose writes fail with an error of ours."""

    def write(self, data: Any, /) -> int:
        """Write. Raises: OutputLost; BrokenPipeError, when a reader went away."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise BrokenPipeError from None  # without the number that has click call it a failure
        except OSError as error:
            raise OutputLost(
                f"the output could not be written to stdout ({system_reason(error)}); make room there, or "
                "write it elsewhere, and ask again"
            ) from error


def prepare() -> None:
    """Open what is closed, and let no letter fail that an encoding lacks: its escape takes its place."""
    for descriptor in range(3):
        _require_open(descriptor)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout = _writer(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _writer(io.FileIO(2, "w", closefd=False), sys.stderr)


def _require_open(descriptor: int) -> None:
    """The next file that is opened, such as a database's, would get the descriptor of a closed stream."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        os.dup2(opened, descriptor)  # child processes inherit it
        if opened != descriptor:
            os.close(opened)


def _writer(raw: io.FileIO, before: Any) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)
