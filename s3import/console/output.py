"""What a command says: its result on stdout, what is wrong on stderr."""

from __future__ import annotations

import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import click

from s3import.core.errors import OutputLost, S3ImportError, causes, printable


@contextmanager
def after_the_work() -> Iterator[None]:
    """Print a result whose loss changes nothing of what was done: the exit status still tells how that went."""
    try:
        yield
    except BrokenPipeError:  # nobody reads it
        pass
    except OutputLost as error:
        complain(error)


def say(text: str) -> None:
    """Say something on stderr, if anybody listens there."""
    with suppress(OSError):
        click.echo(f"s3import: {printable(text)}", err=True)


def is_screen(stream: TextIO) -> bool:
    """Whether a person reads the stream on a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colours(stream: TextIO) -> bool:
    """Whether what goes there may be coloured: on a terminal, unless NO_COLOR forbids it (https://no-color.org)."""
    return is_screen(stream) and not os.environ.get("NO_COLOR")


def shown_width() -> int:
    """How many columns a line of stdout may have: those of the terminal; elsewhere a text is not broken into lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def shown_height() -> int:
    """How many lines the terminal has."""
    return shutil.get_terminal_size().lines


def painted(text: str) -> str:
    """The text with its first word coloured, where that is a state and stdout may be coloured."""
    colour = colour_of(text) if has_colours(sys.stdout) else ""
    state = _FIRST_WORD.match(text)
    return click.style(state[0], fg=colour) + text[state.end() :] if colour and state else text


def colour_of(text: str) -> str:
    """The colour of a text that begins with the state of an account or a pass; empty for any other."""
    return _COLOURS.get(state[0], "") if (state := _FIRST_WORD.match(text)) else ""


_FIRST_WORD = re.compile(r"[\w-]+")
_COLOURS = {
    **dict.fromkeys(("succeeded", "active", "active-recent-only"), "green"),
    **dict.fromkeys(("running", "migrating"), "cyan"),
    **dict.fromkeys(("queued", "cancelled", "unknown"), "yellow"),
    "failed": "red",
}


def complain(error: S3ImportError) -> None:
    """Say on stderr what went wrong and, with S3IMPORT_DEBUG, where; foreign errors by type only, their text may hold a
    customer's."""
    with suppress(OSError):  # somebody closed stderr
        name = click.style("s3import:", fg="red") if has_colours(sys.stderr) else "s3import:"
        click.echo(f"{name} {printable(error.message)} [{error.code}]", err=True)
        for cause in causes(error) if os.environ.get("S3IMPORT_DEBUG") else ():
            click.echo("".join(traceback.format_tb(cause.__traceback__)) + type(cause).__name__, err=True)
