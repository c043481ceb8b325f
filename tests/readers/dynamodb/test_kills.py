"""Imports of items that are killed and run again: the result is that of an undisturbed run."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest

from s3import.core.records import HALVES, Pass
from s3import.core.settings import Settings
from tests import forks
from tests.importing.children import exit_code
from tests.importing.moving import code_of, migrate, snapshot
from tests.importing.strikes import Moment, Transactions, kill_process, nothing
from tests.readers.dynamodb.exports import write_export
from tests.readers.dynamodb.items import MAPPING, attachment, message, thread
from tests.readers.dynamodb.served import Served
from tests.readers.dynamodb.test_changes import change, key, window
from tests.readers.dynamodb.test_migration import ACCOUNT, OLD_MILLISECONDS, OLD_TEXT

pytestmark = pytest.mark.integration

ACCOUNTS = ("acme-0", "acme-1", "acme-2")  # names of one length, so that batches are cut alike
MOMENTS = dict(zip(ACCOUNTS[1:], (Moment.COMMIT, Moment.ANSWER), strict=True))
BETWEEN = dt.datetime(2023, 1, 1, tzinfo=dt.UTC)  # what is recent begins between the old items and the others


@dataclass
class Trial:
    """The same items of three accounts, in a source of which the first account is imported undisturbed."""

    settings: Settings
    passes: Sequence[Pass] = HALVES

    def run(self) -> None:
        """Kill the other accounts' imports, each at a transaction of its own, run them again, and compare."""
        with Transactions(0, Moment.COMMIT, nothing).watched() as transactions:
            assert code_of(migrate(self.settings, ACCOUNTS[0], passes=self.passes)) is None
        undisturbed = self.seen(ACCOUNTS[0])
        for account, moment in MOMENTS.items():
            k = random.Random(account).randint(3, transactions.count - 1)
            environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
            given = (self.settings, account, self.passes, k, moment, environment)
            child = forks.context.Process(target=_die, args=given)
            child.start()
            assert exit_code(child) == -signal.SIGKILL
            assert code_of(migrate(self.settings, account, passes=self.passes)) is None
            assert self.seen(account) == undisturbed

    def seen(self, account: str) -> dict[str, Any]:
        """All that can be seen of an account, but not where the rejects lie: others' items are between its own."""
        found = snapshot(self.settings, account)
        rejects = [(one["pass"], one["entity"], one["id"], one["reasons"]) for one in found["rejects"]]
        return {**found, "rejects": sorted(rejects, key=repr)}


def _die(
    settings: Settings, account: str, passes: Sequence[Pass], k: int, moment: Moment, environment: Mapping[str, str]
) -> NoReturn:
    os.environ.update(environment)
    with Transactions(k, moment, kill_process).watched():
        migrate(settings, account, passes=passes)
    raise SystemExit(0)


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Small batches, a mapping, and account.json of each account; kills on every database: tests/importing."""
    for account in ACCOUNTS:
        (tmp_path / account).mkdir()
        (tmp_path / account / "account.json").write_bytes(orjson.dumps({**ACCOUNT, "id": account}))
    path = tmp_path / "mapping.toml"
    path.write_text(f'beside = "{tmp_path}/{{account}}"\n{MAPPING}')
    return Settings(
        source=f"{tmp_path}/exports",
        database=request.getfixturevalue(request.param),
        mapping=str(path),
        workers=1,
        block_bytes=700,
        recent_days=float((dt.datetime.now(dt.UTC) - BETWEEN).days),
        lease_seconds=0.0,
        heartbeat_seconds=3600.0,
    )


def items() -> dict[str, list[dict[str, Any]]]:
    """Items of all accounts in turn, old ones and recent ones, and one reject of each account."""
    found: dict[str, list[dict[str, Any]]] = {"threads": [], "messages": [], "attachments": []}
    for number in range(12):
        for account in ACCOUNTS:
            old = {"created": OLD_MILLISECONDS} if number % 2 else {}
            found["messages"].append(message(number, account, thread=f"t{number % 4}", body=f"body {number}", **old))
            if number < 4:
                found["threads"].append(thread(number, account, **({"created": OLD_TEXT} if number else {})))
                found["attachments"].append(attachment(number, account, message=f"m{number or 99}"))
    return found


def write(root: Path) -> None:
    for table, known in items().items():
        write_export(root, table, [known[::2], known[1::2]])


@pytest.mark.parametrize("settings", ["sqlite_url"], indirect=True)
def test_an_export_after_a_kill(settings: Settings, tmp_path: Path) -> None:
    """After kill -9 in the middle of an export the same command gives what an undisturbed one does."""
    write(tmp_path / "exports")
    Trial(settings).run()


@pytest.mark.parametrize(("settings", "served"), [("sqlite_url", "moto"), ("postgres_url", "dynalite")], indirect=True)
def test_tables_after_a_kill(settings: Settings, served: Served, tmp_path: Path) -> None:
    """The same of tables, which are gone on with at the last key that was evaluated."""
    path = tmp_path / "mapping.toml"
    path.write_text(served.mapping_text(path.read_text()))
    for table, known in items().items():
        for item in known:
            id_ = {"id": {"S": f"{item['id']['S']} {item['account']['S']}"}} if table == "attachments" else {}
            served.put(table, {**item, **id_})
    Trial(replace(settings, source="dynamodb:")).run()


@pytest.mark.parametrize("settings", ["postgres_url"], indirect=True)
def test_a_delta_after_a_kill(settings: Settings, tmp_path: Path) -> None:
    """The same of a delta of several windows, with deletions."""
    write(tmp_path / "exports")
    for account in ACCOUNTS:
        assert code_of(migrate(settings, account)) is None
    for since in (0, 3):
        changes = [
            change(since + 1 + number / 99, message(number + since, account, body=f"window {since}"))
            for number in range(5)
            for account in ACCOUNTS
        ]
        gone = [change(since + 2, None, key(9 + since // 3, account)) for account in ACCOUNTS]
        window(tmp_path / "exports", "messages", (since, since + 3), *changes, *gone)
    Trial(settings, (Pass.DELTA,)).run()
