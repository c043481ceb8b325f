"""What the documents of the service say is so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from s3import.settings import Settings

ROOT = Path(__file__).parent.parent.parent
SERVICE = (ROOT / "docs" / "service.md").read_text()
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()
UNIT = (ROOT / "deploy" / "s3import.service").read_text()


class Asked(Mapping[str, str]):
    """An empty environment that remembers what it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_the_table_lists_the_settings_that_are_read() -> None:
    """Every variable that settings come from, and no other."""
    asked = Asked()
    Settings.from_environment(asked)
    assert set(re.findall(r"^\| `(S3IMPORT_\w+)`", SERVICE, re.MULTILINE)) == asked.names


def test_the_table_names_the_defaults() -> None:
    """A number or a name in its second column is the setting's own."""
    defaults = Settings()
    for variable, told in re.findall(r"^\| `S3IMPORT_(\w+)` \| `?([\w:/.]+)`? \|", SERVICE, re.MULTILINE):
        assert str(getattr(defaults, variable.lower())) in (told, f"{told}.0"), variable


def test_the_container_copies_what_the_package_is_built_from() -> None:
    """Whatever pyproject.toml names is there, and it does not run as root."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = re.findall(r"^COPY (?!--)(.*)$", CONTAINERFILE, re.MULTILINE)
    files = {name for line in copied for name in line.split()[:-1]}
    assert {"pyproject.toml", "constraints.txt", "s3import", project["readme"], *project["license-files"]} <= files
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert re.search(r"^USER (?!0|root)", CONTAINERFILE, re.MULTILINE)


def test_the_unit_starts_the_command_without_privileges() -> None:
    """It drains on stop, comes back after a crash, and is nobody in particular."""
    wanted = {"DynamicUser=yes", "Restart=always", "KillMode=mixed", "EnvironmentFile=/etc/s3import.env"}
    assert wanted <= set(UNIT.splitlines())
    assert re.search(r"^ExecStart=\S+/s3import serve ", UNIT, re.MULTILINE)
