"""Fixtures for every test; the real parts they stand on live in `databases` and `objects`."""

import gc
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.tiers"]
REAL_PARTS = ("tests.databases", "tests.objects", "tests.server.workers.brokers")

# What a change breaks must not depend on luck; who works on it draws new examples with every run.
EXAMPLES = int(os.environ.get("S3IMPORT_TEST_EXAMPLES", "10"))
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, max_examples=EXAMPLES)
settings.register_profile("here", deadline=None, max_examples=EXAMPLES)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")

# Files of tests outlive no power failure, so their databases need not wait for a disk.
_IN_MEMORY = Path("/dev/shm")
if os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, but not in a process that only hands tests out to others."""
    if config.option.dist == "no":
        for name in REAL_PARTS:
            config.pluginmanager.import_plugin(name)


gc.disable()  # what is imported and collected stays


def pytest_collection_finish() -> None:
    """The garbage collector need not go through it again and again."""
    gc.freeze()
    gc.enable()
