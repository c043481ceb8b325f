"""A real Chromium (Debian's, or S3IMPORT_TEST_CHROMIUM), and axe, which judges what can be used by everybody."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

AXE = Path(__file__).parents[3] / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
QUIET = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, for as long as the block runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_program(), args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def _program() -> str:
    found = os.environ.get("S3IMPORT_TEST_CHROMIUM") or shutil.which("chromium")
    if found is None:
        _give_up("no Chromium: install the package chromium, or set S3IMPORT_TEST_CHROMIUM to the program")
    return str(found)


def faults(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is, by rule and place."""
    if not AXE.exists():
        _give_up("no axe: `make build/axe/.ready` fetches it from npm")
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())  # not as a script of the page, whose policy allows none but its own
    results: dict[str, Any] = page.evaluate(f"axe.run(document, {{runOnly: {WCAG}}})")
    return [f"{found['id']}: {node['html'][:200]}" for found in results["violations"] for node in found["nodes"]]


def _give_up(why: str) -> None:
    give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    give_up(why)
