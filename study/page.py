"""docs/explanation/timing.md, made of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from s3import.core.durations import in_words

Row = Mapping[str, Any]

HEAD = """# How long it takes

Measured by `make study` on one machine, each import as a process of its own on an empty database, start-up included.
*Usable* is when the account is `active-recent-only`, with the newest fifth of its messages; *complete* when it is
`active`. For every 20 messages there is one thread, for every 10 one attachment. How long it takes elsewhere says
`s3import estimate`, which learns from every run of a database. This page is made of the files in
`study/results`: `.venv/bin/python -m study --render` makes it again.
"""


def render(machine: Mapping[str, str], runs: Sequence[Row], peers: Sequence[Row], accuracy: Sequence[Row] = ()) -> str:
    """The page."""
    told = ", ".join(
        value if name in ("machine", "date") or value.startswith(name) else f"{name} {value}"
        for name, value in machine.items()
    )
    return "\n".join(
        [
            HEAD,
            f"Measured: {told}.\n",
            "## By size\n",
            "![Seconds until an account is usable and complete, by messages and database](timing/sizes.svg)\n",
            *_sizes(runs),
            "\n## By source\n",
            "![Records a second, by source and database](timing/sources.svg)\n",
            *_sources(runs),
            "\n## Beside what one would use instead\n",
            "![Seconds by tool](timing/peers.svg)\n",
            *_peers(peers),
            *_left_out(runs, peers),
            *_accuracy(accuracy),
            "",
        ]
    )


def _done(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not row["left_out"]]


def _sizes(runs: Sequence[Row]) -> list[str]:
    lines = [
        "| messages | database | usable after | complete after | records a second | peak memory | processor time |"
    ]
    lines.append("|---:|---|---:|---:|---:|---:|---:|")
    plain = [row for row in _done(runs) if row["source"] == "JSON Lines"]
    return lines + [
        f"| {int(row['messages']):,} | {row['database']} | {_seconds(row['usable_seconds'])} | "
        f"{_seconds(row['complete_seconds'])} | {int(row['records']) / float(row['complete_seconds']):,.0f} | "
        f"{row['peak_mb']} MB | {_seconds(row['processor_seconds'])} |"
        for row in plain
    ]


def _sources(runs: Sequence[Row]) -> list[str]:
    done = _done(runs)
    databases = list(dict.fromkeys(row["database"] for row in done))
    lines = [f"| messages | source | {' | '.join(f'{name}, complete after' for name in databases)} | peak memory |"]
    lines.append("|---:|---|" + "---:|" * (len(databases) + 1))
    for messages, source in sorted(
        dict.fromkeys((int(row["messages"]), row["source"]) for row in done), key=lambda one: one[0]
    ):
        mine = {row["database"]: row for row in done if (int(row["messages"]), row["source"]) == (messages, source)}
        took = [_seconds(mine[name]["complete_seconds"]) if name in mine else "" for name in databases]
        peak = max(int(row["peak_mb"]) for row in mine.values())
        lines.append(f"| {messages:,} | {source} | {' | '.join(took)} | {peak} MB |")
    rejected = sum(int(row["rejects"]) for row in done)
    return [
        *lines,
        f"\nRejects in all of these: {rejected:,}. The tables of DynamoDB are a simulator's, which is the limit there.",
    ]


def _peers(peers: Sequence[Row]) -> list[str]:
    done = _done(peers)
    ours = next((float(row["seconds"]) for row in done if row["peer"] == "s3import"), None)
    size = f"{int(done[0]['messages']):,}" if done else "no"
    lines = [
        f"An account of {size} messages into PostgreSQL, with primary keys, foreign keys, indexes unless it says so.\n"
    ]
    lines += ["| what | version | seconds | times s3import | processor time | peak memory | rows | leaves out |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|---|")
    for row in done:
        ratio = f"{float(row['seconds']) / ours:.2f}" if ours else ""
        lines.append(
            f"| `{row['command']}` ({row['peer']}) | {row['version']} | {float(row['seconds']):.1f} | {ratio} | "
            f"{_seconds(row['processor_seconds'])} | {row['peak_mb']} MB | {int(row['rows']):,} | "
            f"{row['leaves_out'] or 'nothing'} |"
        )
    return lines


def _left_out(runs: Sequence[Row], peers: Sequence[Row]) -> list[str]:
    """What was not measured, and why."""
    lines = [f"- {row['peer']}: {row['left_out']}" for row in peers if row["left_out"]]
    for reason in dict.fromkeys(row["left_out"] for row in runs if row["left_out"]):
        names = [
            f"{int(row['messages']):,} {row['source']} {row['database']}" for row in runs if row["left_out"] == reason
        ]
        lines.append(f"- {reason}: {', '.join(names)}")
    return ["\nLeft out:\n", *lines] if lines else []


TRIED = (
    "What `s3import estimate` said of accounts that nothing was learnt from, before their import into an empty "
    "PostgreSQL, and what came of it (`.venv/bin/python -m study.accuracy`)"
)


def _accuracy(rows: Sequence[Row]) -> list[str]:
    """What was estimated of dumps from which nothing was learnt, and what came of it."""
    if not rows:
        return []
    lines = [
        "\n## How right estimates are\n",
        f"{TRIED}, measured on {rows[0]['measured']}.\n",
        "| account | records said | records | off | complete after, said | took | within | asked in |",
        "|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for row in rows:
        said, records = int(row["records_said"]), int(row["records"])
        span = f"{float(row['low_seconds']):.1f} to {_seconds(row['high_seconds'])}"
        lines.append(
            f"| {row['account']} | {said:,} | {records:,} | {said / records - 1:+.2%} | {span} | "
            f"{_seconds(row['seconds'])} | {row['within']} | {_seconds(row['asked_seconds'])} |"
        )
    return lines


def _seconds(seconds: Any) -> str:
    number = float(seconds)
    return f"{number:.1f} s" if number < 60 else in_words(number)
