"""Validations in this process, and what they find in a few words."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.operations.validate.validation_report import ValidationReport
from tests import commands as app
from tests.importing.dumps import ACCOUNT, write
from tests.importing.moving import ignore

Found = tuple[str, str, int, str | None, tuple[tuple[str, str | None], ...]]
"""A reject: pass, part, line, id, and code and field of each reason."""


def validate(folder: Path | str, account: str | None = ACCOUNT, **settings: Any) -> ValidationReport:
    """What `s3import validate` does, with small batches."""
    small = Settings(**{"block_bytes": 700, "workers": 2, **settings})
    return app.validate(small, str(folder), account, observe=ignore, stop=threading.Event())


def validated(dump: Mapping[str, bytes], folder: Path) -> ValidationReport:
    """Write a dump and validate it."""
    return validate(write(dump, folder))


def words(reject: Mapping[str, Any]) -> Found:
    """A reject without its sentences."""
    reasons = tuple((reason["code"], reason["field"]) for reason in reject["reasons"])
    return (reject["pass"], reject["part"], reject["line"], reject["id"], reasons)


def rejects(report: ValidationReport) -> list[Found]:
    """The rejects that a report shows, in their order."""
    passes = report.document()["passes"]
    return [words(reject) for pass_ in passes for reject in passes[pass_]["first_rejects"]]


def codes(report: ValidationReport, pass_: Pass = Pass.RECENT) -> dict[str, int]:
    """How many rejects of a pass have each code."""
    found: dict[str, int] = report.document()["passes"][pass_]["rejects"]["by_code"]
    return found
