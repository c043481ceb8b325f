"""Writes the pages of the reference that are made from the code: `python -m docs.generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from s3import.core.explanations import GROUPS, explanations

HERE = Path(__file__).parent


def codes() -> str:
    """Every code, explained: the page that messages, notices and problem documents lead to."""
    lines = [
        "# Codes, and when something goes wrong",
        "",
        "Each message ends with a code in brackets. Rejects, and problem documents of the HTTP API, have codes too.",
        "`s3import explain CODE` shows the same text as this page.",
    ]
    for group, title in GROUPS.items():
        lines += ["", f"## {title}"]
        for explanation in (one for one in explanations().values() if one.group == group):
            lines += [
                "",
                f"### `{explanation.code}`",
                "",
                explanation.meaning,
                "",
                f"- **Cause:** {explanation.cause}",
                f"- **Cure:** {explanation.cure}",
                f"- **Example:** {explanation.example}",
            ]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {"guides/errors.md": codes}
"""What is generated, by its path below `docs`."""


def main() -> None:
    """Write every page anew."""
    for name, render in PAGES.items():
        (HERE / name).write_text(render(), "utf-8")


if __name__ == "__main__":
    main()
