"""How accounts stand, one line each: `status` without an account."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from s3import.console.output import colour_of
from s3import.console.place import WorkPlace
from s3import.console.summary import document_as_json, document_as_text, passes_of, place_lines, progress_of, standing
from s3import.console.tabular import Column, drawn, tabbed
from s3import.core.durations import in_words
from s3import.core.records import Pass
from s3import.reporting.pages import open_rejects


def standings(
    documents: Sequence[dict[str, Any]], *, as_json: bool, place: WorkPlace, listed: bool, state: str | None
) -> str | bytes:
    """Status documents: that of one account, or (`listed`) of several with a line each, of those with a run in that
    `state`.

    A table where stdout is a terminal; else, and with `as_json`, nothing where there are none.
    """
    if as_json:
        return b"\n".join(map(document_as_json, documents))
    if not listed:
        return document_as_text(documents[0], place)
    if not sys.stdout.isatty():
        return "\n".join(tabbed([*_cells(document), place.database]) for document in documents)
    return "\n".join([*place_lines(place), _table(documents) if documents else nobody(state)])


def nobody(state: str | None) -> str:
    """Why no account is listed."""
    return f"no account has a pass whose state is {state}" if state else "no migration is recorded here"


def _cells(document: dict[str, Any]) -> Iterator[str]:
    """Account, status, how far each pass is, open rejects, sources."""
    yield document["account_id"]
    yield standing(document)
    for pass_ in Pass:
        shown = document["passes"].get(pass_)
        yield progress_of(shown) if shown else "-"
    yield str(sum(map(open_rejects, passes_of(document))))
    yield _sources(document)


def _table(documents: Sequence[dict[str, Any]]) -> str:
    passes = [pass_ for pass_ in Pass if pass_ is not Pass.DELTA or any(map(_has_delta, documents))]
    columns = [
        Column("account", cut=True),
        Column("status", colour=colour_of),
        *(Column(pass_, wraps=True, colour=colour_of) for pass_ in passes),
        Column("rejected", right=True),
        Column("source", cut=True),
    ]
    rows = (
        [
            document["account_id"],
            standing(document),
            *(_briefly(document["passes"].get(pass_)) for pass_ in passes),
            f"{sum(map(open_rejects, passes_of(document))):,}",
            _sources(document),
        ]
        for document in documents
    )
    return drawn(columns, rows)


def _has_delta(document: dict[str, Any]) -> bool:
    return bool(document["passes"].get(Pass.DELTA))


def _briefly(shown: dict[str, Any] | None) -> str:
    """The state of a pass, and while it runs how far it is and how long it will take."""
    if not shown:
        return "-"
    progress = shown["progress"]
    if shown["state"] != "running":
        return str(shown["state"])
    left = progress["eta_seconds"]
    return f"running {progress['fraction']:.0%}" + ("" if left is None else f", {in_words(left)} left")


def _sources(document: dict[str, Any]) -> str:
    return ", ".join({shown["source"]: None for shown in passes_of(document) if shown["source"]})
