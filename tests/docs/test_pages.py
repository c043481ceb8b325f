"""Every session that README, tutorial and guides show runs here as it stands, and prints what they show.

A page has a bash, a folder and a port of its own. What it calls `s3://dumps` is a bucket of a real S3 endpoint, its
PostgreSQL a real one. DynamoDB's tables are moto's, and `s3://exports` a bucket with an export of them.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest import SkipTest

import pytest

from docs.generate import HERE, README
from tests.docs import tables
from tests.docs.programs import forked_programs
from tests.docs.sessions import Bash, parsed

pytestmark = pytest.mark.integration

SESSION = re.compile(r"^ *```console$", re.MULTILINE)
PAGES = [page for page in (README, *sorted(HERE.rglob("*.md"))) if SESSION.search(page.read_text("utf-8"))]
FOLDER = "/srv/s3import"  # what the pages call the folder that they work in
PORT = "8080"
POSTGRESQL = "postgresql://importer@localhost/reamaze"
BUCKET = "s3://dumps"
EXPORTS = "s3://exports"
ROOT = HERE.parent


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an `s3import` that starts quickly: pages call it a hundred times."""
    with forked_programs(tmp_path_factory.mktemp("programs")) as folder:
        yield folder


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_shows_what_happens(page: Path, tmp_path: Path, programs: Path, request: pytest.FixtureRequest) -> None:
    """Typed as they stand, one after the other, its commands print what stands below them."""
    instead = {FOLDER: str(tmp_path), PORT: str(free_port())}
    text = page.read_text("utf-8")
    if POSTGRESQL in text:
        instead[POSTGRESQL] = request.getfixturevalue("bare_postgres_url")
    if BUCKET in text:
        instead[BUCKET] = f"s3://{request.getfixturevalue('s3').bucket}"
    if EXPORTS in text:
        store = request.getfixturevalue("s3")
        instead[EXPORTS] = f"s3://{store.bucket}"
        request.getfixturevalue("monkeypatch").setenv("AWS_DEFAULT_REGION", tables.REGION)
        request.getfixturevalue("monkeypatch").setenv("AWS_REGION", tables.REGION)
        tables.fill(store, tmp_path / "export")
    for folder in ("fixtures", "docs/clients"):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        (tmp_path / folder).symlink_to(ROOT / folder)
    with Bash(tmp_path, {**environment(tmp_path, programs), "S3IMPORT_PORT": instead[PORT]}, instead) as bash:
        for example in parsed(page, bash).examples():
            with suppress(SkipTest):  # the page says why
                example.evaluate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def environment(folder: Path, programs: Path) -> dict[str, str]:
    """That of somebody who has installed s3import, and has no settings of it."""
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    ours = {"PATH": os.pathsep.join(path), "HOME": str(folder), "LANG": "C.UTF-8", "TZ": "UTC"}
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")} | ours


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_not_run_says_why(page: Path) -> None:
    """Whatever is left out has a reason in the page."""
    skips = re.findall(r"<!--+ skip: .*", page.read_text("utf-8"))
    assert [skip for skip in skips if not re.match(r'<!-- skip: next "[^"]{8,}" -->', skip)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_shell_command_is_run(page: Path) -> None:
    """Of a page that has sessions: commands stand in them, in no other kind of block. Those of other pages are run by
    tests/test_docs_commands.py."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks if kind in ("bash", "sh", "shell")] == []
    plain = re.findall(
        r"^ {4}(?:\$ )?((?:s3import|curl|pip|export|make|docker|podman) .*)", page.read_text("utf-8"), re.MULTILINE
    )
    assert plain == []
