"""Who watches an account that nobody works on is told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core.tables import import_runs
from s3import.status import State
from tests import commands as app
from tests.cli.commands import running
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import execute
from tests.server.workers.conftest import prepared
from tests.server.workers.fleets import ask, fleet, let_time_pass

pytestmark = pytest.mark.integration


def test_whoever_watches_is_told_that_nobody_is_at_work(tmp_path: Path, sqlite_url: str) -> None:
    """Once, beside what is shown, and the watching goes on."""
    settings = prepared(tmp_path, sqlite_url)
    ask(settings)
    words = ["--account", ACCOUNT, "--database", sqlite_url, "--watch", "--json"]
    with running("status", *words) as watching:
        said = watching.err.readline()
        assert watching.process.is_alive()
    assert said.startswith(b"nobody is at work: start `s3import serve`")


def test_a_queued_run_is_alone_until_somebody_works(tmp_path: Path, database_url: str) -> None:
    """An offer that nobody takes is no sign of life; a worker of any account is; so is a wait that was planned."""
    settings = prepared(tmp_path, database_url)
    with fleet(settings) as workers:
        ask(settings)
        seen = [app.is_left_alone(settings, ACCOUNT)]
        workers.sweep()
        seen.append(app.is_left_alone(settings, ACCOUNT))
        workers.deliver()
        seen.append(app.is_left_alone(settings, ACCOUNT))
        let_time_pass(settings)
        seen.append(app.is_left_alone(settings, ACCOUNT))
    later = {"state": State.QUEUED, "not_before": 9e12, "lease_until": None}
    execute(settings, import_runs.update().values(**later))
    assert [*seen, app.is_left_alone(settings, ACCOUNT)] == [True, True, False, True, False]
