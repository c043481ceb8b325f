"""The texts of the docs that are made from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.generate import MADE, REGION, filled, logged, pages

PAGES = pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_the_code_says(page: Path) -> None:
    """What is made from the code is up to date; `python -m docs.generate` makes it anew."""
    assert page.read_text("utf-8") == filled(page.read_text("utf-8"))


def test_everything_that_can_be_made_stands_somewhere() -> None:
    """No maker is left without a page."""
    assert {region[2] for page in PAGES for region in REGION.finditer(page.read_text("utf-8"))} == set(MADE)


def test_every_log_line_has_an_event() -> None:
    """Whoever searches logs finds each line by a key that does not change with its sentence."""
    assert [f"{path.name}:{line}" for path, line, _, event in logged() if not event] == []
