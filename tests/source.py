"""The program as source: parsed once for all tests of a process that read it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "s3import").rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """A module of the program."""
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of a module of the program."""
    return list(ast.walk(tree(path)))
