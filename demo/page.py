"""Shows the page: several accounts in different states on real servers, one import slow enough to watch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.error import URLError
from urllib.request import Request, urlopen

from demo.__main__ import BUCKET, PROGRAM, client, environment_with, upload
from demo.servers import free_port, postgres, s3_endpoint

THREADS, MESSAGES_A_THREAD = 40, 4
SLOW = "big-river-outfitters"
SLOW_PARTS = 3000  # small objects one after the other take this endpoint some minutes
START_SECONDS = 60.0


def main() -> int:
    """Prepare, print the address, and serve until somebody stops it. Returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    port = int(os.environ.get("PAGE_PORT", "0")) or free_port()
    try:
        with ExitStack() as servers:
            print("A small S3 endpoint, a PostgreSQL and some accounts are made ready…", flush=True)
            environment = environment_with(servers.enter_context(s3_endpoint()), servers.enter_context(postgres()))
            prepare(environment)
            serving = servers.enter_context(serve(environment, port))
            start(port, SLOW)
            print(f"\nThe page: http://127.0.0.1:{port}/ui/ (Ctrl-C ends it)", flush=True)
            return serving.wait()
    except KeyboardInterrupt:
        print("\nstopped; servers stopped, folders removed", file=sys.stderr)
        return 0


def prepare(environment: dict[str, str]) -> None:
    """Put dumps into the bucket and bring their accounts into states that an operator meets."""
    upload(environment)
    dumps = {
        **_dump("harbour-books", brands=True),
        **_dump("lantern-cafe", brands=False),
        **_dump("north-quay-clinic", brands=True, passes=("recent",)),
        **_dump("willow-yoga", brands=True, damaged=True),
        **_dump(SLOW, brands=True, passes=("recent",), parts=SLOW_PARTS),
    }
    s3 = client(environment)
    with ThreadPoolExecutor(8) as uploads:
        list(uploads.map(lambda named: s3.put_object(Bucket=BUCKET, Key=named[0], Body=named[1]), dumps.items()))
    quiet = environment | {"S3IMPORT_RETRY_SECONDS": "1"}
    commands = (
        ("migrate", "--account", "tidewater"),
        ("migrate", "--account", "harbour-books"),
        ("verify", "--account", "harbour-books"),
        ("migrate", "--account", "north-quay-clinic", "--pass", "recent"),
        ("migrate", "--account", "lantern-cafe"),
        ("migrate", "--account", "willow-yoga"),
    )
    for command in commands:
        subprocess.run([PROGRAM, *command], env=quiet, check=False, capture_output=True)


@contextmanager
def serve(environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`s3import serve` on loopback, once it answers."""
    serving = subprocess.Popen(
        [PROGRAM, "serve", "--port", str(port)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(serving, port)
        yield serving
    finally:
        serving.terminate()
        serving.wait()


def start(port: int, account_id: str) -> None:
    """Create an account and ask for its recent pass, as Conversations does."""
    _post(port, "/accounts", {"id": account_id, "name": account_id})
    _post(port, "/migrate", {"account_id": account_id, "pass": "recent"})


def _post(port: int, path: str, document: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json"}
    urlopen(Request(f"http://127.0.0.1:{port}{path}", json.dumps(document).encode(), headers), timeout=10).close()


def _wait_until_ready(serving: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while serving.poll() is None and time.monotonic() < end:
        try:
            urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("`s3import serve` did not start")


def _dump(
    account: str,
    *,
    brands: bool,
    passes: tuple[str, ...] = ("recent", "remaining"),
    parts: int = 1,
    damaged: bool = False,
) -> dict[str, bytes]:
    """The objects of a small dump by key. Without `brands` no account.json names them; `damaged`: gzip that is none."""
    objects: dict[str, bytes] = {}
    ours = [{"id": "b1", "name": account}] if brands else []
    channels = [{"id": "c1", "brand_id": "b1", "kind": "email", "name": "Inbox"}] if brands else []
    document = {"id": account, "name": account.replace("-", " ").title(), "brands": ours, "channels": channels}
    objects[f"{account}/account.json"] = json.dumps(document).encode()
    for pass_ in passes:
        threads = [_thread(account, f"{pass_}-{number}") for number in range(THREADS)]
        objects[f"{account}/{pass_}/threads/part-0.jsonl"] = _jsonl(threads)
        for part in range(parts):
            messages = [
                _message(account, thread, f"{part}-{n}") for thread in threads for n in range(MESSAGES_A_THREAD)
            ]
            key = f"{account}/{pass_}/messages/part-{part:04}.jsonl"
            objects[key] = _jsonl(messages)
        if damaged:
            objects[f"{account}/{pass_}/messages/part-9999.jsonl.gz"] = b"no gzip at all"
    return objects


def _thread(account: str, name: str) -> dict[str, str]:
    of_brand = {"brand_id": "b1", "channel_id": "c1"}
    return {
        "id": f"t-{name}",
        "account_id": account,
        **of_brand,
        "status": "open",
        "created_at": "2026-03-01T09:00:00Z",
    }


def _message(account: str, thread: dict[str, str], number: str) -> dict[str, str]:
    return {
        "id": f"m-{thread['id']}-{number}",
        "account_id": account,
        "thread_id": thread["id"],
        "kind": "email",
        "direction": "inbound",
        "created_at": "2026-03-01T09:05:00Z",
        "body": "Is the blue one still there?",
    }


def _jsonl(records: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


if __name__ == "__main__":
    sys.exit(main())
