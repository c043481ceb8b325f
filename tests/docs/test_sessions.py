"""What runs the commands of the docs tells a page that is right from one that is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil.example import SybilFailure

from tests.docs.sessions import Bash, commands, matches, parsed

pytestmark = pytest.mark.integration


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    with Bash(tmp_path, {"PATH": os.environ["PATH"]}, {"8080": "4711"}) as bash:
        yield bash


def evaluate(bash: Bash, block: str) -> None:
    page = bash.folder / "page.md"
    page.write_text(f"# Page\n\n```console\n{block}\n```\n")
    for example in parsed(page, bash).examples():
        example.evaluate()


def test_a_block_is_commands_with_what_they_print() -> None:
    """Further lines of a command stand behind `>`."""
    first, second = commands("$ cat <<END\n> a\n>\n> b\n> END\na\n\nb\n$ true\n")
    assert (first.text, first.shown) == ("cat <<END\na\n\nb\nEND", "a\n\nb\n")
    assert (second.text, second.shown) == ("true", "")


@pytest.mark.parametrize(
    ("shown", "printed", "right"),
    [
        ("a\n", "a  \n", True),
        ("a...c", "a\nb c", True),
        ("...", "", True),
        ("took ... s", "took 1.5 s", True),
        ("", "a\n", False),
        ("a", "a\nb", False),
        ("a.b", "axb", False),
    ],
)
def test_three_dots_stand_for_anything(shown: str, printed: str, right: bool) -> None:
    """Everything else has to be as it is shown."""
    assert matches(shown, printed) is right


def test_a_page_has_one_bash(bash: Bash) -> None:
    """Variables, folders and what runs in the background stay from one block to the next."""
    evaluate(bash, "$ cd /; answer=42; sleep 60 &")
    evaluate(bash, "$ echo $answer; pwd; jobs\n42\n/\n[1]+  Running ... sleep 60 &")


def test_what_stands_in_a_page_is_replaced_here(bash: Bash) -> None:
    """A port of the page is a free one here, and nobody sees the difference."""
    evaluate(bash, '$ echo "port 8080"; test 8080 = 47"11"\nport 8080')


@pytest.mark.parametrize("block", ["$ echo a\nb", "$ false", "$ echo a >&2"])
def test_a_page_that_is_wrong_fails(bash: Bash, block: str) -> None:
    """Another output, none where there is one, and a status that is not shown."""
    with pytest.raises(SybilFailure, match=r"page\.md, line 3"):
        evaluate(bash, block)


def test_a_status_that_is_shown_is_no_failure(bash: Bash) -> None:
    """The status of a command is the one that the page shows with `echo $?`."""
    evaluate(bash, "$ (exit 3)\n$ echo $?\n3")
    with pytest.raises(SybilFailure):
        evaluate(bash, "$ (exit 3)\n$ echo $?\n4")


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """What a page started in the background is asked to end, and waited for."""
    with Bash(tmp_path, {"PATH": os.environ["PATH"]}) as bash:
        bash.run("(trap 'sleep 0.1; touch ended; exit' TERM; touch begun; sleep 60 & wait) &")
        bash.run("until [ -e begun ]; do sleep 0.01; done")
    assert (tmp_path / "ended").exists()
