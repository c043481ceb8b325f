"""What others wrote lies here unchanged, with its licence."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from s3import.server.page.page import STATIC

VENDORED = {
    "htmx-4.0.1.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "htmx-4.0.1.LICENSE.txt": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
    "pico-2.1.1.classless.min.css": "61207a40ffc02a42d1e50143651c121beab70ed413c934c1ff84fa263ba436b0",
    "pico-2.1.1.LICENSE.md": "afaff063e044233f917b7807dccab022f09dca474f92b642846bee4850655bbf",
}
MAX_BYTES = 150 * 1024


@pytest.mark.parametrize("name", VENDORED)
def test_a_vendored_file_is_what_was_published(name: str) -> None:
    assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == VENDORED[name]


def test_the_page_adds_little_to_the_wheel() -> None:
    ours = (path for path in STATIC.parent.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert sum(len(zlib.compress(path.read_bytes())) for path in ours) <= MAX_BYTES
