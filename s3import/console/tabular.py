"""Listings: tables that fit the terminal where a person looks, tab-separated values everywhere else.

rich draws the tables. It is imported only then: what is piped, and JSON, does not wait for it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Literal

import click

from s3import.console.output import has_colours, shown_width
from s3import.core.errors import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

GAP = 2  # blanks between two columns
LEAST_CUT, LEAST_WRAPPED = 8, 12  # columns of the terminal that stay for what gives way
ROWS_AT_ONCE = 200  # of a table that may be long: columns are as wide as these need

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Where the terminal is too narrow for all, the widest give way: `cut`, with `…` in place of
    what is cut off, or `wraps`, with more lines; the others stay as wide as they are.

    `colour`: the colour of a cell's text, empty for none.
    """

    name: str
    cut: bool = False
    wraps: bool = False
    right: bool = False
    colour: Callable[[str], str] = lambda _: ""

    @property
    def gives_way(self) -> bool:
        return self.cut or self.wraps

    def least_width(self, own: int) -> int:
        """How many columns of the terminal it needs at least, where its widest cell has `own`."""
        if self.gives_way:
            return min(own, LEAST_CUT if self.cut else LEAST_WRAPPED)
        return own


def print_rows(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print rows as they come: as a table on a terminal, else a line each with a tab between its cells."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo(tabbed(row))
        return
    left = iter(rows)
    while page := list(islice(left, ROWS_AT_ONCE)):
        click.echo(drawn(columns, page))


def tabbed(row: Row) -> str:
    """The cells, uncut, with a tab between them: they hold none themselves."""
    return "\t".join(map(printable, row))


def drawn(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """A table below the names of its columns, as wide as the terminal at most, wide letters counted as two.

    Where that is too narrow for it, the cells of a row stand below each other.
    """
    from rich.table import Table
    from rich.text import Text

    cells = [[_text(column, printable(cell)) for column, cell in zip(columns, row, strict=True)] for row in rows]
    width = shown_width()
    least = list(_least_widths(columns, cells))
    if sum(least) + GAP * (len(least) - 1) > width:
        return "\n".join(_stacked(columns, cells, width))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column, narrowest in zip(columns, least, strict=True):
        justify: Literal["right", "left"] = "right" if column.right else "left"
        table.add_column(Text(column.name), no_wrap=not column.gives_way, min_width=narrowest, justify=justify)
    for row in cells:
        table.add_row(*row)
    return "\n".join(rendered(table, width))


def _text(column: Column, cell: str) -> Text:
    from rich.text import Text

    if column.wraps:
        return Text(cell, style=column.colour(cell), overflow="fold")
    return Text(cell, style=column.colour(cell), no_wrap=True, overflow="ellipsis")


def _least_widths(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> Iterator[int]:
    """How many columns of the terminal each column needs at least."""
    from rich.cells import cell_len

    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        yield column.least_width(max(cell_len(column.name), *(cell.cell_len for cell in cells)))


def _stacked(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> Iterator[str]:
    """A line for each cell behind the name of its column, a name of a column or a word cut where it has no room."""
    from rich.text import Text

    for number, row in enumerate(rows):
        if number:
            yield ""
        for column, cell in zip(columns, row, strict=True):
            line = Text(f"{column.name}: ").append_text(cell)
            yield from rendered(line, width, no_wrap=cell.no_wrap, overflow=cell.overflow)


def folded(text: str, width: int) -> list[str]:
    """The text, which may hold colours, in lines of at most `width` columns, broken where a terminal breaks them."""
    from rich.cells import chop_cells
    from rich.text import Text

    lines: list[str] = []
    for line in map(Text.from_ansi, text.splitlines()):
        ends = list(accumulate(map(len, chop_cells(line.plain, width))))
        for piece in line.divide(ends[:-1]):
            lines += rendered(piece, width) if piece else [""]
    return lines


def rendered(shown: RenderableType, width: int, **how: Any) -> Iterator[str]:
    """What rich makes of it, line by line, in the colours that stdout may have; `how`: options of rich's `print`."""
    from rich.console import Console

    colours: Any = "standard" if has_colours(sys.stdout) else None
    into = io.StringIO()
    console = Console(file=into, width=width, color_system=colours, force_terminal=True, legacy_windows=False)
    console.print(shown, highlight=False, **how)
    yield from (line.rstrip() for line in into.getvalue().splitlines())
