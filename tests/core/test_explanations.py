"""The catalogue of codes: complete, in plain words, and its examples true."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import orjson
import pytest

import s3import
from s3import.core.errors import ConfigurationError, RejectCode, S3ImportError
from s3import.core.explanations import DOCUMENTATION, explain, explanations
from s3import.core.records import Entity
from s3import.transform.validators import check
from tests.readers.formats.reading import read
from tests.records import ACCOUNT, right
from tests.source import MODULES, ROOT, nodes

CODE = re.compile(r"[a-z][a-z0-9_]*")
BY_DATABASE_OR_FILES = {
    *("unknown_brand", "unknown_channel", "unknown_thread", "unknown_message", "deleted_in_target"),
    *("file_missing", "file_differs"),
}
WITHOUT_EXAMPLE_AS_JSON = {"too_long", "invalid_utf8"}


def _classes(kind: type[S3ImportError]) -> Iterator[type[S3ImportError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _classes(child)


def _declared() -> set[str]:
    """The codes of all errors' classes, in whatever module."""
    for module in walk_packages(s3import.__path__, "s3import."):
        if not module.name.endswith("__main__") and ".versions." not in module.name and ".env" not in module.name:
            import_module(module.name)
    ours = (kind for kind in _classes(S3ImportError) if kind.__module__.startswith("s3import."))
    return {vars(kind)["code"] for kind in ours if "code" in vars(kind)}


def _written() -> set[str]:
    """The codes that stand in the source as `code=` or `error_code=`, as a member `code`, or in a problem document."""
    return {
        node.value
        for path in MODULES
        for node in _places(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }


def _places(path: Path) -> Iterator[ast.expr]:
    for node in nodes(path):
        if isinstance(node, ast.keyword) and node.arg in ("code", "error_code"):
            yield node.value
        if isinstance(node, ast.Dict):
            members = zip(node.keys, node.values, strict=True)
            yield from (value for key, value in members if isinstance(key, ast.Constant) and key.value == "code")
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "problem":
            yield from node.args[2:3]
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_CODES":
            yield from getattr(node.value, "values", ())


@pytest.mark.integration
def test_every_code_is_explained_and_nothing_else() -> None:
    """Each code that a reject, an error or an answer can have is in the catalogue; the catalogue has no other."""
    assert _declared() | _written() | RejectCode.ALL == set(explanations())


def test_rejects_are_the_codes_of_rejects() -> None:
    """The group of rejects is what a record can be rejected with, in the order of the contract."""
    of_rejects = [code for code, explanation in explanations().items() if explanation.group == "rejects"]
    assert of_rejects == [value for name, value in vars(RejectCode).items() if name.isupper() and name != "ALL"]


def test_an_explanation_is_short_and_whole() -> None:
    """A meaning fits on a line, texts are sentences, and backticks come in pairs."""
    assert [code for code, one in explanations().items() if not one.example or len(one.meaning) > 100] == []
    texts = [text for one in explanations().values() for text in (one.meaning, one.cause, one.cure)]
    assert [text for text in texts if not _is_whole(text)] == []


def _is_whole(text: str) -> bool:
    begins = text.startswith(("`", "s3import")) or text[0].isupper()
    return begins and text.endswith(".") and text.count("`") % 2 == 0


REJECTS = sorted(RejectCode.ALL - BY_DATABASE_OR_FILES - WITHOUT_EXAMPLE_AS_JSON)


@pytest.mark.parametrize("code", REJECTS)
def test_the_example_of_a_reject_gets_its_code(code: str) -> None:
    """What an example shows in backticks is rejected with the code that it explains."""
    example = explain(code).example
    entity = next((one for one in Entity if f" {one[:-1]}" in example.partition("`")[0]), None)
    shown = example.split("`")[1].encode()
    line = orjson.dumps(right(entity, **orjson.loads(shown))) if entity else shown
    (batch,) = read(line + b"\n", entity or Entity.THREADS)
    (reject,) = check(batch, entity or Entity.THREADS, ACCOUNT).rejects
    assert code in {reason.code for reason in reject.reasons}


@pytest.mark.parametrize("written", ["unknown_thread", " UNKNOWN-THREAD ", "[unknown_thread]", "unknown thread"])
def test_a_code_is_found_however_it_is_written(written: str) -> None:
    """A code may be typed as it is copied from a message."""
    assert explain(written).code == "unknown_thread"


def test_an_unknown_code_is_told_what_looks_like_it() -> None:
    """Whoever mistypes a code learns the right one; otherwise where the list is."""
    with pytest.raises(ConfigurationError, match=r"no code unknwn_thread; did you mean unknown_thread"):
        explain("unknwn_thread")
    with pytest.raises(ConfigurationError, match="`s3import explain` lists all codes"):
        explain("x")


def test_a_code_leads_to_its_place_in_the_docs() -> None:
    """The URL is that of the project's documentation, and the place one that Sphinx makes of the code's heading."""
    assert explain("unknown_thread").url == f"{DOCUMENTATION}guides/errors.html#unknown-thread"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Documentation"] == DOCUMENTATION
