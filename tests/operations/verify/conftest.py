"""What tests of verifications start from."""

from tests.importing.conftest import settings

__all__ = ["settings"]
