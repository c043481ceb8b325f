"""Status documents in the words, numbers and signs that people read."""

from __future__ import annotations

import datetime as dt
import shlex
from dataclasses import dataclass
from typing import Any

from s3import.core.accounts import AccountStatus
from s3import.reporting.pages import open_rejects
from s3import.status import State

LOST = "lost"
WITH_REJECTS = "done with rejects"
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
STEPS = tuple(AccountStatus)


@dataclass(frozen=True, slots=True)
class Mood:
    """How a state is shown: a sign, a word, and the name of its colour; each alone tells it."""

    sign: str
    word: str
    tone: str


_MOODS = {
    State.QUEUED.value: Mood("◷", "queued", "quiet"),
    State.RUNNING.value: Mood("▶", "running", "busy"),
    State.SUCCEEDED.value: Mood("✓", "done", "good"),
    State.FAILED.value: Mood("✕", "failed", "bad"),
    State.CANCELLED.value: Mood("■", "cancelled", "quiet"),
    LOST: Mood("⚠", "worker lost", "bad"),
    WITH_REJECTS: Mood("△", WITH_REJECTS, "wary"),
}


def mood(run: dict[str, Any]) -> Mood:
    """How a pass of a status document is shown. What is done with rejects never looks like what is done."""
    state = run["state"]
    if state == State.RUNNING and (run["error"] or {}).get("code") == "worker_lost":
        state = LOST
    if state == State.SUCCEEDED and open_rejects(run):
        state = WITH_REJECTS
    return _MOODS[state]


def current(document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The pass that matters most now, and its name: one at work, then one that waits, then the one asked for last."""
    order = {State.RUNNING.value: 2, State.QUEUED.value: 1}
    runs = [(name, run) for name, run in document["passes"].items() if run]
    return max(runs, key=lambda named: (order.get(named[1]["state"], 0), named[1]["requested_at"]))


def spoken(account_id: str, name: str, run: dict[str, Any]) -> str:
    """What a screen reader says of a pass: something new at each state and each tenth of the way, not in between."""
    text = f"{account_id}: {name} pass {mood(run).word}"
    tenth = int(10 * run["progress"]["fraction"])
    return f"{text}, {10 * tenth} percent" if run["state"] == State.RUNNING else text


def command(account_id: str, name: str, run: dict[str, Any]) -> str | None:
    """The command that goes on from here; None where nothing is left to do."""
    account = shlex.quote(account_id)
    if run["state"] in (State.FAILED, State.CANCELLED) or mood(run) is _MOODS[LOST]:
        option = " --pass delta" if name == "delta" else ""
        return f"s3import migrate --account {account}{option}"
    if mood(run) is _MOODS[WITH_REJECTS]:
        option = "" if name == "delta" else f" --pass {name}"
        return f"s3import migrate --account {account}{option} --again"
    return None


def words_for(seconds: float | None) -> str:
    """A time in two units at most, such as ``2 h 10 min``; a dash where nobody knows."""
    if seconds is None:
        return "–"
    left, words = max(round(seconds), 0), list[str]()
    for unit, size in UNITS:
        if left >= size or (unit == "s" and not words):
            words.append(f"{left // size} {unit}")
            left %= size
        elif words:
            break
    return " ".join(words[:2])


def bytes_in_words(size: float) -> str:
    """A size as people read it: three digits at most, in steps of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1000 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def moment(text: str | None) -> str:
    """A time of a document to the second, in UTC."""
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S") if text else "–"


def ago(text: str | None, now: dt.datetime) -> str:
    """How long ago a time of a document was, in its largest unit: what changes each second is nothing to read."""
    if not text:
        return "–"
    number, unit, *_ = words_for((now - dt.datetime.fromisoformat(text)).total_seconds()).split()
    return f"{number} {unit} ago"


def coded(text: str) -> list[tuple[str, bool]]:
    """A text of explanations in pieces, each with whether it stood in backticks."""
    return [(piece, bool(index % 2)) for index, piece in enumerate(text.split("`")) if piece]


def number(value: float | None) -> str:
    """A whole number with its thousands apart; a dash where there is none."""
    return "–" if value is None else f"{value:,.0f}"
