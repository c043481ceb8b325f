"""Runs the demo: about ten seconds, nothing left behind, exit 0 when the import did what it should."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from demo.servers import postgres, psql, s3_endpoint
from fixtures.make import ACCOUNT, DUMP

BUCKET = "demo-dumps"
PROGRAM = Path(sys.executable).with_name("s3import")
SOME_REJECTED = 3
QUERY = r"""
    SELECT m.origin, count(*) AS messages, count(DISTINCT m.thread_id) AS threads,
           to_char(max(m.created_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD HH24:MI') AS newest,
           min(replace(left(m.body, 44), E'\n', ' ')) AS one_of_them
    FROM messages m WHERE m.account_id = 'tidewater' GROUP BY m.origin ORDER BY messages DESC
"""


def main() -> int:
    """Tell the whole story. Returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as servers:
            _say("A small S3 endpoint and a PostgreSQL start on loopback, for this demo only.")
            endpoint = servers.enter_context(s3_endpoint())
            database = servers.enter_context(postgres())
            return _story(endpoint, database)
    except KeyboardInterrupt:
        print("\ninterrupted; servers stopped, folders removed", file=sys.stderr)
        return 130


def _story(endpoint: str, database: str) -> int:
    environment = environment_with(endpoint, database)
    _say(f"The dump of the account `{ACCOUNT}` goes into the bucket: {upload(environment)} objects.")
    _say("One command imports both passes. Some records of this dump are wrong on purpose.")
    status = _run("migrate", "--account", ACCOUNT, environment=environment)
    if status != SOME_REJECTED:
        print(f"\nThe import ended with exit {status}, expected {SOME_REJECTED} (done, some records rejected).")
        return 1
    print(f"exit {status}: done, some records rejected")
    _say("Where the account stands:")
    failed = _run("status", "--account", ACCOUNT, environment=environment)
    _say("What was not imported, and why:")
    failed |= _run("rejects", "--account", ACCOUNT, environment=environment)
    _say("What Re:amaze has now:")
    failed |= subprocess.run([psql(), database, "--pset=pager=off", "-c", QUERY], check=False).returncode
    _say("The same command again has nothing to do:")
    failed |= _run("migrate", "--account", ACCOUNT, environment=environment)
    _say("Done. The servers stop and their folders go.")
    return 1 if failed else 0


def environment_with(endpoint: str, database: str) -> dict[str, str]:
    """This process's environment, with the demo's settings instead of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3IMPORT_", "PG"))}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "us-east-1",
        "S3IMPORT_SOURCE": f"s3://{BUCKET}/{{account}}",
        "S3IMPORT_DATABASE": database,
    }


def upload(environment: dict[str, str]) -> int:
    """Put the fixtures' dump into the bucket; the number of its objects."""
    s3 = client(environment)
    s3.create_bucket(Bucket=BUCKET)
    files = [path for path in sorted(DUMP.rglob("*")) if path.is_file()]
    for path in files:
        s3.put_object(Bucket=BUCKET, Key=path.relative_to(DUMP).as_posix(), Body=path.read_bytes())
    return len(files)


def client(environment: dict[str, str]) -> Any:
    """A client of the endpoint."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def _run(*arguments: str, environment: dict[str, str]) -> int:
    print(f"$ {shlex.join(('s3import', *arguments))}", flush=True)
    return subprocess.run([PROGRAM, *arguments], env=environment, check=False).returncode


def _say(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
