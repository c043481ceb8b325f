"""What the numbers were measured on, and with."""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

import s3import
from s3import.writers import open_database


def describe(databases: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The machine, the versions and the date; `databases`: the name and the URL of each."""
    told = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "s3import": s3import.__version__,
        "commit": said("git", "rev-parse", "--short", "HEAD") or "unknown",
        "machine": f"{os.cpu_count()} processors ({_processor()}), {_memory_gb():.0f} GB, {platform.system()}",
        "Python": platform.python_version(),
    }
    return told | {name: _version(url) for name, url in databases}


def said(*command: str) -> str:
    """The first line that a program says; nothing where it is not there."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _version(url: str) -> str:
    database = open_database(url)
    try:
        with database.read() as connection:
            query = "SELECT sqlite_version()" if database.dialect.name == "sqlite" else "SELECT version()"
            return str(connection.execute(sa.text(query)).scalar_one()).partition(" on ")[0]
    finally:
        database.close()
