"""Migrations in processes of their own, which can be killed and paused."""

from __future__ import annotations

from multiprocessing.process import BaseProcess
from typing import NoReturn

from s3import.core.settings import Settings
from tests import forks
from tests.importing.dumps import ACCOUNT
from tests.importing.strikes import Moment, Strike, Transactions, nothing


def start(
    settings: Settings,
    account: str = ACCOUNT,
    *,
    k: int = 0,
    moment: Moment = Moment.COMMIT,
    strike: Strike = nothing,
) -> BaseProcess:
    """Migrate in a process that `strike` befalls at its transaction `k`; its exit code is that of the command."""
    child = forks.context.Process(target=_migrate, args=(settings, account, k, moment, strike))
    child.start()
    return child


def exit_code(child: BaseProcess, seconds: float = 120) -> int | None:
    """Wait for the end of a migration: its exit status, negative where a signal ended it."""
    child.join(seconds)
    return child.exitcode


def _migrate(settings: Settings, account: str, k: int, moment: Moment, strike: Strike) -> NoReturn:
    from s3import.console.exits import exit_status
    from tests.importing.moving import migrate

    with Transactions(k, moment, strike).watched():
        raise SystemExit(exit_status(migrate(settings, account)))
