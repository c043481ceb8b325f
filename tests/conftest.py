"""Fixtures for every test; the real parts they stand on live in `databases` and `objects`."""

import os

from hypothesis import settings

pytest_plugins = ["tests.databases", "tests.objects", "tests.fleet.brokers", "tests.tiers"]

# What a change breaks must not depend on luck; who works on it draws new examples with every run.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("here", deadline=None, max_examples=50)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")
