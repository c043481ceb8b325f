"""The queue may lose, repeat and reorder calls, or be away: the result is that of an undisturbed run."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from s3import.core.settings import Settings
from tests.importing.dumps import write
from tests.importing.moving import migrate, settings_for, snapshot
from tests.server.workers.fleets import FEW_SECONDS, FakeQueue, ask, fleet, holders, let_time_pass, spread_dump, states

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, sqlite_file: Path) -> Settings:
    """A small dump and an SQLite file with empty tables, to be copied."""
    folder = tmp_path_factory.mktemp("empty")
    write(spread_dump(parts=2, count=2), folder)
    return settings_for(folder, f"sqlite:///{sqlite_file}", lease_seconds=60.0, block_bytes=300)


@pytest.fixture(scope="module")
def undisturbed(empty: Settings) -> dict[str, Any]:
    """What one process makes of the dump."""
    with _copied(empty) as settings:
        migrate(settings)
        return snapshot(settings)


@contextmanager
def _copied(empty: Settings) -> Iterator[Settings]:
    """The settings with a database of their own."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(empty.database.removeprefix("sqlite:///"), folder)
        yield replace(empty, database=f"sqlite:///{copy}")


@hypothesis_settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), loses=st.sampled_from([0.0, 0.4]), repeats=st.sampled_from([0.0, 0.5]))
def test_whatever_the_queue_does_the_result_is_the_same(
    empty: Settings, undisturbed: dict[str, Any], seed: int, loses: float, repeats: float
) -> None:
    """Calls lost, repeated and in any order: tables, counts and rejects equal those of an undisturbed run."""
    queue = FakeQueue(random.Random(seed), loses, repeats)
    with _copied(empty) as settings, fleet(settings, 3, queue=queue) as workers:
        ask(settings)
        workers.work()
        assert snapshot(settings) == undisturbed


def test_calls_that_come_late_do_nothing(settings: Settings) -> None:
    """Every call of a run, brought again after its end, leaves all as it is."""
    with fleet(settings) as workers:
        ask(settings)
        workers.work()
        before = snapshot(settings)
        for call in list(workers.queue.sent):
            workers.deliver(call)
        assert snapshot(settings) == before
        assert workers.queue.waiting == []


def test_a_call_to_plan_counts_only_while_it_is_on_offer(settings: Settings) -> None:
    """One that arrives after its offer ended does not cut short what the run may be waiting for."""
    with fleet(settings) as workers:
        ask(settings)
        workers.sweep()
        let_time_pass(settings)
        workers.deliver_all()
        assert states(settings) == ["queued", "queued"]


def test_a_call_for_a_part_counts_only_while_it_is_on_offer(settings: Settings) -> None:
    """One that arrives after its offer ended would be more than what was granted."""
    with fleet(settings) as workers:
        ask(settings)
        workers.sweep()
        workers.deliver()
        let_time_pass(settings)
        workers.deliver_all()
        assert holders(settings) == set()


def test_a_broker_that_is_back_gets_at_once_what_it_did_not_take(settings: Settings) -> None:
    """Neither the offer of a plan nor that of a part has to end first: the next look at the run makes a new one."""
    with fleet(settings) as workers:
        ask(settings)
        workers.queue.down = True
        workers.sweep()
        workers.queue.down = False
        workers.sweep()
        workers.queue.down = True
        workers.deliver_all()  # planned, but no part gets out
        workers.queue.down = False
        let_time_pass(settings, FEW_SECONDS)
        workers.sweep()
        workers.deliver_all()
        assert states(settings) == ["succeeded", "succeeded"]


def test_small_passes_are_imported_where_they_are_planned(settings: Settings) -> None:
    """What is less than a batch is not worth a call for each part."""
    small = replace(settings, block_bytes=1_000_000)
    with fleet(small) as workers:
        ask(small)
        workers.work()
        assert [number for _, number in workers.queue.sent] == [None, None]
    assert states(small) == ["succeeded", "succeeded"]
