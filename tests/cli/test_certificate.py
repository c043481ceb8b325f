"""`s3import certificate`, to the letter."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from tests.cli.commands import ACCOUNT, Dump, migrate, s3import

pytestmark = pytest.mark.integration

SECRET = {"S3IMPORT_CERTIFICATE_SECRET": "0123456789abcdef0123456789abcdef"}


@pytest.fixture
def words(dump: Dump, sqlite_url: str) -> list[str]:
    """The words that certify an account with one reject, which was verified."""
    dump.fill(bad=1)
    migrate(dump, sqlite_url)
    assert s3import("verify", "--account", ACCOUNT, "--database", sqlite_url).status == 0
    return ["certificate", "--account", ACCOUNT, "--database", sqlite_url]


def test_prints_a_document_that_it_knows_again(words: list[str], tmp_path: Path) -> None:
    """One JSON document on stdout; --check sums it up."""
    made = s3import(*words, **SECRET)
    assert (made.status, made.err) == (0, "")
    document = made.document
    (tmp_path / "a.json").write_text(made.out)
    ended = s3import("certificate", "--check", str(tmp_path / "a.json"), **SECRET)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == (
        "account acme: the certificate is as it was signed\n"
        f"  issued {document['issued_at']} with s3import {document['software']['s3import']}, "
        f"verified {document['verification']['verified_at']}\n"
        "  threads: 3 read = 2 written + 0 unchanged + 1 rejected\n"
        "  messages: 3 read = 3 written + 0 unchanged + 0 rejected\n"
        "  attachments: 0 read = 0 written + 0 unchanged + 0 rejected\n"
    )


def test_writes_a_page_that_it_knows_again(words: list[str], tmp_path: Path) -> None:
    """The document is on stdout all the same; a page that was changed is found out."""
    page = tmp_path / "a.html"
    made = s3import(*words, "--html", str(page), **SECRET)
    assert (made.status, made.err) == (0, f"s3import: the certificate of account acme is in {page}\n")
    assert made.document["account"]["id"] == ACCOUNT
    assert s3import("certificate", "--check", str(page), **SECRET).status == 0
    page.write_text(page.read_text().replace("No record", "Some record").replace("1 records", "0 records"))
    ended = s3import("certificate", "--check", str(page), **SECRET)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.endswith("[certificate_invalid]\n")


def test_knows_a_certificate_again_that_an_editor_saved(words: list[str], tmp_path: Path) -> None:
    """A byte order mark in front, which some editors put there, changes nothing of a document or a page."""
    made = s3import(*words, "--html", str(tmp_path / "a.html"), **SECRET)
    (tmp_path / "a.json").write_text(made.out)
    for name in ("a.json", "a.html"):
        file = tmp_path / name
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
        assert s3import("certificate", "--check", str(file), **SECRET).status == 0


def test_says_what_to_do_next(words: list[str], tmp_path: Path) -> None:
    """Without a secret, without an account, with a place that cannot be written to."""
    without, nobody = s3import(*words), s3import("certificate", **SECRET)
    nowhere = s3import(*words, "--html", f"{tmp_path}/none/a.html", **SECRET)
    assert [ended.status for ended in (without, nobody, nowhere)] == [2, 2, 2]
    assert "set S3IMPORT_CERTIFICATE_SECRET" in without.err
    assert nobody.err.startswith("s3import: give --account ID for a certificate, or --check FILE")
    assert nowhere.err.endswith("none/a.html cannot be written: No such file or directory; give another file "
                                "[configuration]\n")  # fmt: skip


def test_a_secret_stands_nowhere(words: list[str], tmp_path: Path) -> None:
    """Neither in what is printed nor in a complaint."""
    for secret in ("0123456789abcdef0123456789abcdef", "short"):
        ended = s3import(*words, S3IMPORT_CERTIFICATE_SECRET=secret)
        assert secret not in ended.out + ended.err


def test_a_callback_s_secret_will_do(words: list[str]) -> None:
    """Where there is no other."""
    ended = s3import(*words, S3IMPORT_CALLBACK_SECRET="whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")
    assert ended.status == 0
