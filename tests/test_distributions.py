"""The wheel and the source distribution: whole, well described, and enough to migrate an account."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable, Mapping
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fixtures.make import ACCOUNT, DUMP

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, as `make dist` builds them."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, folder=ROOT)
    return folder


def run(*words: str | Path, folder: Path, status: int = 0) -> str:
    """Run a program to its end in a folder, without the caller's settings; what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("S3IMPORT_", "PYTHON", "AWS_"))}
    done = subprocess.run(words, cwd=folder, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def metadata(wheel: Path) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_an_index_would_take_them(distributions: Path) -> None:
    """Their descriptions can be shown, and the wheel holds nothing that does not belong there."""
    built = sorted(distributions.iterdir())
    assert len(built) == 2
    run(PROGRAMS / "twine", "check", "--strict", *built, folder=distributions)
    run(PROGRAMS / "check-wheel-contents", *distributions.glob("*.whl"), folder=ROOT)


def test_the_wheel_holds_the_package_and_no_more(distributions: Path) -> None:
    """Every module and file of the package is in it, its types marked; tests and fixtures are not."""
    with zipfile.ZipFile(only(distributions, "*.whl")) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for path in (ROOT / "s3import").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert held == {path.relative_to(ROOT).as_posix() for path in files}
    assert "s3import/py.typed" in held


def test_the_source_distribution_builds_the_same_wheel(distributions: Path, tmp_path: Path) -> None:
    """Whoever builds from source needs nothing of the checkout."""
    with tarfile.open(only(distributions, "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, folder=only(tmp_path, "reamaze*"))
    built = [only(folder, "*.whl") for folder in (distributions, tmp_path)]
    assert built[0].name == built[1].name
    assert zipfile.ZipFile(built[0]).namelist() == zipfile.ZipFile(built[1]).namelist()


def test_the_distribution_describes_itself(distributions: Path) -> None:
    """Name, licence, the oldest Python, where the documentation is, and that its types can be relied on."""
    told = metadata(only(distributions, "*.whl"))
    assert (told["Name"], told["License-Expression"], told["Requires-Python"]) == (
        "reamaze-s3import",
        "Apache-2.0",
        ">=3.11",
    )
    assert any(url.startswith("Documentation, https://") for url in told.get_all("Project-URL", []))
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(told.get_all("Classifier", []))
    assert "migration" in told["Keywords"].split(",")


def test_the_wheel_alone_migrates_an_account(distributions: Path, tmp_path: Path) -> None:
    """With what it asks for, outside of the checkout: the command is there, imports a dump and proves it."""
    wheel, programs = only(distributions, "*.whl"), tmp_path / "environment/bin"
    venv.create(tmp_path / "environment")
    link(needed(metadata(wheel).get_all("Requires-Dist", [])), only(tmp_path, "environment/lib/python*/site-packages"))
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", "--no-compile", wheel, folder=tmp_path)
    database = f"sqlite:///{tmp_path}/reamaze.db"
    where = ("--account", ACCOUNT, "--database", database)
    shown = run(programs / "s3import", "migrate", *where, "--source", DUMP / ACCOUNT, folder=tmp_path, status=3)
    assert shown.startswith(f"account {ACCOUNT}: active;")
    assert "the database holds what the dump says" in run(programs / "s3import", "verify", *where, folder=tmp_path)
    assert run(*pip, "check", folder=tmp_path).strip() == "No broken requirements found."


def needed(lines: Iterable[str], extra: str = "") -> dict[str, Distribution]:
    """What requirements ask for, as it is installed here, and what that asks for in turn, for its extras too."""
    found: dict[str, Distribution] = {}
    for asked in map(Requirement, lines):
        if asked.marker is None or asked.marker.evaluate({"extra": extra}):
            there = distribution(asked.name)
            found[there.name] = there
            for each in ("", *asked.extras):
                found |= needed(there.requires or (), each)
    return found


def link(distributions: Mapping[str, Distribution], folder: Path) -> None:
    """Have a folder of packages hold them, without copying a file."""
    for one in distributions.values():
        tops = {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}
        for name in tops:
            (folder / name).symlink_to(str(one.locate_file(name)))
