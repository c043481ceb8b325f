"""How fast files are copied: ``python -m benchmarks.files [--files N]``.

Many small files within an S3 that answers after 20 ms, by `s3import migrate --files-to`, and beside it by a loop of
boto3 over the same files, one `CopyObject` after the other. Of the migration only the time after its last part counts.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from benchmarks.endpoint import late_endpoint
from s3import.core.events import Advanced, Event
from s3import.core.records import Pass
from s3import.core.settings import Settings
from s3import.importing.requests import Request
from s3import.operations.migrate import migrate

ACCOUNT = "acme"
AT = "2024-05-06T07:08:09Z"
DELAY_SECONDS = 0.02
IN_FLIGHT = 32


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--looped", type=int, default=500, help="files of the loop: each takes as long as any other")
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    arguments = parser.parse_args()
    with late_bucket(arguments.files, arguments.in_flight) as copy:
        loop_seconds = _loop(_client(), min(arguments.looped, arguments.files))
        seconds = copy()
    ratio = loop_seconds * arguments.files / seconds
    delay = f"{DELAY_SECONDS * 1000:g} ms"
    print(
        f"{arguments.files} files, {delay}: {seconds:.1f} s, {arguments.files / seconds:,.0f} a second; "
        f"boto3, one after the other: {1 / loop_seconds:,.0f} a second; {ratio:.1f} x"
    )


@contextmanager
def late_bucket(files: int, in_flight: int = IN_FLIGHT) -> Iterator[Callable[[], float]]:
    """An S3 that answers late and has that many small files; the seconds in which they are copied within it, to
    another place each time."""
    copies = count()
    with late_endpoint(DELAY_SECONDS) as url, _environment(url):
        client = _client()
        with ThreadPoolExecutor(32) as pool:
            for key, body in _dump(files):
                pool.submit(client.put_object, Bucket="dumps", Key=f"{ACCOUNT}/{key}", Body=body)
        yield lambda: _migrate("s3://dumps/{account}", f"s3://copied/{next(copies)}", files, in_flight)


def copy_to_folder(folder: Path, files: int, size_bytes: int) -> float:
    """The seconds in which that many files, each of that size, are copied from a folder to another below `folder`."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for key, body in _dump(files, size_bytes):
            path = Path(name, ACCOUNT, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        return _migrate(f"{name}/{{account}}", f"{name}/copies", files)


@contextmanager
def _environment(url: str) -> Iterator[None]:
    """What boto3 needs to find it."""
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ |= dict(zip(names, (url, "benchmark", "benchmark", "us-east-1"), strict=True))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        os.environ |= before


def _client() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(max_pool_connections=64))


def _dump(files: int, size_bytes: int = 0) -> Iterator[tuple[str, bytes]]:
    channel = {"id": "c", "brand_id": "b", "kind": "email", "name": "Mail"}
    yield "account.json", orjson.dumps({"id": ACCOUNT, "brands": [{"id": "b", "name": "B"}], "channels": [channel]})
    known = {"account_id": ACCOUNT, "created_at": AT}
    thread = {"id": "t", "brand_id": "b", "channel_id": "c", "status": "open", **known}
    message = {"id": "m", "thread_id": "t", "kind": "email", "direction": "inbound", **known}
    yield "recent/threads/part-0.jsonl", orjson.dumps(thread)
    yield "recent/messages/part-0.jsonl", orjson.dumps(message)
    attachments = []
    for number in range(files):
        body = (b"file %d" % number).ljust(size_bytes)
        promise = {"size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        fields = {"id": f"a{number:06}", "message_id": "m", "filename": "note.txt", "key": f"files/{number}", **promise}
        attachments.append(orjson.dumps({**fields, **known}))
        yield f"files/{number}", body
    yield "recent/attachments/part-0.jsonl", b"\n".join(attachments)


def _loop(client: Any, files: int) -> float:
    """Seconds for each file."""
    began = time.perf_counter()
    for number in range(files):
        source = {"Bucket": "dumps", "Key": f"{ACCOUNT}/files/{number}"}
        client.copy_object(Bucket="looped", Key=f"a{number}", CopySource=source)
    return (time.perf_counter() - began) / files


def _migrate(source: str, files_to: str, files: int, in_flight: int = IN_FLIGHT) -> float:
    """Seconds from the last part to the end."""
    last = [0.0]

    def watch(event: Event) -> None:
        if isinstance(event, Advanced):
            last[0] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            source=source,
            database=f"sqlite:///{Path(folder)}/files.db",
            files_to=files_to,
            files_in_flight=in_flight,
        )
        request = Request(ACCOUNT, (Pass.RECENT,), settings.source or "")
        [result] = migrate(settings, [request], observe=watch, stop=threading.Event())
    assert result.error is None, result.error
    assert result.document["passes"]["recent"]["files"]["copied"] == files
    return time.perf_counter() - last[0]


if __name__ == "__main__":
    main()
