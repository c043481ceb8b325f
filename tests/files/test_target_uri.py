"""Where files may be copied to."""

from __future__ import annotations

import pytest

from s3import.core.errors import ConfigurationError
from s3import.files.target_uri import check_target


@pytest.mark.parametrize("uri", ["http://host/files", "dynamodb:", "gs://bucket/files"])
def test_what_takes_no_files_is_refused(uri: str) -> None:
    """The message says what does, and speaks of no source."""
    with pytest.raises(ConfigurationError, match="files cannot be copied to") as refusal:
        check_target(uri)
    assert "source" not in str(refusal.value)
