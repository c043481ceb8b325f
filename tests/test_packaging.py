"""What the distribution declares is what its code imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.bounds import lowest
from tests.source import MODULES, ROOT, nodes

pytestmark = pytest.mark.integration

PACKAGE = ROOT / "s3import"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_A_SERVICE = ("server", "reporting/metrics.py", "reporting/notify", "reporting/certificate_page.py")


def _declared(requirements: list[str]) -> set[str]:
    return {_plain(re.split(r"[\[<>=;]", one)[0]) for one in requirements}


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imported(path: Path) -> set[str]:
    """The names of the distributions whose modules the file imports."""
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return {_plain(_distributions()[name][0]) for name in names - set(sys.stdlib_module_names) - {"s3import"}}


@pytest.mark.parametrize("needs_service", [False, True])
def test_every_import_is_declared(needs_service: bool) -> None:
    """What the command line imports comes with a plain installation, what a service imports with its extra."""
    declared = _declared(PROJECT["dependencies"])
    if needs_service:
        declared |= _declared(PROJECT["optional-dependencies"]["service"])
    for path in MODULES:
        inside = str(path.relative_to(PACKAGE))
        if inside.startswith(OF_A_SERVICE) is needs_service:
            assert _imported(path) - declared == set(), inside


def test_the_lowest_releases_are_those_that_are_tested() -> None:
    """`make lowest` installs each bound of pyproject.toml, no later release."""
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    tested = {_plain(name): release for name, release in pinned.items()}
    bounds = {_plain(name): _release(release) for name, release in lowest().items()}
    assert {name: _release(tested[name]) for name in bounds} == bounds


def _release(text: str) -> tuple[int, ...]:
    """2.1 and 2.1.0 are the same release."""
    numbers = [int(number) for number in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-lowest.txt"])
def test_constraints_name_no_index(name: str) -> None:
    """They hold releases only: where these come from is decided by whoever installs them."""
    lines = (ROOT / name).read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.+-]+", line)] == []


def test_the_package_is_typed() -> None:
    """Whoever checks types against it finds them."""
    assert (PACKAGE / "py.typed").exists()
