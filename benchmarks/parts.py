"""What many parts cost: ``python -m benchmarks.parts [--parts N]``.

An S3 over HTTP lists so many parts of one thread each, and answers late where `--delay` says so. Measured are the plan
of their import (which fails at its first part), its resumption, and the import of the first `--imported` of them: wall
seconds and the peak of memory of `s3import migrate` on PostgreSQL. Its dump is made up as it is asked for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson

from benchmarks.clock import S3IMPORT
from benchmarks.endpoint import Answer, Objects, late_endpoint
from benchmarks.scratch import Postgres

ACCOUNT = "acme"
AT = "2024-05-06T07:08:09Z"
FOLDER = f"{ACCOUNT}/recent/threads/"
DIGITS = 7
PAGE = 1000


class MadeUp(Objects):
    """A dump of `parts` parts of about `size_bytes` each. The first is damaged for as long as the file `damage` is."""

    def __init__(self, parts: int, damage: Path, size_bytes: int) -> None:
        super().__init__()
        self._parts, self._damage = parts, damage
        self._subject = "x" * max(size_bytes - len(_thread(0, "")), 0)
        self._size_bytes = len(_thread(0, self._subject))

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        url = urlsplit(target)
        query = parse_qs(url.query)
        if "list-type" in query:
            return 200, {}, self._page(query)
        key = url.path.removeprefix("/dumps/")
        if key == f"{ACCOUNT}/account.json":
            return self._body(_account(), '"account"', method, headers)
        if not key.startswith(FOLDER):
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        number = int(key.removeprefix(FOLDER + "part-").removesuffix(".jsonl"))
        record = _thread(number, self._subject)
        if number == 0 and self._damage.exists():
            record = b"\x1f\x8b\x08" + record[3:]
        return self._body(record, f'"e{number}"', method, headers)

    def _body(self, record: bytes, etag: str, method: str, headers: Mapping[str, str]) -> Answer:
        described = {"ETag": etag, "Content-Length": str(len(record))}
        return 206 if "range" in headers else 200, described, b"" if method == "HEAD" else record

    def _page(self, query: Mapping[str, list[str]]) -> bytes:
        first = int(query.get("continuation-token", ["0"])[0])
        end = min(first + PAGE, self._parts)
        rows = "".join(
            f"<Contents><Key>{FOLDER}part-{number:0{DIGITS}}.jsonl</Key><Size>{self._size_bytes}</Size>"
            f"<LastModified>2024-05-06T07:08:09.000Z</LastModified><ETag>&quot;e{number}&quot;</ETag>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for number in range(first, end)
        )
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < self._parts else ""
        truncated = str(bool(more)).lower()
        head = f"<EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>{more}"
        return f"<ListBucketResult>{head}{rows}</ListBucketResult>".encode()


def _account() -> bytes:
    channel = {"id": "c", "brand_id": "b", "kind": "email", "name": "Mail"}
    return orjson.dumps({"id": ACCOUNT, "brands": [{"id": "b", "name": "B"}], "channels": [channel]})


def _thread(number: int, subject: str) -> bytes:
    known = {"account_id": ACCOUNT, "created_at": AT, "brand_id": "b", "channel_id": "c", "status": "open"}
    return orjson.dumps({"id": f"t{number:0{DIGITS}}", **known, "subject": subject}) + b"\n"


def main() -> int:
    """Measure, and print a line for each step. Returns the exit status."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder, Postgres(options.postgres) as scratch:
        damage = Path(folder) / "damaged"
        with late_endpoint(options.delay / 1000, MadeUp(options.parts, damage, options.bytes)) as url:
            environment = {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "benchmark",
                "AWS_SECRET_ACCESS_KEY": "benchmark",
                "AWS_REGION": "us-east-1",
                "S3IMPORT_DATABASE": scratch.url,
                "S3IMPORT_SOURCE": "s3://dumps/{account}",
            }
            scratch.recreate()
            steps = {"plan": 1, "resume": 1} if options.parts > 1 and not options.only_import else {}
            damage.touch()
            for name, expected in steps.items():
                _migrate(name, environment, options, expected)
            damage.unlink()
            if not options.only_plan:
                _migrate("import", environment, options, 0)
    return 0


def _migrate(name: str, environment: Mapping[str, str], options: argparse.Namespace, expected: int) -> None:
    command = [str(S3IMPORT), "migrate", "--account", ACCOUNT, "--pass", "recent", "--json"]
    command += ["--workers", str(options.workers)] if options.workers else []
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr if options.loud else subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    print(
        f"{name} of {options.parts:,} parts: {seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} of a processor), "
        f"{usage.ru_maxrss // 1024} MB",
        flush=True,
    )
    if process.returncode != expected:
        raise RuntimeError(f"{name} ended with exit {process.returncode}, not {expected}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description=__doc__)
    parser.add_argument("--parts", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=200, help="the size of a part")
    parser.add_argument("--delay", type=float, default=0.0, help="of each answer, in milliseconds")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--only-plan", action="store_true", help="plan and resume, import nothing")
    parser.add_argument("--only-import", action="store_true", help="import at once")
    parser.add_argument("--loud", action="store_true", help="show what s3import says")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="a server, by URL")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
