"""Passes that are read again, and passes of which nothing comes over, spread over several workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core import limits
from s3import.core.records import ROW_ENTITIES, Pass
from s3import.core.settings import Settings
from tests import commands as app
from tests.importing.dumps import ACCOUNT, account_document, lines, records, write
from tests.importing.moving import migrate
from tests.server.workers.fleets import ask, error_codes, fleet, holders, spread_dump, states

pytestmark = pytest.mark.integration

THREADS, MESSAGES, ATTACHMENTS = ROW_ENTITIES


def test_a_fleet_reads_again(settings: Settings, tmp_path: Path) -> None:
    """Both passes, of an account that is active all the while; what was repaired comes in."""
    write(spread_dump(), tmp_path)
    migrate(settings)
    more = lines(records(THREADS, 1, prefix="repaired-"))
    write({"recent/threads/part-1.jsonl": more}, tmp_path)
    assert ask(settings, again=True) == [None]
    with fleet(settings) as workers:
        workers.work()
    document = app.status_document(settings, ACCOUNT)
    shown = [document["passes"][pass_]["counts"]["threads"] for pass_ in ("recent", "remaining")]
    assert (states(settings), document["account_status"]) == (["succeeded"] * 2, "active")
    assert [(one["written"], one["unchanged"], one["rejected"]) for one in shown] == [(1, 8, 2), (0, 12, 3)]
    assert len(holders(settings)) == 2


def test_a_round_of_a_fleet_ends(settings: Settings, tmp_path: Path) -> None:
    """Who asks once more after both passes were read again has both read again, and not what seems to be left."""
    write(spread_dump(), tmp_path)
    migrate(settings)
    for _ in range(2):
        ask(settings, again=True)
        passes = app.status_document(settings, ACCOUNT)["passes"]
        assert [passes[pass_]["state"] for pass_ in ("recent", "remaining")] == ["queued"] * 2
        with fleet(settings) as workers:
            workers.work()


@pytest.mark.parametrize("enough", [10_000, 4])
def test_a_fleet_finds_that_nothing_came_over(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enough: int
) -> None:
    """At the pass's end or before; whoever asks again after the repair has it read from the beginning."""
    monkeypatch.setattr(limits, "ENOUGH_TO_DESPAIR", enough)
    write({**spread_dump(), "account.json": account_document(brands=[], channels=[])}, tmp_path)
    ask(settings, passes=[Pass.RECENT])
    with fleet(settings) as workers:
        workers.work()
        assert error_codes(settings) == ["all_rejected"]
    write({"account.json": account_document()}, tmp_path)
    ask(settings, passes=[Pass.RECENT])
    with fleet(settings) as workers:
        workers.work()
    counts = app.status_document(settings, ACCOUNT)["passes"]["recent"]["counts"]["threads"]
    assert (counts["written"], counts["rejected"], states(settings)) == (12, 3, ["succeeded"])
