"""A line of records a second over time, in the numbers that an SVG is drawn from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Any

WIDTH, HEIGHT = 600, 120
LEAST_SPEEDS = 2


@dataclass(frozen=True, slots=True)
class Chart:
    """`line` are points of a polyline in a box of `WIDTH` by `HEIGHT`, `area` closes them along the bottom; `top` is
    what the upper edge stands for, `seconds` the time from the left edge to the right one; `rows` are the speeds."""

    line: str
    area: str
    top: int
    seconds: float
    rows: Sequence[dict[str, Any]]


def chart(speeds: Sequence[dict[str, Any]]) -> Chart | None:
    """The chart of the speeds of one run (`diary.speeds`); None while there are too few to see anything."""
    if len(speeds) < LEAST_SPEEDS:
        return None
    began = _instant(speeds[0]) - dt.timedelta(seconds=speeds[0]["seconds"])
    seconds = max((_instant(speeds[-1]) - began).total_seconds(), 1e-6)
    top = _round_up(max(speed["records_per_second"] for speed in speeds))
    points = []
    for speed in speeds:
        x = WIDTH * (_instant(speed) - began).total_seconds() / seconds
        points.append(f"{x:.1f},{HEIGHT * (1 - speed['records_per_second'] / top):.1f}")
    line = " ".join([f"0,{points[0].split(',')[1]}", *points])
    return Chart(line, f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}", top, seconds, speeds)


def _instant(speed: dict[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(speed["at"])


def _round_up(value: float) -> int:
    """The next number of the kind 1, 2 or 5 times a power of ten."""
    power = int(10 ** max(ceil(log10(max(value, 1))) - 1, 0))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)
