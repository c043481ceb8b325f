"""What a timestamp is, and which instant it means."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3import.core.records import TIMESTAMP, Entity
from s3import.transform.validators import check
from s3import.transform.validators.timestamps import read_timestamps
from tests.records import ACCOUNT, batch_of, right


def read(text: str) -> dt.datetime | None:
    """The instant that the text means; None when it is refused."""
    instants, finding = read_timestamps("created_at", pa.array([text]))
    return None if len(finding.rows) else instants[0].as_py()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z"),
        ("2024-05-06t07:08:09z", "2024-05-06T07:08:09Z"),
        ("2024-05-06T07:08:09.1Z", "2024-05-06T07:08:09.1Z"),
        ("2024-05-06T07:08:09.123456Z", "2024-05-06T07:08:09.123456Z"),
        ("2024-05-06T07:08:09.1234569Z", "2024-05-06T07:08:09.123456Z"),
        ("2024-05-06T07:08:09.999999999+02:00", "2024-05-06T05:08:09.999999Z"),
        ("2024-05-06T07:08:09-23:59", "2024-05-07T07:07:09Z"),
        ("2024-05-06T07:08:09-00:00", "2024-05-06T07:08:09Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00Z"),
        ("2199-12-31T23:59:59.999999999Z", "2199-12-31T23:59:59.999999Z"),
    ],
)
def test_reads_timestamps(text: str, instant: str) -> None:
    """RFC 3339 in any of its spellings is read to the microsecond, finer digits cut."""
    assert read(text) == dt.datetime.fromisoformat(instant)


WRONG = """
    2024-05-06 07:08:09Z | 2024-05-06T07:08:09 | 2024-05-06T07:08:09+0000 | 2024-05-06T07:08:09+00 | 2024-05-06T07:08Z
    | 2024-05-06 | 2024-05-06T07:08:60Z | 2024-05-06T24:00:00Z | 2024-05-06T07:60:00Z | 2024-13-01T00:00:00Z
    | 2024-00-01T00:00:00Z | 2024-05-00T00:00:00Z | 2024-04-31T00:00:00Z | 2023-02-29T00:00:00Z | 2100-02-29T00:00:00Z
    | 2024-02-30T00:00:00Z | 2024-05-06T07:08:09.Z | 2024-05-06T07:08:09.1234567890Z | 2024-05-06T07:08:09+24:00
    | 2024-05-06T07:08:09+01:60 | 2024-05-06T07:08:09Zz | 24-05-06T07:08:09Z | 20240506T070809Z | 12024-05-06T07:08:09Z
    | 1969-12-31T23:59:59.999999Z | 1970-01-01T00:00:00+00:01 | 2200-01-01T00:00:00Z | 2199-12-31T23:59:59-00:01
    | 1714979289 | now | 0000-00-00T00:00:00Z | \u0662024-05-06T07:08:09Z
"""


@pytest.mark.parametrize("text", [text.strip() for text in WRONG.split("|")])
def test_refuses_what_is_no_timestamp(text: str) -> None:
    """No zone, no calendar day, no such clock, or beyond the years 1970 to 2199 in UTC."""
    assert read(text) is None


@pytest.mark.parametrize(
    "text", ["", "2024-05-06T07:08:09Z\n", "\n2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z\x00", " "]
)
def test_refuses_what_stands_around_a_timestamp(text: str) -> None:
    """Nothing may stand before or after it, not even what cannot be seen."""
    assert read(text) is None


def test_reads_odd_spellings_beside_wrong_ones() -> None:
    """A wrong value in a column changes nothing about the others, null included."""
    texts = ["2024-05-06T07:08:09.123456789z", "never", None, "2024-05-06T07:08:09Z"]
    instants, finding = read_timestamps("created_at", pa.array(texts))
    assert finding.rows.to_pylist() == [1]
    assert [instant and instant.microsecond for instant in instants.to_pylist()] == [123456, None, None, 0]


def test_only_bounds_what_is_a_timestamp_already() -> None:
    """A reader may deliver instants: they are bounded like those that came as text."""
    column = pa.array([-1, 0, None, 7_258_118_399_999_999, 7_258_118_400_000_000], pa.int64()).cast(TIMESTAMP)
    instants, finding = read_timestamps("created_at", column)
    assert finding.rows.to_pylist() == [0, 4]
    assert instants.type == TIMESTAMP


@given(
    st.datetimes(dt.datetime.fromisoformat("1971-01-01"), dt.datetime.fromisoformat("2198-12-31")),
    st.integers(-1439, 1439),
    st.integers(0, 9),
    st.sampled_from("Tt"),
)
def test_reads_every_instant_as_python_does(local: dt.datetime, offset: int, digits: int, letter: str) -> None:
    """Any date, offset and precision gives the instant that Python's own calendar gives."""
    sign, minutes = "+-"[offset < 0], abs(offset)
    zone = f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    fraction = f".{local.microsecond:06}789"[: digits + 1] if digits else ""
    text = f"{local:%Y-%m-%d}{letter}{local:%H:%M:%S}{fraction}{zone}"
    cut = int(f"{fraction[1:7]:0<6}") if digits else 0
    zoned = local.replace(microsecond=cut, tzinfo=dt.timezone(dt.timedelta(minutes=offset)))
    assert read(text) == zoned.astimezone(dt.UTC)


@given(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32))
def test_knows_the_calendar(year: int, month: int, day: int) -> None:
    """A day is a day where Python's calendar has it, within the years allowed."""
    text = f"{year:04}-{month:02}-{day:02}T12:00:00Z"
    try:
        expected = dt.datetime.fromisoformat(text)
    except ValueError:
        expected = None
    assert read(text) == (expected if expected and 1970 <= year <= 2199 else None)


@given(st.from_regex(r"\A[0-9]{4}-[0-9:TtZz.+-]{0,30}\Z") | st.text(st.characters(codec="utf-8"), max_size=30))
def test_never_fails(text: str) -> None:
    """Any text is an instant or is refused."""
    assert read(text) is None or "T" in text.upper()


def test_gives_a_wrong_timestamp_one_reason() -> None:
    """A required timestamp that is wrong was given all the same: nothing is said to be missing."""
    batch = batch_of(Entity.THREADS, [right(Entity.THREADS) | {"created_at": "yesterday"}])
    (reject,) = check(batch, Entity.THREADS, ACCOUNT).rejects
    assert [(reason.code, reason.field) for reason in reject.reasons] == [("invalid_timestamp", "created_at")]
