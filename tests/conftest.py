"""Fixtures for every test; the real parts they stand on live in `databases` and `objects`."""

import gc
import os

from hypothesis import settings

pytest_plugins = ["tests.databases", "tests.objects", "tests.server.workers.brokers", "tests.tiers"]

# What a change breaks must not depend on luck; who works on it draws new examples with every run.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("here", deadline=None, max_examples=30)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the garbage collector need not go through it again and again."""
    gc.freeze()
