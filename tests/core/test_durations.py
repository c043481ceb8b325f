"""Durations in words: two units at most."""

from __future__ import annotations

import pytest

from s3import.core.durations import in_words, span_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "under 1 s"),
        (0.99, "under 1 s"),
        (1, "1 s"),
        (45.4, "45 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (200, "3 min 20 s"),
        (3599, "1 h"),
        (7800, "2 h 10 min"),
        (86_399, "1 d"),
        (100_000, "1 d 3 h"),
    ],
)
def test_a_duration_has_two_units(seconds: float, words: str) -> None:
    """A unit is never as large as the next one."""
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (240, 360, "4 to 6 min"),
        (3000, 4200, "50 to 70 min"),
        (50, 130, "50 s to 2 min"),
        (300, 310, "about 5 min"),
        (0.2, 0.8, "under 1 s"),
        (0.5, 2, "at most 2 s"),
        (5000, 9000, "83 min to 2 h 30 min"),
    ],
)
def test_a_span_names_a_unit_once_where_both_ends_have_it(low: float, high: float, words: str) -> None:
    """Where both ends read the same it is one number."""
    assert span_in_words(low, high) == words
