"""Small passes, each imported in one transaction from its plan to its finish: all of it is in, or nothing."""

from __future__ import annotations

import gzip
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core import tables
from s3import.core.errors import SourceUnavailable
from s3import.core.events import Advanced, Event, PassEnded, PassStarted
from s3import.core.records import Entity, Pass
from s3import.core.settings import Settings
from s3import.importing import parts
from s3import.importing.parts import SMALL_REJECTS
from s3import.operations.composition import opened
from s3import.writers import load_new
from tests import commands as app
from tests.databases import on_sqlite
from tests.importing.children import exit_code, start
from tests.importing.dumps import Dump, lines, records, simple_dump, write
from tests.importing.moving import (
    code_of,
    counts,
    execute,
    ids,
    is_waiting,
    migrate,
    rows,
    settings_for,
    snapshot,
)
from tests.importing.strikes import Moment, Strike, Transactions, end_session, kill_process, nothing
from tests.server.processes.processes import wait_until

pytestmark = pytest.mark.integration

WHOLE = 1 << 20  # bytes of a batch that takes all of these dumps
COMMITS = 6  # the tables; two claims, the account.json, two passes
CLAIM = 2  # the number of the first claim among them


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_for(tmp_path, database_url, block_bytes=WHOLE)


def odd_dump(account: str) -> Dump:
    """Several parts of an entity, one of them empty, one packed, with rejects, text to be repaired and what is no part.

    All names have one length, so that nothing differs but the account's.
    """
    later = records(Entity.MESSAGES, 3, account, prefix="recent-")
    newer = [{**one, "id": f"late-{one['id']}", "body": "\0"} for one in later]
    orphan = {**later[0], "id": "orphan"}
    return {
        **simple_dump(5, account),
        "recent/threads/part-1.jsonl": b"",
        "recent/threads/README.txt": b"no part",
        "recent/messages/part-1.jsonl.gz": gzip.compress(lines([b"junk", *newer, b"", b'{"id":"half"']), mtime=0),
        "remaining/messages/part-1.jsonl": lines([{**orphan, "created_at": "never"}]),
    }


def put(folder: Path, account: str, changes: Dump | None = None) -> str:
    write({**odd_dump(account), **(changes or {})}, folder, account)
    return account


def commits(settings: Settings, account: str) -> int:
    """How many transactions the migration of the account commits."""
    with Transactions(0, Moment.COMMIT, nothing).watched() as transactions:
        assert code_of(migrate(settings, account)) is None
    return transactions.count


def events(settings: Settings, account: str) -> list[dict[str, object]]:
    """The account's diary."""
    with opened(settings) as operations:
        return list(operations.each_event(account))


def part_by_part(settings: Settings, folder: Path) -> dict[str, object]:
    """What the same dump leaves where no pass is small; made once for each kind of database."""
    kind = settings.database.partition(":")[0]
    if kind not in _PART_BY_PART:
        account = put(folder, "part-by-part")
        alone = replace(settings, block_bytes=700)
        assert commits(alone, account) > 2 * COMMITS
        _PART_BY_PART[kind] = snapshot(alone, account)
    return _PART_BY_PART[kind]


_PART_BY_PART: dict[str, dict[str, object]] = {}


def test_a_small_pass_is_one_transaction(settings: Settings, tmp_path: Path) -> None:
    """Besides its claim and, once, that of the account.json; what it leaves is what it leaves part by part."""
    account = put(tmp_path, "at-once-only")
    assert commits(settings, account) <= COMMITS
    assert snapshot(settings, account) == part_by_part(settings, tmp_path)


@on_sqlite
def test_what_is_told_of_a_small_pass_adds_up(settings: Settings, tmp_path: Path) -> None:
    """It starts, goes on and ends, in that order, and its events have all records once."""
    account, told = put(tmp_path, "at-once-told"), list[Event]()
    result = migrate(settings, account, passes=[Pass.RECENT], observe=told.append)
    assert (type(told[0]), type(told[-2])) == (PassStarted, PassEnded)
    advanced = [one for one in told if isinstance(one, Advanced)]
    read = {entity: sum(one.read for one in advanced if one.entity is entity) for entity in Entity}
    shown = result.document["passes"]["recent"]["counts"]
    assert read == {entity: shown.get(entity, {"read": 0})["read"] for entity in Entity}
    assert sum(one.parts for one in advanced) == 5
    diary = [one["event"] for one in events(settings, account)]
    assert diary == ["asked_for", "claimed", "finished"]


def test_small_passes_killed_before_any_commit_resume(settings: Settings, tmp_path: Path) -> None:
    """After kill -9 the same command leaves tables, counts and rejects as if nothing had happened."""
    _resumes_after_each_death(settings, tmp_path, Moment.COMMIT)


@on_sqlite
def test_small_passes_killed_after_any_commit_resume(settings: Settings, tmp_path: Path) -> None:
    """What was committed is there, whichever the database."""
    _resumes_after_each_death(settings, tmp_path, Moment.ANSWER)


def _resumes_after_each_death(settings: Settings, tmp_path: Path, moment: Moment) -> None:
    undisturbed = part_by_part(settings, tmp_path)
    for k in range(1, commits(settings, put(tmp_path, "counted-once")) + 1):
        account = put(tmp_path, f"killed-in-00{k}")
        died = start(settings, account, k=k, moment=moment, strike=kill_process)
        assert exit_code(died) == -signal.SIGKILL
        assert code_of(migrate(settings, account)) is None
        assert snapshot(settings, account) == undisturbed, f"killed {moment} of transaction {k}"


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
@pytest.mark.parametrize("moment", [Moment.COMMIT, Moment.ANSWER])
def test_a_connection_lost_in_a_small_pass_changes_nothing(
    request: pytest.FixtureRequest, server: str, tmp_path: Path, moment: Moment
) -> None:
    """Whether its commit went through or not, the run goes on to the same result, once."""
    url = request.getfixturevalue(server)
    settings = settings_for(tmp_path, url, block_bytes=WHOLE)
    undisturbed = part_by_part(settings, tmp_path)
    strike: Strike = end_session(url)
    for k in range(1, commits(settings, put(tmp_path, "counted-once")) + 1):
        account = put(tmp_path, f"loses-it-00{k}")
        with Transactions(k, moment, strike).watched():
            assert code_of(migrate(settings, account)) is None
        assert snapshot(settings, account) == undisturbed, f"lost {moment} of transaction {k}"
        assert [one["event"] for one in events(settings, account)].count("finished") == 2


@on_sqlite
@pytest.mark.parametrize(("limit", "code"), [("0", "too_many_rejects"), ("1", "too_many_rejects"), ("2", None)])
def test_a_limit_of_rejects_ends_a_small_pass(settings: Settings, tmp_path: Path, limit: str, code: str | None) -> None:
    """It ends as it does part by part, and its rejects are listed."""
    account = put(tmp_path, "with-a-limit")
    result = migrate(settings, account, max_rejects=limit)
    assert code_of(result) == code
    assert len(list(app.rejects(settings, account, (Pass.RECENT,)))) == 2


@on_sqlite
def test_a_small_pass_of_which_nothing_came_over_fails(settings: Settings, tmp_path: Path) -> None:
    """Its rejects stay listed, and the next attempt, once it is repaired, begins anew."""
    dump = simple_dump(2)
    write({key: body if "recent" not in key else b"junk\n" for key, body in dump.items()}, tmp_path)
    assert code_of(migrate(settings)) == "all_rejected"
    assert len(list(app.rejects(settings, "acme", (Pass.RECENT,)))) == 3
    write(dump, tmp_path)
    assert code_of(result := migrate(settings)) is None
    assert counts(result)["threads"] == (2, 0, 0)


def test_rows_that_are_there_are_met_as_ever(settings: Settings, tmp_path: Path) -> None:
    """A second pass that repeats what the first one brought finds it unchanged, or brings what is newer."""
    dump = simple_dump(3)
    newer = [{**one, "updated_at": "2024-07-01T00:00:00Z"} for one in records(Entity.THREADS, 1, prefix="recent-")]
    again = lines([*newer, *records(Entity.THREADS, 3, prefix="recent-")[1:]])
    write({**dump, "remaining/threads/part-1.jsonl": again}, tmp_path)
    assert counts(migrate(settings), Pass.REMAINING)["threads"] == (4, 2, 0)


def test_what_a_person_deleted_stays_deleted_in_a_small_pass(settings: Settings, tmp_path: Path) -> None:
    """Between the passes somebody deletes a thread: what the second one brings of it is rejected."""
    more = lines([{**one, "id": "late"} for one in records(Entity.MESSAGES, 1, prefix="recent-")])
    write({**simple_dump(3), "remaining/messages/part-1.jsonl": more}, tmp_path)
    assert code_of(migrate(settings, passes=[Pass.RECENT])) is None
    execute(settings, tables.threads.delete().where(tables.threads.c.id == "recent-t0"))
    result = migrate(settings, passes=[Pass.REMAINING])
    assert result.document["passes"]["remaining"]["rejects"]["by_code"] == {"deleted_in_target": 1}
    assert "late" not in ids(settings, tables.messages)


@on_sqlite
def test_what_is_packed_tightly_is_no_small_pass(settings: Settings, tmp_path: Path) -> None:
    """A small object whose text is many batches goes batch by batch, so that memory does not grow with it."""
    write(simple_dump(1), tmp_path)
    many = records(Entity.MESSAGES, 1, prefix="recent-")[0]
    text = lines([{**many, "id": f"m{number}", "body": "a" * 1000} for number in range(300)])
    write({"recent/messages/part-1.jsonl.gz": gzip.compress(text)}, tmp_path)
    tight = replace(settings, block_bytes=100_000)
    with Transactions(0, Moment.COMMIT, nothing).watched() as transactions:
        assert counts(migrate(tight))["messages"] == (301, 0, 0)
    assert transactions.count > COMMITS + 3


@on_sqlite
def test_many_rejects_make_no_small_pass(settings: Settings, tmp_path: Path) -> None:
    """However tightly they are packed, those of several parts are never in memory at once."""
    write(simple_dump(1), tmp_path)
    write({"recent/messages/part-1.jsonl.gz": gzip.compress(b"x\n" * (SMALL_REJECTS + 1))}, tmp_path)
    with Transactions(0, Moment.COMMIT, nothing).watched() as transactions:
        assert counts(migrate(settings))["messages"] == (1, 0, SMALL_REJECTS + 1)
    assert transactions.count > COMMITS


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_an_account_deleted_during_a_small_pass_is_gone(
    request: pytest.FixtureRequest, server: str, tmp_path: Path
) -> None:
    """Its deletion waits for the pass, whichever it is, and takes all of it along: neither ends the other."""
    settings = settings_for(tmp_path, request.getfixturevalue(server), block_bytes=WHOLE)
    last = commits(settings, put(tmp_path, "counted-once"))
    for k in (last - 2, last):  # the commits of the two passes
        account = put(tmp_path, f"deleted-in-{k}")
        deletion = tables.accounts.delete().where(tables.accounts.c.id == account)
        deleting = threading.Thread(target=execute, args=(settings, deletion))

        def strike(_: object, deleting: threading.Thread = deleting) -> None:
            deleting.start()
            wait_until(lambda: is_waiting(settings))

        with Transactions(k, Moment.COMMIT, strike).watched():
            migrate(settings, account)
        deleting.join()
        assert not any(rows(settings, account).values())
        with closing(app.connect(settings)) as database, database.read() as connection:
            there = sa.select(tables.accounts.c.id).where(tables.accounts.c.id == account)
            assert connection.scalar(there) is None


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_a_deletion_that_waits_for_a_small_pass_comes_through(
    request: pytest.FixtureRequest, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes the account before the pass has set its status: the two do not wait for each other."""
    settings = settings_for(tmp_path, request.getfixturevalue(server), block_bytes=WHOLE)
    account = put(tmp_path, "deleted-early")
    deletion = tables.accounts.delete().where(tables.accounts.c.id == account)
    with ThreadPoolExecutor(1) as person:
        deleting: list[Future[None]] = []

        def load_late(*arguments: Any) -> None:
            if not deleting:
                deleting.append(person.submit(execute, settings, deletion))
                wait_until(lambda: is_waiting(settings))
            load_new(*arguments)

        monkeypatch.setattr(parts, "load_new", load_late)
        migrate(settings, account)
        deleting[0].result()
    assert not any(rows(settings, account).values())


@on_sqlite
def test_a_source_that_does_not_answer_is_asked_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was tried for as long as it may be is not tried as long again part by part."""
    account, asked = put(tmp_path, "unanswered"), list[object]()

    def unavailable(*arguments: object, **_: object) -> Any:
        asked.append(arguments)
        raise SourceUnavailable("s3://dumps: 503 for 120 seconds")

    monkeypatch.setattr(parts, "read_checked", unavailable)
    assert code_of(migrate(settings, account)) == "source_unavailable"
    assert len(asked) == 1


def test_a_small_pass_that_was_cancelled_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    """Cancelled after its claim it ends before its rows are committed; asked for again, it comes in."""
    account = put(tmp_path, "cancelled-it")
    with Transactions(CLAIM, Moment.ANSWER, lambda _: app.cancel(settings, account)).watched():
        assert code_of(migrate(settings, account)) == "cancelled"
    assert not ids(settings, tables.threads, account)
    assert code_of(migrate(settings, account)) is None
