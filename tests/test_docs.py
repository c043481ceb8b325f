"""The documents say what is true: their commands exist, their links lead somewhere, and they name no place of work."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
OUT_OF_PLACE = re.compile(
    r"(?<![\w.$}])/(?:home|root|work|Users)/"  # a folder of somebody's machine
    r"|(?:extra[-_])?index[-_]url\b"
    r"|://[^\s/]*(?:pypi|pythonhosted|npmjs)\b"  # the host of a package registry
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _code(text: str) -> Iterator[str]:
    """The lines of indented blocks."""
    return (line.strip() for line in text.splitlines() if line.startswith("    "))


def _commands(program: str) -> list[list[str]]:
    """Each command of that program in the README's blocks, as words, without its comment."""
    lines = (re.split(r"\s{2,}", line)[0] for line in _code(README))
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{program} ")]


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("words", _commands("make"), ids=" ".join)
def test_make_targets_of_the_readme_exist(words: list[str]) -> None:
    """Whoever types a `make` command of the README finds its target."""
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE)


def test_the_readme_shows_commands() -> None:
    """The two tests above have something to look at."""
    assert len(_commands("make")) >= 2
    assert len(_commands("s3import")) >= 4


def test_links_lead_somewhere() -> None:
    """A link to a file of the project names a file that is there."""
    links = [
        (document, link)
        for document in DOCUMENTS
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    ]
    assert len(links) > 100
    assert [(_name(document), link) for document, link in links if not (document.parent / link).exists()] == []


def test_pages_that_the_code_names_are_there() -> None:
    """A message or a comment that sends somebody to a page sends them to one that exists."""
    code = [path for path in _tracked() if path.suffix in (".py", ".toml")]
    named = {(page, _name(path)) for path in code for page in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))}
    assert len(named) > 5
    assert [one for one in sorted(named) if not (ROOT / one[0]).exists()] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=_name)
def test_decisions_are_numbered_and_dated(decision: Path) -> None:
    """A decision's title carries its file's number, and its third line the day it was made."""
    title, _, dated, *_ = decision.read_text().splitlines()
    assert int(re.findall(r"\d+", title)[0]) == int(decision.name[:4])
    assert re.match(r"\d{4}-\d{2}-\d{2}\b", dated)


def test_no_file_names_a_place_of_work() -> None:
    """No tracked file names a folder of somebody's machine or the host of a package registry."""
    texts = (path for path in _tracked() if path.suffix in {".md", ".py", ".toml", ".txt", ".cfg", ".ini", ".yml", ""})
    found = [_name(path) for path in texts if OUT_OF_PLACE.search(path.read_text(errors="replace"))]
    assert found == []


def test_files_that_the_architecture_names_are_there() -> None:
    """Whoever looks for the answer to a question finds its file."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    named = set(re.findall(r"`([a-z_/]+(?:\.py|/))`", page))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / "s3import" / name).exists()] == []


def test_the_architecture_shows_every_room() -> None:
    """The folder list is the architecture: nothing lies beside the rooms, and there are few."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    rooms = {path.name for path in (ROOT / "s3import").iterdir() if path.suffix == "" and path.name != "__pycache__"}
    assert {name for name in rooms if f"{name}/" not in page} == set()
    assert len(rooms) <= 10
