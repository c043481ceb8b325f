"""Runs whose truth is known: stages at constant rates, of which the estimate was more or less right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reporting.replays import MOST_WRONG, Looks, median_error, require_no_lies, shown

LOOK_SECONDS = 0.5
UNIT = 1000  # bytes, or files, of one commit


@dataclass(frozen=True)
class Stage:
    """It takes so long, and was said to take another time; so much passes between two commits."""

    seconds: float
    said: float
    commit_seconds: float = 1.0

    @property
    def commits(self) -> int:
        return max(round(self.seconds / self.commit_seconds), 1)

    def done(self, elapsed: float) -> int:
        """The commits by then."""
        return max(min(int(elapsed / self.seconds * self.commits), self.commits), 0)


def looks_at(stages: dict[str, Stage], first: float, pause: float) -> Iterator[list[Any]]:
    """Looks at what is done from the second `first` of work on, before which there was a pause."""
    ends = list(accumulate(stage.seconds for stage in stages.values()))
    for number in range(int(first / LOOK_SECONDS), int(ends[-1] / LOOK_SECONDS)):
        seconds = number * LOOK_SECONDS
        done = {
            name: stage.done(seconds - end + stage.seconds)
            for (name, stage), end in zip(stages.items(), ends, strict=True)
        }
        slices = [
            [name, 1, int(done[name] == stage.commits), stage.commits * UNIT, done[name] * UNIT, done[name]]
            for name, stage in stages.items()
            if name != "files"
        ]
        is_counted = all(one[2] for one in slices) and "files" in stages
        files = [stages["files"].commits * UNIT, done["files"] * UNIT] if is_counted else [0, 0]
        yield [seconds + pause, [*files, 0, 0], slices]


def watch(stages: dict[str, Stage], *, first: float = 0.0, pause: float = 0.0) -> tuple[Looks, float]:
    """The looks at a run, and when it ends. With a pause, it went on after it from the second `first` of work on."""
    said = {name: stage.said for name, stage in stages.items()}
    estimate = {"stages": said, "seconds": {"expected": sum(said.values())}}
    looks = list(looks_at(stages, first, pause))
    run = {"files_to": "/copies" if "files" in stages else None, "attempts": 2 if pause else 1, "looks": looks}
    return shown(run, estimate), sum(stage.seconds for stage in stages.values()) + pause


RUNS = {
    "as was said": {"threads": Stage(5, 5), "messages": Stage(60, 60), "attachments": Stage(10, 10)},
    "all three times as slow": {"threads": Stage(6, 2), "messages": Stage(90, 30), "attachments": Stage(24, 8)},
    "messages twice as slow": {"threads": Stage(5, 5), "messages": Stage(60, 30), "attachments": Stage(10, 5)},
    "the last stage twice as slow": {"messages": Stage(60, 60), "attachments": Stage(30, 15)},
    "files after messages": {"messages": Stage(40, 40), "attachments": Stage(5, 5), "files": Stage(60, 60)},
    "files twice as slow": {"messages": Stage(40, 40), "attachments": Stage(5, 5), "files": Stage(60, 30)},
    "messages slow, files fast": {"messages": Stage(40, 20), "attachments": Stage(5, 2.5), "files": Stage(40, 80)},
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("first", [0.0, 30.0, 55.0])
def test_the_time_left_is_right_in_the_second_half(name: str, first: float) -> None:
    """Also of what an interrupted run goes on with after ten minutes."""
    looks, end = watch(RUNS[name], first=first, pause=600.0 if first else 0.0)
    require_no_lies(looks)
    assert median_error(looks, end) <= MOST_WRONG


STAGES = st.builds(
    lambda seconds, wrong, commit_seconds: Stage(seconds, seconds / wrong, commit_seconds),
    st.floats(5, 60),
    st.floats(1 / 3, 3),
    st.floats(0.1, 1.0),
)
SOME = st.sampled_from([("threads", "messages", "attachments"), ("messages", "files"), ("messages",)])
MANY = SOME.flatmap(
    lambda names: st.tuples(*[STAGES] * len(names)).map(lambda ones: dict(zip(names, ones, strict=True)))
)


@given(MANY, st.floats(0, 0.9))
def test_nothing_that_is_shown_is_a_lie(stages: dict[str, Stage], share: float) -> None:
    """Whatever was expected, and however far an interrupted run had come."""
    first = share * sum(stage.seconds for stage in stages.values())
    require_no_lies(watch(stages, first=first, pause=60.0 if first else 0.0)[0])


@given(MANY, st.floats(20, 60))
def test_a_stage_at_work_is_known_by_its_own_rate(stages: dict[str, Stage], seconds: float) -> None:
    """However wrong the estimate was: in the second half of the last stage the time left is right."""
    *before, (last, stage) = stages.items()
    stages[last] = replace(stage, seconds=seconds)
    looks, end = watch(stages)
    began = sum(one.seconds for _, one in before)
    assert median_error([look for look in looks if look[0] >= began], end) <= MOST_WRONG
