"""Processes that are forked from a server which has imported everything: one costs no more than what it does."""

from __future__ import annotations

import multiprocessing
import pkgutil
from types import SimpleNamespace
from unittest import mock

import s3import

_LIBRARIES = (
    "alembic.command",
    "celery.apps.worker",
    "encodings.idna",
    "pyarrow.dataset",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.sqlite",
)
_TESTS = (
    "tests.server.api.serving",
    "tests.cli.commands",
    "tests.readers.formats.peaks",
    "tests.importing.moving",
    "tests.server.processes.processes",
)
_OURS = [module.name for module in pkgutil.walk_packages(s3import.__path__, "s3import.")]

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [*(name for name in _OURS if not name.endswith(("__main__", "schema.env"))), *_LIBRARIES, *_TESTS, "tests.frozen"]
)


def fork_the_api() -> None:
    """In a forked process: `serve` forks the process of its API there, too, instead of spawning it."""
    from s3import.server.api import process

    mock.patch.object(process, "multiprocessing", SimpleNamespace(get_context=lambda _: context)).start()
