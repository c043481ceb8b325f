"""What a chart of speeds is drawn from."""

from __future__ import annotations

from typing import Any

import pytest

from s3import.server.page.charts import HEIGHT, WIDTH, chart


def speed(second: int, records: float) -> dict[str, Any]:
    return {"at": f"2026-01-01T00:00:{second:02}Z", "stage": "messages", "seconds": 10.0, "records_per_second": records}


def test_a_line_goes_from_the_left_edge_to_the_right_one() -> None:
    drawn = chart([speed(10, 100), speed(20, 150), speed(30, 0)])
    assert drawn is not None
    assert (drawn.top, drawn.seconds) == (200, 30)
    assert drawn.line == f"0,60.0 {WIDTH / 3:.1f},60.0 {WIDTH * 2 / 3:.1f},30.0 {WIDTH:.1f},{HEIGHT:.1f}"
    assert drawn.area.startswith(f"0,{HEIGHT} ")
    assert drawn.area.endswith(f" {WIDTH},{HEIGHT}")


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (1.5, 2), (9, 10), (11, 20), (4999, 5000), (70_000, 100_000)]
)
def test_the_upper_edge_is_a_round_number(value: float, top: int) -> None:
    drawn = chart([speed(10, value), speed(20, 0)])
    assert drawn is not None
    assert drawn.top == top


def test_too_little_is_no_chart() -> None:
    assert chart([]) is None
    assert chart([speed(10, 5)]) is None
