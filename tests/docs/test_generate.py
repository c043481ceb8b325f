"""The pages of the docs that are made from the code."""

from __future__ import annotations

import pytest

from docs.generate import HERE, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_the_code_says(name: str) -> None:
    """A page that is made from the code is up to date; `python -m docs.generate` writes it anew."""
    assert (HERE / name).read_text("utf-8") == PAGES[name]()
