"""Numbers, times and commands as people read them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from s3import.server.page import wording


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (0, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (7800, "2 h 10 min"),
        (7201, "2 h"),
        (90_000, "1 d 1 h"),
        (86_460, "1 d"),
    ],
)
def test_times_have_two_units_at_most(seconds: float | None, words: str) -> None:
    assert wording.words_for(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1024, "1.0 KiB"), (150 * 1024, "150 KiB"), (3 * 2**30, "3.0 GiB")]
)
def test_sizes_have_three_digits(size: int, words: str) -> None:
    assert wording.bytes_in_words(size) == words


def run(state: str, rejects: int = 0, error: str | None = None, fraction: float = 0.5) -> dict[str, Any]:
    return {
        "state": state,
        "requested_at": "2026-01-01T00:00:00Z",
        "rejects": {"total": rejects},
        "error": {"code": error} if error else None,
        "progress": {"fraction": fraction},
    }


@pytest.mark.parametrize(
    ("name", "shown", "command"),
    [
        ("recent", run("failed"), "s3import migrate --account 'a b'"),
        ("recent", run("running", error="worker_lost"), "s3import migrate --account 'a b'"),
        ("recent", run("running"), None),
        ("recent", run("succeeded"), None),
        ("recent", run("succeeded", rejects=1), "s3import migrate --account 'a b' --pass recent --again"),
        ("delta", run("failed"), "s3import migrate --account 'a b' --pass delta"),
    ],
)
def test_the_command_goes_on_from_here(name: str, shown: dict[str, Any], command: str | None) -> None:
    assert wording.command("a b", name, shown) == command


def test_the_pass_at_work_matters_most() -> None:
    document = {"passes": {"recent": run("succeeded"), "remaining": None, "delta": run("running")}}
    assert wording.current(document)[0] == "delta"


def test_a_screen_reader_speaks_at_each_tenth() -> None:
    said = {wording.spoken("a", "recent", run("running", fraction=n / 1000)) for n in range(1000)}
    assert len(said) == 10


@pytest.mark.parametrize(("seconds", "said"), [(3, "3 s ago"), (1999, "33 min ago"), (90_000, "1 d ago")])
def test_how_long_ago_is_said_in_one_unit(seconds: int, said: str) -> None:
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert wording.ago((now - dt.timedelta(seconds=seconds)).isoformat(), now) == said
    assert wording.ago(None, now) == "–"
