"""Verifications in this process, and what they find in a few words."""

from __future__ import annotations

import threading
from typing import Any

from s3import.core.settings import Settings
from s3import.operations.verify import Finding, Verified
from tests import commands as app
from tests.importing.dumps import ACCOUNT
from tests.importing.moving import ignore


def verify(settings: Settings, account: str = ACCOUNT) -> Verified:
    """What `s3import verify` does for the account."""
    return app.verify(settings, account, observe=ignore, stop=threading.Event())


def differences(verified: Verified) -> set[tuple[Any, ...]]:
    """Each listed difference as its entity, id, kind and fields."""
    return set(map(_words, verified.findings.differences))


def changes(verified: Verified) -> set[tuple[Any, ...]]:
    """Each listed change by people, as `differences`."""
    return set(map(_words, verified.findings.changes))


def _words(finding: Finding) -> tuple[Any, ...]:
    return (finding.entity.value, finding.id, finding.kind.value, *finding.fields)
