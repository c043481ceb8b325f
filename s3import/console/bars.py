"""Bars on a terminal's stderr, drawn by rich, and lines above them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from s3import.console.output import has_colours

REFRESH_SECONDS = 0.1
BAR_COLUMNS = 16


class Bars:
    """Some bars below each other, as wide as the terminal at most.

    Whoever tells of progress draws them, at most each `REFRESH_SECONDS`: they have no thread of their own. The cursor
    stays visible, so that a process that is killed leaves the terminal in order.
    """

    def __init__(self) -> None:
        colours: Literal["standard"] | None = "standard" if has_colours(sys.stderr) else None
        self._console = _Console(
            file=sys.stderr, color_system=colours, force_terminal=True, legacy_windows=False, highlight=False
        )
        self._bars: list[_BarShown] = []
        self._live: Live | None = None
        self._drawn_at = 0.0

    def add(self, name: str, fraction: Callable[[], float], told: Callable[[], str]) -> Callable[[], None]:
        """Add a bar that shows how much is done, 0 to 1, between its name and what is told; what to call when that has
        changed."""
        self._bars.append((name, fraction, told))
        if self._live is None:
            self._live = Live(
                get_renderable=self._drawing,
                console=self._console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._draw()
        return self._draw_if_due

    def say(self, text: str) -> None:
        """Write a line above the bars."""
        self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Draw the bars a last time, and leave the cursor on a line of its own."""
        if self._live is not None:
            self._live.stop()

    def _draw_if_due(self) -> None:
        if time.monotonic() - self._drawn_at >= REFRESH_SECONDS:
            self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        if self._live is not None:
            self._live.refresh()

    def _drawing(self) -> Group:
        return Group(*(_drawing(*bar) for bar in self._bars))


_BarShown = tuple[str, Callable[[], float], Callable[[], str]]


def _drawing(name: str, fraction: Callable[[], float], told: Callable[[], str]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column()
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    done = fraction()
    bar = ProgressBar(total=1.0, completed=done, width=BAR_COLUMNS, finished_style="bar.finished")
    grid.add_row(_one_line(name), f"{int(100 * done):3d}%", bar, _one_line(told()))
    return grid


def _one_line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:
        """Never hide it: who is killed cannot show it again."""
        return False
