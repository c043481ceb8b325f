"""The rules of the house hold: layers, the shape of the code, and the files that are made from others."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fixtures.make import ACCOUNT, DUMP, dump
from tests.source import MODULES, ROOT, nodes, tree

pytestmark = pytest.mark.integration

DOCUMENTS = ROOT / "s3import/server/api/models.py"  # named for what they describe: these names are the API's own
LONGEST_MODULE = 500
LONGEST_CHAIN = 12
LONGEST_FUNCTION = 40
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _decoded(key: str, content: bytes) -> object:
    """What a part says, however this machine's libraries compress it."""
    if key.endswith(".parquet"):
        return pq.read_table(io.BytesIO(content)).to_pylist()
    if key.endswith((".gz", ".zst")):
        return pa.CompressedInputStream(io.BytesIO(content), "gzip" if key.endswith(".gz") else "zstd").read()
    return content


def test_layers_hold() -> None:
    """No module imports from a layer above its own, no cycles, one owner for each library."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_import_chains_stay_short_and_close_no_circle() -> None:
    """Whoever reads a module has at most eleven others below it, one importing the next."""
    longest = max(map(_longest_chain, _NAMES), key=len)
    assert len(longest) <= LONGEST_CHAIN, " -> ".join(longest)


_NAMES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}


@cache
def _longest_chain(name: str) -> tuple[str, ...]:
    """The module and what is below it, one importing the next as it is imported itself.

    An import for the type checker alone, or within a function, is not made then and does not count. A package does
    that imports others in its ``__init__``: whoever imports one of its modules from outside runs that first.
    Raises: RecursionError, where modules import each other.
    """
    below = (_longest_chain(other) for other in sorted(_imported(name)))
    return (name, *max(below, key=len, default=()))


def _imported(name: str) -> set[str]:
    modules = set()
    for node in _run_at_import(tree(_NAMES[name]).body):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    packages = {module.rsplit(".", depth)[0] for module in modules for depth in range(1, module.count("."))}
    inside = {package for package in packages if f"{name}.".startswith(f"{package}.")}
    return ((modules | packages) - inside - {name}) & _NAMES.keys()


def _run_at_import(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported."""
    for node in body:
        yield node
        if isinstance(node, ast.ClassDef | ast.With | ast.Try):
            yield from _run_at_import(node.body)
        if isinstance(node, ast.If):
            yield from _run_at_import(node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else node.body)


def test_a_name_means_one_thing() -> None:
    """No two public classes share a name, and no two modules a file name."""
    classes = [
        node.name
        for path in MODULES
        if path != DOCUMENTS
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    files = [path.name for path in MODULES if path.name != "__init__.py"]
    assert [name for name, times in Counter([*classes, *files]).items() if times > 1] == []


def test_only_the_settings_read_the_environment() -> None:
    """`os.environ` and `os.getenv` stand in the settings and at the edge, nowhere else."""
    readers = {path.stem for path in MODULES if {"environ", "getenv"} & _attributes(path)}
    assert readers <= {"settings", "output"}


def _attributes(path: Path) -> set[str]:
    return {node.attr for node in nodes(path) if isinstance(node, ast.Attribute)}


def test_every_transition_of_a_run_stands_beside_the_diagram() -> None:
    """Runs are made, moved from state to state, held and removed by four modules only."""
    writers = {_name(path) for path in MODULES if any(map(_moves_runs, nodes(path)))}
    assert writers == {
        "s3import/status.py",
        "s3import/importing/queueing.py",
        "s3import/importing/offers.py",
        "s3import/importing/removals.py",
    }


def _moves_runs(node: ast.AST) -> bool:
    """Whether it is an INSERT or DELETE of ``import_runs``, or an UPDATE of what a transition writes."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    statement = ast.unparse(node.func)
    if statement in ("import_runs.insert", "import_runs.delete"):
        return True
    moved = {keyword.arg for keyword in node.keywords} & {"state", "token", "lease_until", "holder", "spread"}
    return statement.startswith("import_runs.update()") and statement.endswith(".values") and bool(moved)


def test_modules_stay_small_and_speak_plainly() -> None:
    """A module is one thing that fits in a head, and so is each of its functions."""
    assert [_name(path) for path in MODULES if path.stem in VAGUE] == []
    assert [_name(path) for path in MODULES if len(path.read_text().splitlines()) > LONGEST_MODULE] == []
    long = [(_name(path), f.name) for path in MODULES for f in _functions(path) if _length(f) > LONGEST_FUNCTION]
    assert long == []


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or 0) - function.body[0].lineno + 1


def test_the_fixtures_are_what_their_maker_writes() -> None:
    """The committed dump says what `make fixtures` would write, and nothing else lies there."""
    made = dump()
    folder = DUMP / ACCOUNT
    kept = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    del made["recent/manifest.json"], kept["recent/manifest.json"]  # holds checksums of compressed parts
    assert {k: _decoded(k, v) for k, v in kept.items()} == {k: _decoded(k, v) for k, v in made.items()}


def test_the_manifest_fits_the_fixtures() -> None:
    """Sizes and checksums in the committed manifest are those of the committed parts."""
    import hashlib
    import json

    folder = DUMP / ACCOUNT / "recent"
    for part in json.loads((folder / "manifest.json").read_text())["parts"]:
        content = (folder / part["key"]).read_bytes()
        assert (part["bytes"], part["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
