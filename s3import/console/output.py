"""What a command says: its result on stdout, what is wrong on stderr."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from s3import.core.errors import OutputLost, S3ImportError, printable


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


def shown_width() -> int:
    """How many columns a line of stdout may have: those of the terminal; elsewhere a text is not broken into lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def redraw(text: str | bytes) -> None:
    """Show a new look at something in the place of the one before; below it where stdout is no terminal."""
    if sys.stdout.isatty():
        click.clear()
    click.echo(text)


def complain(error: S3ImportError) -> None:
    """Say on stderr what went wrong and, with S3IMPORT_DEBUG, where; foreign errors by type only, their text may hold a
    customer's."""
    with suppress(OSError):  # somebody closed stderr
        click.echo(f"s3import: {printable(error.message)} [{error.code}]", err=True)
        cause: BaseException | None = error
        while os.environ.get("S3IMPORT_DEBUG") and cause is not None:
            click.echo("".join(traceback.format_tb(cause.__traceback__)) + type(cause).__name__, err=True)
            cause = cause.__cause__ or cause.__context__
