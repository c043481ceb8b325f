"""Processes that are forked from a server which has imported everything: one costs no more than what it does."""

from __future__ import annotations

import multiprocessing
import pkgutil

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
