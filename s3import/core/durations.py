"""Durations in words that people read: two units at most, and no more digits than anybody needs."""

from __future__ import annotations

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def in_words(seconds: float) -> str:
    """``2 h 10 min``, ``3 min 20 s``, ``45 s``; ``under 1 s`` for what is shorter."""
    if seconds < 1:
        return "under 1 s"
    seconds = round(seconds, -1) if seconds >= 120 else round(seconds)
    for number, (unit, size) in enumerate(_UNITS):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            smaller, smaller_size = _UNITS[min(number + 1, len(_UNITS) - 1)]
            further = int(rest // smaller_size)
            return f"{whole:.0f} {unit} {further} {smaller}" if further and smaller != unit else f"{whole:.0f} {unit}"
    raise AssertionError("a second is the smallest unit")


def span_in_words(low: float, high: float) -> str:
    """``4 to 6 min``, ``50 s to 2 min``, ``about 5 min`` where both ends read the same."""
    first, last = _rough(low), _rough(high)
    if first == last:
        return f"about {last}" if high >= 1 else last
    if low < 1:
        return f"at most {last}"
    (number, _, unit), (_, _, last_unit) = first.rpartition(" "), last.rpartition(" ")
    return f"{number} to {last}" if unit == last_unit and last.count(" ") == 1 else f"{first} to {last}"


def _rough(seconds: float) -> str:
    """One unit below ten of the next larger one; then two."""
    for unit, size in (("s", 1), ("min", 60)):
        if seconds < 1:
            break
        if seconds < 100 * size:
            return f"{round(seconds / size)} {unit}"
    return in_words(round(seconds, -2) if seconds >= 6000 else seconds)
