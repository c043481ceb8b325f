"""Finds links of a built site that lead nowhere: `python -m docs.check FOLDER`; exit status 1 where there are any.

Sphinx checks what it makes links of; this checks what a browser would follow. A page may also not need any other host.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
NOT_LOADED = {"canonical", "next", "prev", "search", "index"}  # kinds of <link> that no browser fetches unasked


@dataclass
class Page(HTMLParser):
    """A page's anchors, and what it links to: the target, and whether the browser loads it with the page."""

    path: Path
    anchors: set[str] = field(default_factory=set)
    links: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag says."""
        found = {name: value for name, value in attrs if value}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        for name in ("href", "src"):
            if name in found:
                self.links.append((found[name], (tag, name) in LOADED and found.get("rel") not in NOT_LOADED))


def faults(folder: Path) -> Iterator[str]:
    """Each link of the site that leads nowhere, and each file of another host that a page needs."""
    pages = {path.resolve(): Page(path) for path in sorted(folder.rglob("*.html"))}
    for page in pages.values():
        for link, is_loaded in page.links:
            fault = _fault(page, link, pages, is_loaded=is_loaded)
            if fault:
                yield f"{page.path.relative_to(folder)}: {link} {fault}"


def _fault(page: Page, link: str, pages: dict[Path, Page], *, is_loaded: bool) -> str | None:
    there = urlsplit(link)
    if there.scheme == "data":
        return None
    if there.scheme or there.netloc:
        return "is on another host" if is_loaded else None
    target = (page.path.parent / unquote(there.path) if there.path else page.path).resolve()
    if not target.is_file():
        return "is not there"
    if there.fragment and target in pages and unquote(there.fragment) not in pages[target].anchors:
        return "names a place that the page does not have"
    return None


def main(folder: str) -> int:
    """Print what is wrong; the exit status."""
    found = list(faults(Path(folder)))
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
