"""How fast a run goes, by what it committed over the last seconds."""

from __future__ import annotations

import pytest

from s3import.core.limits import LEAST_SAMPLES, RATE_WINDOW_SECONDS, Counters, RejectLimit

BEGAN = 1000.0


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = BEGAN

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("s3import.core.limits.time", made)
    return made


def test_what_is_not_committed_yet_makes_no_rate_slower(clock: Clock) -> None:
    """Five hundred files each 1.4 s are as fast whenever somebody looks."""
    counters = Counters(RejectLimit())
    counters.begin_stage()
    for number, late in enumerate((0.1, 0.7, 1.3), 1):
        clock.seconds = BEGAN + number * 1.4
        counters.add_files(500)
        clock.seconds += late
        assert counters.rates().files_per_second == pytest.approx(500 / 1.4)


def test_a_run_that_commits_nothing_becomes_slower(clock: Clock) -> None:
    """It may hang: once it took longer than usual its rate falls with each look."""
    counters = Counters(RejectLimit())
    counters.begin_stage()
    clock.seconds += 2
    counters.add(1000, 0, 5000)
    rates = [counters.rates().rows_per_second]
    for _ in range(3):
        clock.seconds += 2
        rates.append(counters.rates().rows_per_second)
    assert rates == [500, 500, 250, pytest.approx(1000 / 6)]


def test_only_the_last_seconds_count(clock: Clock) -> None:
    """What went slowly before has no part in it."""
    counters = Counters(RejectLimit())
    counters.begin_stage()
    for rows, seconds in ((10, RATE_WINDOW_SECONDS), *[(500, 2.5)] * LEAST_SAMPLES * 2):
        clock.seconds += seconds
        counters.add(rows, 0, 0)
        rates = counters.rates()
    assert rates.rows_per_second == 200


def test_of_large_batches_several_count_however_long_they_take(clock: Clock) -> None:
    """Else it would look twice as fast whenever two of them fall into the last seconds."""
    counters, rates = Counters(RejectLimit()), []
    counters.begin_stage()
    for _ in range(8):
        clock.seconds += 14
        counters.add(10_000, 0, 0)
        for _ in range(2):
            rates.append(counters.rates().rows_per_second)
            clock.seconds += 1
        clock.seconds -= 2
    assert rates[2:] == [pytest.approx(10_000 / 14)] * 14


def test_the_start_of_a_stage_counts_until_it_has_more_to_tell(clock: Clock) -> None:
    """Its first commit takes longer than the others; two of them tell how fast it is."""
    counters = Counters(RejectLimit())
    counters.begin_stage()
    rates = []
    for seconds in (4, 1, 1):
        clock.seconds += seconds
        counters.add_files(500)
        rates.append(counters.rates().files_per_second)
    assert rates == [125, 500, 500]


def test_a_stage_has_a_rate_of_its_own(clock: Clock) -> None:
    """Nothing is known of it at first."""
    counters = Counters(RejectLimit())
    counters.begin_stage()
    clock.seconds += 5
    counters.add(1000, 0, 5000)
    assert counters.rates().bytes_per_second == 1000
    counters.begin_stage()
    assert counters.rates().bytes_per_second is None
