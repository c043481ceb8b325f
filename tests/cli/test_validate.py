"""`s3import validate`: what it prints, and its exit statuses."""

from __future__ import annotations

import pytest

from tests.cli.commands import Dump, s3import

pytestmark = pytest.mark.integration


def test_says_of_a_right_dump_that_it_is_right(dump: Dump) -> None:
    """Exit status 0, without any setting."""
    dump.fill()
    ended = s3import("validate", str(dump.root / "acme"))
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == (
        "account acme: the dump is right\n"
        f"  source {dump.root}/acme\n"
        "  recent: 2 parts by the listing, as there is no manifest\n"
        "    threads: 1 read, 1 accepted\n"
        "    messages: 2 read, 2 accepted\n"
        "  remaining: 2 parts by the listing, as there is no manifest\n"
        "    threads: 1 read, 1 accepted\n"
        "    messages: 1 read, 1 accepted\n"
    )


def test_shows_rejects(dump: Dump) -> None:
    """Exit status 3, each code with its number, and each record with its place and reasons."""
    dump.fill(bad=1)
    dump.put("recent/messages/b.jsonl", b'{"id":\n')
    ended = s3import("validate", dump.source, "--account", "acme")
    assert ended.status == 3
    assert "account acme: 2 records would be rejected\n" in ended.out
    assert "    rejects: invalid_json 1, invalid_value 1\n" in ended.out
    assert "      recent/threads/a.jsonl:2  t100  invalid_value (status): must be one of open" in ended.out


def test_prints_json(dump: Dump) -> None:
    """One document, with the exit status of what it says."""
    dump.fill(bad=1)
    ended = s3import("validate", dump.source, "--account", "acme", "--json")
    assert ended.status == 3
    assert ended.document["passes"]["recent"]["rejects"] == {"total": 1, "by_code": {"invalid_value": 1}}


def test_tells_what_cannot_be_imported_as_a_whole(dump: Dump) -> None:
    """Exit status 1, where a part cannot be read or there is no dump at all."""
    dump.fill()
    dump.put("recent/threads/b.jsonl.zst", b"no zstd")
    ended = s3import("validate", dump.source, "--account", "acme")
    assert ended.status == 1
    assert "the dump cannot be imported as a whole" in ended.out
    assert "part_unreadable: " in ended.out
    assert s3import("validate", str(dump.root / "nobody"), "--account", "nobody").status == 1


def test_needs_to_know_the_account(dump: Dump) -> None:
    """Exit status 2, where neither the command nor the dump says whose it is."""
    dump.put("recent/messages/a.jsonl", b"", "nobody")
    ended = s3import("validate", str(dump.root / "nobody"))
    assert (ended.status, ended.out) == (2, "")
    assert "give --account ID [configuration]" in ended.err
