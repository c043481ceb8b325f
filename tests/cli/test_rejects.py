"""`s3import rejects`: which ones are listed, and how they are written down to be mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import ACCOUNT, Dump, json_lines, message, migrate, s3import, thread

pytestmark = pytest.mark.integration


@pytest.fixture
def listing(dump: Dump, sqlite_url: str) -> list[str]:
    """The words that list the rejects of an account: two threads, one of them without an id, and two messages."""
    dump.put("recent/threads/b.jsonl", json_lines(thread(8, status="lost"), thread(9, id=None)))
    dump.put("recent/messages/b.jsonl", json_lines(message(8, thread_id="t8"), message(9, kind="pigeon", body=7)))
    assert migrate(dump, sqlite_url).status == 3
    return ["rejects", "--account", ACCOUNT, "--database", sqlite_url]


def lines_of(listing: list[str], *words: str) -> list[str]:
    """The entity and line of what is listed."""
    return [f"{one['entity']} {one['line']}" for one in s3import(*listing, "--json", *words).lines]


def test_lists_those_that_have_a_code(listing: list[str]) -> None:
    """Also where it is not their only one."""
    assert lines_of(listing, "--code", "invalid_value") == ["threads 1", "messages 2"]
    assert lines_of(listing, "--code", "wrong_type") == ["messages 2"]
    assert lines_of(listing, "--code", "too_long") == []


def test_lists_those_of_an_entity(listing: list[str]) -> None:
    assert lines_of(listing, "--entity", "messages") == ["messages 1", "messages 2"]
    assert lines_of(listing, "--entity", "messages", "--code", "unknown_thread") == ["messages 1"]


def test_lists_the_first_so_many(listing: list[str]) -> None:
    """And says how many it has listed."""
    assert lines_of(listing, "--limit", "3") == ["threads 1", "threads 2", "messages 1"]
    said = s3import(*listing, "--limit", "3").err
    assert said.startswith("s3import: account acme: 3 rejects in sqlite:///")
    assert said.endswith("--again` brings them in; --as-dump DIR writes them down to be mended one by one\n")


@pytest.mark.parametrize("wrong", [["--code", "nonsense"], ["--entity", "brands"], ["--limit", "0"]])
def test_refuses_what_there_is_not(listing: list[str], wrong: list[str]) -> None:
    """A word that is mistyped lists nothing by mistake."""
    assert s3import(*listing, *wrong).status == 2


def test_writes_them_down_to_be_mended_and_says_what_comes_next(
    listing: list[str], sqlite_url: str, tmp_path: Path
) -> None:
    """The command that it names imports what was mended; what it brought in is listed no more, and the status and the
    diary tell it."""
    out = tmp_path / "to mend"
    said = s3import(*listing, "--as-dump", str(out))
    *_, last = said.out.splitlines()
    assert (said.status, said.err) == (0, "")
    assert said.out == (
        f"account acme: rejects written below {out}: 2 threads, 2 messages\n"
        "  1 without an id that could be read: these stay listed, mended or not\n"
        "  what is wrong with line N of delta/ENTITY/rejects.jsonl: line N of reasons/ENTITY.jsonl\n"
        f"  once they are mended: s3import migrate --account acme --pass delta --source '{out}'\n"
    )
    for part, records in {"threads": [thread(8), thread(9)], "messages": [message(8), message(9)]}.items():
        (out / "delta" / part / "rejects.jsonl").write_bytes(json_lines(*records))
    words = ["--account", ACCOUNT, "--database", sqlite_url]
    assert last.endswith(f"s3import migrate --account acme --pass delta --source '{out}'")
    assert s3import("migrate", "--pass", "delta", "--source", str(out), *words).status == 0
    assert lines_of(listing) == ["threads 2"]
    shown = s3import("status", *words).out
    assert "account acme: active; 1 record rejected\n" in shown
    assert "; 3 resolved by a delta since\n" in shown
    assert "\tdelta\tresolved (attempt 1)\t" in s3import("history", *words).out.splitlines()[-1]


def test_writes_one_document_where_it_is_asked_for(listing: list[str], tmp_path: Path) -> None:
    """For whoever mends by a program."""
    assert s3import(*listing, "--json", "--limit", "3", "--as-dump", str(tmp_path / "out")).document == {
        "account_id": ACCOUNT,
        "folder": str(tmp_path / "out"),
        "written": {"threads": 2, "messages": 1},
        "without_id": 1,
        "not_written": {},
    }


def test_does_not_write_over_what_is_being_mended(listing: list[str], tmp_path: Path) -> None:
    """The same command again is a mistake."""
    assert s3import(*listing, "--as-dump", str(tmp_path / "out")).status == 0
    again = s3import(*listing, "--as-dump", str(tmp_path / "out"))
    assert (again.status, "has delta already; name another folder" in again.err) == (2, True)


def test_says_that_there_is_nothing_to_mend(dump: Dump, sqlite_url: str, tmp_path: Path) -> None:
    """Where all records came in."""
    migrate(dump, sqlite_url)
    words = ["--account", ACCOUNT, "--database", sqlite_url, "--as-dump", str(tmp_path / "out")]
    assert s3import("rejects", *words).out.splitlines() == [
        f"account acme: rejects written below {tmp_path / 'out'}: nothing to mend"
    ]
