"""Where files come from and go to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.files.dumps import BucketPlace, FolderPlace, Place
from tests.objects import Bucket


def _place(request: pytest.FixtureRequest, name: str) -> Place:
    if request.param == "bucket":
        request.applymarker(pytest.mark.integration)
        bucket: Bucket = request.getfixturevalue("s3")
        return BucketPlace(bucket, name)
    folder: Path = request.getfixturevalue("tmp_path")
    return FolderPlace(folder / name)


@pytest.fixture(params=["folder", "bucket"])
def source(request: pytest.FixtureRequest) -> Place:
    """Every kind of place that a dump may lie in."""
    return _place(request, "dumps")


@pytest.fixture(params=["folder", "bucket"])
def target(request: pytest.FixtureRequest) -> Place:
    """Every kind of place that files may go to."""
    return _place(request, "files")


@pytest.fixture
def source_folder(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "dumps")


@pytest.fixture
def target_folder(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "files")


@pytest.fixture
def source_bucket(s3: Bucket) -> BucketPlace:
    return BucketPlace(s3, "dumps")


@pytest.fixture
def target_bucket(s3: Bucket) -> BucketPlace:
    return BucketPlace(s3, "files")
