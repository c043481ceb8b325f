"""Commands on a terminal, as a person has them."""

from __future__ import annotations

import os
import pty
import re
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.cli.commands import started

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(
    *words: str,
    columns: int = 80,
    lines: int = 24,
    at_first_sight: Callable[[], None] = lambda: None,
    **variables: str,
) -> str:
    """All that a command, in a forked process, writes to a terminal of that size, as its stdout; what to do once it
    wrote something."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (lines, columns))
    with Path(os.devnull).open("wb") as nowhere:
        process = started(words, {"TERM": "xterm-256color", **variables}, theirs, nowhere.fileno())
    os.close(theirs)
    said = b""
    with suppress(OSError):  # the terminal is gone when the process is
        while chunk := os.read(ours, 65536):
            if not said:
                at_first_sight()
            said += chunk
    os.close(ours)
    process.join(120)
    return said.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    """The text without colours and movements of the cursor."""
    return SEQUENCE.sub("", text)
