"""The dumps that are imported: of any size, from each kind of source."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pyarrow as pa

from benchmarks import items
from benchmarks.dynamodb import CREDENTIALS, endpoint
from benchmarks.generate import ACCOUNT, Form, cached

SOURCES = ("JSON Lines", "gzip", "zstd", "Parquet", "DynamoDB export", "DynamoDB tables")
FORMS = {"JSON Lines": Form.PLAIN, "gzip": Form.GZIP, "Parquet": Form.PARQUET}
TABLE_MESSAGES = 10_000  # the tables are a simulator's, which is slow: more would measure that


@dataclass(frozen=True, slots=True)
class Source:
    """A place to import an account from: what stands on the command line, and in the environment."""

    account: str
    words: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


def is_there(kind: str, messages: int, folder: Path) -> bool:
    """Whether a source was made before and takes no time now."""
    names = {kind: str(form) for kind, form in FORMS.items()} | {"zstd": "zstd", "DynamoDB export": "exports"}
    return kind in names and (folder / f"{names[kind]}-{messages}").exists()


@contextmanager
def source_of(kind: str, messages: int, folder: Path) -> Iterator[Source]:
    """A source of that kind with an account of so many messages; dumps are kept below `folder` for the next time."""
    if kind in FORMS or kind == "zstd":
        dump = cached(folder, messages, FORMS.get(kind, Form.PLAIN))
        root = dump.root if kind in FORMS else _as_zstd(dump.root, folder / f"zstd-{messages}")
        yield Source(ACCOUNT, ("--source", f"{root}/{{account}}"))
        return
    mapping = folder / "mapping.toml"
    if not mapping.exists():
        mapping.write_text(items.write_beside(folder / "beside"))
    if kind == "DynamoDB export":
        exports = folder / f"exports-{messages}"
        if not exports.exists():
            unfinished = exports.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            items.write_exports(unfinished, items.Items(messages), 4)
            unfinished.rename(exports)
        yield Source(items.ACCOUNT, ("--source", str(exports), "--mapping", str(mapping)))
        return
    with endpoint() as url:
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": url}
        os.environ.update(environment)
        try:
            items.fill_tables(boto3.client("dynamodb"), items.Items(messages))
        finally:
            for name in environment:
                del os.environ[name]
        yield Source(items.ACCOUNT, ("--source", "dynamodb:", "--mapping", str(mapping)), tuple(environment.items()))


def _as_zstd(plain: Path, root: Path) -> Path:
    """The same dump with its parts compressed."""
    if root.exists():
        return root
    unfinished = root.with_suffix(".unfinished")
    for path in plain.rglob("*.json*"):
        target = unfinished / path.relative_to(plain)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            target.write_bytes(path.read_bytes())
            continue
        with pa.CompressedOutputStream(f"{target}.zst", "zstd") as out:
            out.write(path.read_bytes())
    return unfinished.rename(root)
