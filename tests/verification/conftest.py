"""What tests of verifications start from."""

from tests.migration.conftest import settings

__all__ = ["settings"]
