"""Looks at how accounts are, one after the other, and shows each in the place of the one before."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from s3import.console.output import is_screen, shown_height, shown_width
from s3import.console.summary import NOBODY_WORKS, at_work
from s3import.console.tabular import folded
from s3import.core.settings import Settings
from s3import.operations.composition import opened
from s3import.status import State

WATCH_SECONDS = 1.0
LOOKS_ALONE = 5  # in a row, before a queued run counts as one that nobody takes

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # a terminal that knows it shows what is between them at once
_CLEAR, _END_OF_LINE, _BELOW = "\x1b[H\x1b[2J", "\x1b[K", "\x1b[J"


def look(settings: Settings, account: str | None, state: str | None) -> list[dict[str, Any]]:
    """How far the account is, or (None) all that are listed, with that state of a run. Raises: AccountNotFound."""
    with opened(settings) as operations:
        return operations.status_documents(account, State(state) if state else None)


def looks(settings: Settings, account: str | None, state: str | None) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """The documents, each second for as long as somebody is at work, and how many looks in a row, this one included,
    found the account queued and nobody to take it."""
    alone = 0
    while any(map(at_work, documents := look(settings, account, state))):
        alone = alone + 1 if account is not None and _is_left_alone(settings, account) else 0
        yield documents, alone
        time.sleep(WATCH_SECONDS)
    yield documents, 0


def _is_left_alone(settings: Settings, account: str) -> bool:
    with opened(settings) as operations:
        return operations.is_left_alone(account)


class View:
    """Shows one look below the other on stdout, and on stderr, once, that nobody is at work."""

    def show(self, text: str | bytes, alone: int) -> None:
        """Show a look; `alone`: how many in a row found nobody at work."""
        click.echo(text)
        if alone == LOOKS_ALONE:
            click.echo(NOBODY_WORKS, err=True)

    def end(self, text: str | bytes) -> None:
        """Show the last look."""
        click.echo(text, nl=bool(text))


class ScreenView(View):
    """Writes each look over the one before, line by line, so that nothing flickers.

    It changes nothing of the terminal that would have to be put right: whoever kills the process leaves it in order.
    """

    def __init__(self) -> None:
        self._lines = 0
        self._size = (0, 0)

    def show(self, text: str | bytes, alone: int) -> None:
        """Show a look; of one that is higher than the terminal, the upper lines."""
        lines, note = self._folded(str(text)), self._folded(NOBODY_WORKS) if alone >= LOOKS_ALONE else []
        room = max(shown_height() - 1 - len(note), 1)  # the cursor stands below them
        if len(lines) > room:
            lines = [*lines[: room - 1], f"… {len(lines) - room + 1} more lines"]
        self._write([*lines, *note])

    def end(self, text: str | bytes) -> None:
        """Show the last look as a whole."""
        self._write(self._folded(str(text)))

    def _folded(self, text: str) -> list[str]:
        """The lines of the text, a column narrower than the terminal: at its edge, erasing would take a letter."""
        return folded(text, max(shown_width() - 1, 1))

    def _write(self, lines: list[str]) -> None:
        size = shown_width(), shown_height()
        begin = f"\x1b[{self._lines}F" if self._lines else ""
        if self._lines and size != self._size:  # the terminal has put the old lines elsewhere
            begin = _CLEAR
        body = "".join(f"{line}{_END_OF_LINE}\n" for line in lines)
        click.echo(f"{_BEGIN}{begin}{body}{_BELOW}{_END}", nl=False)
        self._lines, self._size = len(lines), size


def watch_to_the_end(
    settings: Settings,
    account: str | None,
    state: str | None,
    show: Callable[[list[dict[str, Any]]], str | bytes],
    *,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Show one look after the other until nobody is at work any more; the documents of the last one.

    Raises: as `look`.
    """
    view = ScreenView() if not as_json and is_screen(sys.stdout) else View()
    for documents, alone in looks(settings, account, state):
        if any(map(at_work, documents)):
            view.show(show(documents), alone)
    view.end(show(documents))
    return documents
