"""Stopped at transaction k, however it comes about, and run again: the result is that of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.importing.children import exit_code, start
from tests.importing.dumps import seeded_dump, write
from tests.importing.moving import code_of, migrate, settings_for, snapshot
from tests.importing.strikes import Moment, Strike, Transactions, end_session, kill_process, nothing

pytestmark = pytest.mark.integration

SEED = 11
SAMPLE = int(os.environ.get("S3IMPORT_TEST_ROUNDS", "1"))


class Trial:
    """The same dump for account after account in one database, and what an undisturbed run makes of it.

    That one counts the transactions, too, once for each kind of database.
    """

    _seen: ClassVar[dict[tuple[str, Moment], tuple[int, dict[str, Any]]]] = {}

    def __init__(self, folder: Path, database_url: str, moment: Moment) -> None:
        self.settings = settings_for(folder, database_url, block_bytes=1200)
        self.moment = moment
        self._folder = folder
        key = database_url.partition(":")[0], Moment.WITHIN if moment is Moment.WITHIN else Moment.COMMIT
        if key not in self._seen:
            with Transactions(0, moment, nothing).watched() as transactions:
                migrate(self.settings, self.account(0))
            self._seen[key] = transactions.count, snapshot(self.settings, self.account(0))
        self.count, self.undisturbed = self._seen[key]
        assert self.count > SAMPLE, "there is nothing to strike at"

    def account(self, number: int) -> str:
        """A fresh account with a dump. All names have one length, so that batches are cut alike."""
        name = f"account-{number:03}"
        write(seeded_dump(SEED, name), self._folder, name)
        return name

    def killed(self, k: int) -> dict[str, Any]:
        """What the next run makes of an account whose first run was killed at its transaction `k`."""
        account = self.account(k)
        died = start(self.settings, account, k=k, moment=self.moment, strike=kill_process)
        assert exit_code(died) == -signal.SIGKILL
        assert code_of(migrate(self.settings, account)) is None
        return snapshot(self.settings, account)

    def struck(self, k: int, strike: Strike) -> dict[str, Any]:
        """What one run makes of an account when `strike` befalls its transaction `k`."""
        account = self.account(k)
        with Transactions(k, self.moment, strike).watched():
            assert code_of(migrate(self.settings, account)) is None
        return snapshot(self.settings, account)

    def sample(self) -> list[int]:
        """Some numbers of transactions, drawn by seed."""
        return random.Random(f"{SEED} {self.moment}").sample(range(1, self.count + 1), min(SAMPLE, self.count))


@pytest.mark.parametrize("moment", [Moment.WITHIN, Moment.COMMIT])
def test_a_killed_run_resumes_to_the_same_result(database_url: str, tmp_path: Path, moment: Moment) -> None:
    """After kill -9 in some transaction, tables, counts and rejects end up as if nothing had happened."""
    trial = Trial(tmp_path, database_url, moment)
    for k in trial.sample():
        assert trial.killed(k) == trial.undisturbed, f"killed {moment} in transaction {k}"


@pytest.mark.parametrize("share", range(2))
def test_a_run_killed_after_any_transaction_resumes_to_the_same_result(
    sqlite_url: str, tmp_path: Path, share: int
) -> None:
    """Every transaction there is, from the claim to the end of the second pass."""
    trial = Trial(tmp_path, sqlite_url, Moment.ANSWER)
    for k in range(1 + share, trial.count + 1, 2):
        assert trial.killed(k) == trial.undisturbed, f"killed after transaction {k}"


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
@pytest.mark.parametrize("moment", Moment)
def test_a_lost_connection_changes_nothing(
    request: pytest.FixtureRequest, server: str, tmp_path: Path, moment: Moment
) -> None:
    """The server ends a session, before or after it carries out a COMMIT: the run goes on to the same result."""
    database_url = request.getfixturevalue(server)
    trial = Trial(tmp_path, database_url, moment)
    for k in trial.sample():
        assert trial.struck(k, end_session(database_url)) == trial.undisturbed, f"lost {moment} in transaction {k}"
