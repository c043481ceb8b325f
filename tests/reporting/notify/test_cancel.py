"""Whoever cancels a run, by whichever way, it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from s3import.core.settings import Settings
from s3import.core.tables import import_runs
from s3import.operations.composition import opened_for_clients
from s3import.reporting.notify.notifier import Notifier
from s3import.reporting.notify.senders import senders
from tests import commands as app
from tests.importing.dumps import ACCOUNT
from tests.reporting.notify.receiver import Receiver
from tests.reporting.notify.runs import SECRET
from tests.server.workers.conftest import prepared
from tests.server.workers.fleets import ask, fleet, scalars, states

pytestmark = pytest.mark.integration


def by_command(settings: Settings) -> None:
    """What `s3import cancel` does."""
    app.cancel(settings, ACCOUNT)


def by_request(settings: Settings) -> None:
    """What `DELETE /migrations/{run_id}` does, for each run."""
    with opened_for_clients(settings, wake=lambda: None) as operations:
        for run_id in scalars(settings, sa.select(import_runs.c.run_id).order_by(import_runs.c["pass"])):
            operations.cancel(run_id)
        with Notifier(operations.database, senders(settings)):  # that of the process that works
            pass


@pytest.mark.parametrize(
    ("database_url", "cancel", "spread"),
    [
        ("sqlite", by_command, False),
        ("sqlite", by_request, True),
        ("postgresql", by_command, True),
        ("postgresql", by_request, False),
        ("mariadb", by_command, False),
        ("mariadb", by_request, True),
    ],
    indirect=["database_url"],
)
def test_a_cancelled_run_is_told(
    tmp_path: Path, database_url: str, receiver: Receiver, cancel: Callable[[Settings], None], spread: bool
) -> None:
    """Slack and the callback hear of each run that was queued or at work, and of none twice."""
    settings = prepared(tmp_path, database_url)
    with fleet(settings) as workers:
        ask(settings)
        if spread:
            workers.sweep()
            workers.deliver()
    told = replace(
        settings, slack_webhook_url=f"{receiver.url}/slack", callback_url=f"{receiver.url}/", callback_secret=SECRET
    )
    cancel(told)
    cancel(told)
    assert states(settings) == ["cancelled", "cancelled"]
    heard: list[Any] = [request.json for request in receiver.requests if request.path == "/"]
    assert sorted((one["type"], one["data"]["pass"]) for one in heard) == [
        ("migration.cancelled", "recent"),
        ("migration.cancelled", "remaining"),
    ]
    assert len(receiver.requests) == 4
