"""What the documents of the service say is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()
UNIT = (ROOT / "deploy" / "s3import.service").read_text()


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
