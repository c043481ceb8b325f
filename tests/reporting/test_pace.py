"""How fast this machine is now, beside the study's."""

from __future__ import annotations

from dataclasses import astuple
from itertools import count
from types import SimpleNamespace

import pytest

from s3import.reporting import pace
from s3import.reporting.timing import Range, coefficients


def measured(monkeypatch: pytest.MonkeyPatch, processor: float, passed: float) -> Range:
    """The pace where a round takes so many times the study's seconds of the processor, and of the clock."""
    study = coefficients()["yardstick_seconds"]
    monkeypatch.setattr(pace, "yardstick", lambda: (processor * study, passed * study))
    return pace.pace()


def test_a_slower_processor_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """By as much, for sure."""
    assert measured(monkeypatch, 2.0, 2.0) == Range(2.0, 2.0, 2.0)


def test_a_busy_machine_is_slower_and_less_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import waits for as long as the one thread that looks, at most."""
    assert astuple(measured(monkeypatch, 1.0, 3.0)) == pytest.approx((1.5, 2.0, 3.0))


def test_what_cannot_be_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumped says nothing of the machine."""
    assert measured(monkeypatch, 1e-6, 1e-6).expected == pace.FASTEST
    assert measured(monkeypatch, 1.0, 1e6).high == 1 + pace.SLOWEST


def test_looking_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a quarter of a second, and three rounds at least; what is told is of one round."""
    clock = SimpleNamespace(thread_time=count(0.0, 0.2).__next__, perf_counter=count(0.0, 0.1).__next__)
    monkeypatch.setattr(pace, "time", clock)
    assert pace.yardstick() == pytest.approx((0.2 / 5, 0.4 / 5))
    monkeypatch.setattr(pace, "LOOK_SECONDS", 0.0)
    assert pace.yardstick() == pytest.approx((0.2 / 3, 0.2 / 3))
