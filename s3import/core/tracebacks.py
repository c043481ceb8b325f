"""What Python itself says of errors that nobody catches, in threads, finalizers and libraries' logs: their kind only.

Left alone it writes a traceback to stderr, which ends with the error's text, and that may hold a customer's.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Say = Callable[[type[BaseException]], None]


def keep_texts_in(say: Say | None = None) -> None:
    """Have `say` (a line on stderr) told the kind of each such error of this process, and no library log to stderr."""
    root = logging.getLogger()
    if not root.handlers:  # Python's last resort would write whatever a library says
        root.addHandler(logging.NullHandler())
    tell = say or _on_stderr

    def hook(failed: Any) -> None:
        if failed.exc_type is not SystemExit:
            tell(failed.exc_type)

    threading.excepthook = sys.unraisablehook = hook


def _on_stderr(kind: type[BaseException]) -> None:
    with suppress(OSError, AttributeError, ValueError):  # stderr is closed, or gone
        sys.stderr.write(f"s3import: something failed in the background ({kind.__name__})\n")
