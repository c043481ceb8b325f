"""Fixtures for every test; the real parts they stand on live in `databases` and `objects`."""

pytest_plugins = ["tests.databases", "tests.objects", "tests.fleet.brokers", "tests.tiers"]
