"""The lowest releases that pyproject.toml allows of what s3import needs, as constraints: `python -m tests.bounds`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<lowest>[\d.]+)")


def lowest() -> dict[str, str]:
    """The lowest release by the name of a distribution, of the command line and of the service.

    Raises: ValueError for a requirement that is not a name and a lower bound.
    """
    bounds = {}
    for requirement in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["service"]):
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None:
            raise ValueError(f"{requirement!r} is not a name and a lower bound")
        bounds[found["name"]] = found["lowest"]
    return bounds


if __name__ == "__main__":
    for name, release in lowest().items():
        print(f"{name}=={release}")  # noqa: T201 - that is what it is for
