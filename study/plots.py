"""The results as plots: one look, readable in print and by the colour-blind, units on every axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito's colours differ in brightness, too; shapes and hatches say the same once more.
STYLES: dict[str, dict[str, Any]] = {
    "PostgreSQL": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "MariaDB": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "SQLite": {"color": "#009E73", "marker": "^", "linestyle": ":"},
}
HATCHES = {"PostgreSQL": "", "MariaDB": "//", "SQLite": ".."}
LOOK: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "s3import",
    "figure.constrained_layout.use": True,
}


def draw(runs: Sequence[dict[str, Any]], peers: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write each plot as SVG and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    done = [row for row in runs if row["complete_seconds"] != ""]
    with mpl.rc_context(LOOK):
        _save(folder / "sizes", _sizes, done, (6.4, 4.0))
        _save(folder / "sources", _sources, done, (6.4, 3.6))
        _save(folder / "peers", _peers, [row for row in peers if row["seconds"] != ""], (6.4, 3.2))


def _save(path: Path, plot: Any, rows: Sequence[dict[str, Any]], size: tuple[float, float]) -> None:
    figure, axes = plt.subplots(figsize=size)
    plot(axes, rows)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
    plt.close(figure)


def _sizes(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    """Seconds by messages, for JSON Lines."""
    for database, style in STYLES.items():
        mine = sorted(
            (int(row["messages"]), float(row["complete_seconds"]), float(row["usable_seconds"]))
            for row in rows
            if row["database"] == database and row["source"] == "JSON Lines"
        )
        if mine:
            messages, complete, usable = zip(*mine, strict=True)
            axes.plot(messages, complete, label=f"{database}, complete", **style)
            hollow = {**style, "linewidth": 0.8, "markerfacecolor": "white"}
            axes.plot(messages, usable, label=f"{database}, usable", **hollow)
    axes.set(xscale="log", yscale="log", xlabel="messages of the account", ylabel="seconds from the command's start")
    axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))  # seconds seldom fill three decades
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_plain_number)
        axis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.legend(ncols=3, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _plain_number(value: float, _position: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _sources(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    """Records a second by source, for the largest size that all sources have."""
    size = max((int(row["messages"]) for row in rows if row["source"] == "Parquet"), default=0)
    mine = [row for row in rows if int(row["messages"]) == size]
    sources = list(dict.fromkeys(row["source"] for row in mine))
    for number, database in enumerate(STYLES):
        found = {
            row["source"]: int(row["records"]) / float(row["complete_seconds"])
            for row in mine
            if row["database"] == database
        }
        places = [place + (number - 1) * 0.27 for place in range(len(sources))]
        axes.bar(
            places,
            [found.get(source, 0.0) for source in sources],
            width=0.25,
            color=STYLES[database]["color"],
            hatch=HATCHES[database],
            edgecolor="white",
            label=database,
        )
    axes.set_xticks(range(len(sources)), sources)
    axes.yaxis.set_major_formatter(_plain_number)
    axes.set(ylabel="records a second", xlabel=f"source of an account of {size:,} messages")
    axes.grid(visible=False, axis="x")
    axes.legend(ncols=3, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _peers(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    """Seconds by peer, the fastest on top."""
    ordered = sorted(rows, key=lambda row: -float(row["seconds"]))
    colors = ["#0072B2" if row["peer"] == "s3import" else "#999999" for row in ordered]
    bars = axes.barh([row["peer"] for row in ordered], [float(row["seconds"]) for row in ordered], color=colors)
    axes.bar_label(bars, fmt="%.1f s", padding=3, fontsize=8)
    axes.margins(x=0.12)
    axes.set_xlabel(f"seconds for an account of {int(rows[0]['messages']):,} messages, into PostgreSQL" if rows else "")
    axes.grid(visible=False, axis="y")
