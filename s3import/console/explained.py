"""The command that explains codes, and how a person or a program reads its answer."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import asdict

import click

from s3import.console import completed, options
from s3import.console.output import shown_width
from s3import.console.tabular import tabbed
from s3import.core.explanations import GROUPS, Explanation, explanations
from s3import.core.explanations import explain as explanation_of


@click.command(cls=options.SingleCommand)
@click.argument("code", required=False, shell_complete=completed.codes)
@options.json("Print one JSON object a line.")
def explain(code: str | None, as_json: bool) -> None:
    """Explain a code of a reject, an error or an answer of the HTTP API; without CODE, list all codes.

    An explanation has the meaning, the usual cause, what to do, and an example. On a terminal the list is a table.
    Elsewhere its columns are separated by tabs: code, group, meaning.
    """
    width = shown_width()
    if as_json:
        for explanation in explanations().values() if code is None else [explanation_of(code)]:
            click.echo(code_as_json(explanation))
    elif code is None and not sys.stdout.isatty():
        for explanation in explanations().values():
            click.echo(tabbed([explanation.code, explanation.group, explanation.meaning]))
    elif code is None:
        click.echo(codes_as_text(explanations().values(), width))
    else:
        click.echo(code_as_text(explanation_of(code), width))


def code_as_text(explanation: Explanation, width: int) -> str:
    """What one code means, in lines of at most `width` columns."""
    texts = {
        "cause": explanation.cause,
        "cure": explanation.cure,
        "example": explanation.example,
        "more": explanation.url,
    }
    named = (_wrapped(f"{name:9}", text, width) for name, text in texts.items())
    return "\n".join([_wrapped("", f"{explanation.code}: {explanation.meaning}", width), *named])


def codes_as_text(explanations: Iterable[Explanation], width: int) -> str:
    """A line for each code, group by group; more lines where `width` is too small for its meaning."""
    shown = list(explanations)
    column = 4 + max(len(explanation.code) for explanation in shown)
    lines = []
    for group, title in GROUPS.items():
        of_group = (explanation for explanation in shown if explanation.group == group)
        lines += ["", title]
        lines += [
            _wrapped(f"  {explanation.code}".ljust(column), explanation.meaning, width) for explanation in of_group
        ]
    return "\n".join(lines[1:])


def code_as_json(explanation: Explanation) -> str:
    """One JSON object."""
    return json.dumps({**asdict(explanation), "url": explanation.url}, ensure_ascii=False)


def _wrapped(label: str, text: str, width: int) -> str:
    indent = " " * len(label)
    return textwrap.fill(
        text, width, initial_indent=label, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
