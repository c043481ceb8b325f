"""Commands on a terminal, as a person has them."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios
from collections.abc import Callable
from contextlib import suppress

from tests.cli.commands import command, environment

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(
    *words: str,
    columns: int = 80,
    lines: int = 24,
    at_first_sight: Callable[[], None] = lambda: None,
    **variables: str,
) -> str:
    """All that a command writes to a terminal of that size, as its stdout; what to do once it wrote something."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (lines, columns))
    seen = environment(TERM="xterm-256color", **variables)
    process = subprocess.Popen(command(*words), env=seen, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    with suppress(OSError):  # the terminal is gone when the process is
        while chunk := os.read(ours, 65536):
            if not said:
                at_first_sight()
            said += chunk
    os.close(ours)
    process.communicate(timeout=120)
    return said.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    """The text without colours and movements of the cursor."""
    return SEQUENCE.sub("", text)
