"""What commands print: to the letter."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tests.cli.commands import ACCOUNT, Dump, Ended, json_lines, message, migrate, s3import, thread

pytestmark = pytest.mark.integration

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
SECRET = "the customer's own words"


def timeless(text: str) -> str:
    """A summary without its durations, and without the folder of the test."""
    return re.sub(r"(?<= )(sqlite:///)?/\S+/", "", re.sub(r"\d+\.\d s", "_ s", text))


@pytest.fixture
def odd(dump: Dump) -> Dump:
    """The dump with something of everything in its recent pass."""
    records = [
        b'{"id": "x", "body": "' + SECRET.encode() + b'",}\n',
        message(5, body=f"{SECRET}\0", mood="sunny"),
        message(6, thread_id="nowhere", body=SECRET),
        message(7, kind="fax", direction="up", created_at="yesterday", body=SECRET),
        message(0, body="again"),
        b"[1]\r\n",
    ]
    dump.put("recent/messages/b.jsonl", b"\n" + json_lines(*records))
    dump.put("recent/notes.txt", b"what is this?")
    return dump


def test_shows_what_was_imported(dump: Dump, sqlite_url: str) -> None:
    """The summary of an account without any trouble is short, and says that the account is active."""
    ended = migrate(dump, sqlite_url)
    assert (ended.status, ended.err) == (0, "")
    assert timeless(ended.out) == (
        "account acme: active\n"
        "  database test.db\n"
        "  source acme\n"
        "  recent: succeeded, 2 of 2 parts, _ s\n"
        "                       read    written  unchanged   rejected  sanitised\n"
        "    threads               1          1          0          0          0\n"
        "    messages              2          2          0          0          0\n"
        "  remaining: succeeded, 2 of 2 parts, _ s\n"
        "                       read    written  unchanged   rejected  sanitised\n"
        "    threads               1          1          0          0          0\n"
        "    messages              1          1          0          0          0\n"
    )


def test_shows_what_was_not_imported(odd: Dump, sqlite_url: str) -> None:
    """The summary names rejects by code, ignored fields and skipped objects, and says where to look."""
    ended = migrate(odd, sqlite_url, "--pass", "recent")
    assert (ended.status, ended.err) == (3, "")
    assert timeless(ended.out) == (
        "account acme: active-recent-only; 4 records rejected\n"
        "  database test.db\n"
        "  source acme\n"
        "  recent: succeeded, 3 of 3 parts, _ s\n"
        "                       read    written  unchanged   rejected  sanitised\n"
        "    threads               1          1          0          0          0\n"
        "    messages              8          3          1          4          1\n"
        "    rejects: invalid_json 1, invalid_timestamp 1, invalid_value 1, not_an_object 1, unknown_thread 1\n"
        "    ignored fields: messages.mood\n"
        "    skipped objects: notes.txt\n"
        "  remaining: not started\n"
        "  every reject with its reasons: s3import rejects --account acme\n"
        "  once the dump is repaired: s3import migrate --account acme --again\n"
    )


def test_says_that_nothing_was_left_to_do(dump: Dump, sqlite_url: str) -> None:
    """The same command again ends well at once, rejects of the first time or not, and says why."""
    dump.fill(bad=1)
    assert migrate(dump, sqlite_url).status == 3
    again = migrate(dump, sqlite_url)
    assert again.status == 0
    assert again.out.startswith("account acme: active; 1 record rejected\n")
    assert "  nothing to do: what was asked for had been imported before; with --again" in again.out


def test_shows_a_dry_run(odd: Dump, bare_sqlite_url: str) -> None:
    """A dry run counts what it can know without a database, creates none, and says what it is."""
    ended = migrate(odd, bare_sqlite_url, "--dry-run", "--pass", "recent")
    assert ended.status == 3
    assert ended.out.startswith("account acme: dry run, nothing was written; 3 records rejected\n  database ")
    assert "\n  recent: checked\n" in ended.out
    assert "messages              8          3          1\n" in ended.out
    assert s3import("status", "--account", ACCOUNT, "--database", bare_sqlite_url).status == 1


def test_shows_how_far_a_dry_run_came(dump: Dump, sqlite_url: str) -> None:
    """A dry run that ends early keeps what it found, and names what ended it."""
    dump.put("remaining/messages/b.jsonl.gz").write_bytes(b"no gzip at all")
    ended = migrate(dump, sqlite_url, "--dry-run", "--json")
    assert ended.status == 1
    assert ended.document["passes"]["recent"]["counts"]["threads"]["read"] == 1
    assert ended.document["passes"]["remaining"]["error"]["code"] == "part_unreadable"
    assert ended.document["error"]["code"] == "part_unreadable"


def test_counts_the_accounts(dump: Dump, sqlite_url: str) -> None:
    """Several accounts take a line each; one that fails is no trouble for the others; the last line counts them."""
    dump.fill("zeta", bad=1)
    ended = migrate(dump, sqlite_url, "--account", "lost", "--account", "zeta", "--account", "acme")
    assert ended.status == 1
    assert timeless(ended.out).startswith(
        "account acme: active; 5 read, 5 written\n"
        "account lost: failed [dump_not_found]\n"
        "account zeta: active; 6 read, 5 written, 1 rejected\n"
        "  database test.db\n"
        "  source {account}\n"
        "3 accounts: 1 done, 1 failed, 1 done with rejects\n"
        "of rejects: `s3import rejects --account ID` lists them with their reasons; once the dump is repaired (or what "
        "it lacks is created), `s3import migrate --account ID --again` brings them in\n"
    )
    assert ended.err.count("\n") == 1
    assert "lost" in ended.err


def test_gives_a_document_for_each_account(dump: Dump, sqlite_url: str) -> None:
    """With --json several accounts are one document, and one that failed says why."""
    ended = migrate(dump, sqlite_url, "--account", "lost", "--json")
    acme, lost = ended.document["accounts"]
    assert acme["account_status"] == "active"
    assert (lost["account_status"], lost["error"]["code"]) == (None, "dump_not_found")


def test_rejects_have_the_shape_of_the_contract(odd: Dump, sqlite_url: str) -> None:
    """A line of `rejects --json` holds what the contract says, in its order."""
    migrate(odd, sqlite_url)
    first, orphan, faulty, listed = s3import("rejects", "--account", ACCOUNT, "--database", sqlite_url, "--json").lines
    assert list(first) == ["pass", "entity", "part", "line", "id", "reasons", "raw", "raw_truncated"]
    assert [each["line"] for each in (first, orphan, faulty, listed)] == [2, 4, 5, 7]
    assert orphan == {
        "pass": "recent",
        "entity": "messages",
        "part": "messages/b.jsonl",
        "line": 4,
        "id": "m6",
        "reasons": [
            {"code": "unknown_thread", "field": "thread_id", "message": "there is no thread of this id in the account"}
        ],
        "raw": json_lines(message(6, thread_id="nowhere", body=SECRET)).decode().rstrip("\n"),
        "raw_truncated": False,
    }
    assert {(reason["code"], reason["field"]) for reason in faulty["reasons"]} == {
        ("invalid_value", "kind"),
        ("invalid_value", "direction"),
        ("invalid_timestamp", "created_at"),
    }
    assert (listed["id"], listed["raw"], listed["reasons"][0]["field"]) == (None, "[1]", None)


def test_rejects_of_one_pass_only(dump: Dump, sqlite_url: str) -> None:
    """`--pass` leaves out what the other pass rejected."""
    dump.fill(bad=2)
    dump.put("remaining/threads/b.jsonl", json_lines(thread(9, brand_id="gone")))
    migrate(dump, sqlite_url)
    listing = ["rejects", "--account", ACCOUNT, "--database", sqlite_url]
    assert s3import(*listing, "--pass", "remaining").out == (
        "remaining/threads/b.jsonl:1\tt9\tunknown_brand (brand_id): there is no brand of this id in the account\n"
    )
    assert len(s3import(*listing).out.splitlines()) == 3


def test_shows_no_bodies(odd: Dump, sqlite_url: str) -> None:
    """What customers wrote is printed by `rejects --json` alone."""
    asked = ["--account", ACCOUNT, "--database", sqlite_url]
    shown = [
        migrate(odd, sqlite_url, "--dry-run", "--json", S3IMPORT_DEBUG="1"),
        migrate(odd, sqlite_url, "--max-rejects", "1", S3IMPORT_DEBUG="1"),
        migrate(odd, sqlite_url, "--json", S3IMPORT_DEBUG="1"),
        s3import("rejects", *asked),
        s3import("status", *asked, "--json"),
    ]
    assert not any(SECRET in ended.out + ended.err for ended in shown)
    assert SECRET in s3import("rejects", *asked, "--json").out


# --- the status document ----------------------------------------------------------------------------------------------


def _status(database_url: str) -> Ended:
    return s3import("status", "--account", ACCOUNT, "--database", database_url, "--json")


def test_status_has_the_shape_of_the_contract(odd: Dump, database_url: str) -> None:
    """`status --json` is the contract's document, on every database; `migrate --json` prints the same."""
    migrated = migrate(odd, database_url, "--pass", "recent", "--json")
    document = _status(database_url).document
    assert migrated.document == document
    assert list(document) == ["account_id", "account_status", "passes"]
    assert (document["account_id"], document["account_status"]) == (ACCOUNT, "active-recent-only")
    assert list(document["passes"]) == ["recent", "remaining"]
    assert document["passes"]["remaining"] is None
    recent: dict[str, Any] = document["passes"]["recent"]
    started, finished = (datetime.fromisoformat(recent[f"{what}_at"]) for what in ("started", "finished"))
    assert all(RFC3339.fullmatch(recent[f"{what}_at"]) for what in ("requested", "started", "finished"))
    assert datetime.fromisoformat(recent["requested_at"]) <= started <= finished <= datetime.now(UTC)
    parts = {entity: (odd.root / ACCOUNT / "recent" / entity).glob("*") for entity in ("threads", "messages")}
    sizes = {entity: sum(path.stat().st_size for path in paths) for entity, paths in parts.items()}
    size = sum(sizes.values())
    assert isinstance(recent.pop("run_id"), str)
    estimate = recent.pop("estimate")
    assert 0 < estimate["low"] < estimate["expected"] < estimate["high"]
    assert {name: value for name, value in recent.items() if not name.endswith("_at")} == {
        "state": "succeeded",
        "source": f"{odd.root}/{ACCOUNT}",
        "attempts": 1,
        "progress": {
            "parts_total": 3,
            "parts_done": 3,
            "bytes_total": size,
            "bytes_done": size,
            "fraction": 1.0,
            "rows_per_second": None,
            "eta_seconds": None,
            "stage": None,
            "stages": [
                {"name": entity, "state": "done", "done": bytes_, "total": bytes_, "unit": "bytes"}
                for entity, bytes_ in sizes.items()
            ],
            "last_sign_of_life_at": recent["finished_at"],
        },
        "counts": {
            "threads": {"read": 1, "written": 1, "unchanged": 0, "rejected": 0, "sanitised": 0},
            "messages": {"read": 8, "written": 3, "unchanged": 1, "rejected": 4, "sanitised": 1},
            "attachments": {"read": 0, "written": 0, "unchanged": 0, "rejected": 0, "sanitised": 0},
        },
        "files": {"total": 0, "copied": 0, "failed": 0, "bytes": 0},
        "rejects": {
            "total": 4,
            "by_code": {
                "invalid_json": 1,
                "invalid_timestamp": 1,
                "invalid_value": 1,
                "not_an_object": 1,
                "unknown_thread": 1,
            },
        },
        "ignored_fields": ["messages.mood"],
        "skipped_objects": ["notes.txt"],
        "keys": "sets" if database_url.startswith("postgres") else "rows",
        "error": None,
    }


def test_status_tells_why_a_run_failed(dump: Dump, sqlite_url: str) -> None:
    """A failed run keeps its counts and its error, and a second attempt is counted and forgets it."""
    damaged = dump.put("recent/messages/b.jsonl.gz", json_lines(message(9)))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert migrate(dump, sqlite_url).status == 1
    failed = _status(sqlite_url).document
    assert failed["account_status"] == "migrating"
    assert failed["passes"]["recent"]["state"] == "failed"
    assert failed["passes"]["recent"]["error"]["code"] == "part_unreadable"
    assert "messages/b.jsonl.gz" in failed["passes"]["recent"]["error"]["message"]
    dump.put("recent/messages/b.jsonl.gz", json_lines(message(9)))
    assert migrate(dump, sqlite_url).status == 0
    recent = _status(sqlite_url).document["passes"]["recent"]
    assert (recent["run_id"], recent["attempts"], recent["error"]) == (failed["passes"]["recent"]["run_id"], 2, None)


def test_leaves_no_trace_of_an_account_that_never_was(dump: Dump, sqlite_url: str) -> None:
    """A dump that is not there makes no account and no run: the status knows neither."""
    assert migrate(dump, sqlite_url, account="nobody").status == 1
    ended = s3import("status", "--account", "nobody", "--database", sqlite_url, "--json")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.endswith("[account_not_found]\n")


def test_watches_until_nothing_is_at_work(dump: Dump, sqlite_url: str) -> None:
    """`--watch` of an account at rest shows it once and ends."""
    migrate(dump, sqlite_url)
    ended = s3import("status", "--account", ACCOUNT, "--database", sqlite_url, "--watch", "--json")
    assert (ended.status, len(ended.lines)) == (0, 1)


def test_a_reject_is_one_line_for_every_reader(dump: Dump, sqlite_url: str) -> None:
    """A reject stays one line, also for readers that end lines at U+0085 or U+2028, and says what it said."""
    subject = "a\x85b\u2028c\u2029d\r\ne"
    dump.put("recent/threads/b.jsonl", json_lines(thread(9, status="lost", subject=subject)))
    migrate(dump, sqlite_url)
    (line,) = s3import("rejects", "--account", ACCOUNT, "--database", sqlite_url, "--json").lines
    assert orjson.loads(line["raw"])["subject"] == subject
