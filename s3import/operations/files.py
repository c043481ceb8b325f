"""Copies files behind rows that are in already: those that were only referenced, and those that failed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial

from s3import.core.errors import Interrupted
from s3import.core.events import Observer
from s3import.core.settings import Settings
from s3import.files import LaterFiles, Retried
from s3import.operations.composition import file_copier, on_tables
from s3import.operations.foreground import in_thread
from s3import.operations.sources import source_opener
from s3import.readers.sources.source import DumpSource
from s3import.status import Run


def copy_files(settings: Settings, account_id: str, *, observe: Observer, stop: threading.Event) -> Retried:
    """Copy the files of an account that were only referenced, from where each pass came from (or else the settings'
    source) to the settings' `files_to` or where files of the account went before. Raises: as `LaterFiles.copy`."""
    return _later_files(settings, account_id, observe, stop, lambda later: later.copy(settings.files_to))


def retry_files(settings: Settings, account_id: str, *, observe: Observer, stop: threading.Event) -> Retried:
    """Copy an account's failed files, from and to as `copy_files`. Raises: as `LaterFiles.retry`."""
    return _later_files(settings, account_id, observe, stop, lambda later: later.retry(settings.files_to))


def _later_files(
    settings: Settings,
    account_id: str,
    observe: Observer,
    stop: threading.Event,
    work: Callable[[LaterFiles], Retried],
) -> Retried:
    with on_tables(settings, account_id, observe, stop) as transactions:
        open_dump = source_opener(settings, workers=1)

        def open_sources(run: Run) -> list[DumpSource]:
            sources = [open_dump(place, account_id) for place in (run.source, settings.source) if place]
            return list({source.uri: source for source in sources}.values())

        with closing(file_copier(settings, transactions)) as copier:
            going = partial(_require_going, stop)
            later = LaterFiles(transactions, copier, account_id, open_sources, settings.block_bytes, going)
            return in_thread(partial(work, later))


def _require_going(stop: threading.Event) -> None:
    if stop.is_set():
        raise Interrupted("interrupted; the same command goes on where it was")
