"""Requests reach only the sources that the operator named, however the request spells them."""

from __future__ import annotations

import posixpath
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3import.core.errors import ConfigurationError, SourceNotAllowed
from s3import.readers.sources.allowed import require_allowed
from s3import.readers.sources.location import open_source, resolve

S3 = "s3://dumps/conversations/{account}"
PIECES = st.sampled_from(
    ["s3:", "S3:", "file:", "//", "/", "dumps", "conversations", "acme", "%61cme", "other", "{account}", "localhost"]
) | st.sampled_from(
    ["..", ".", "%2e", "%252E", "%2f", "%5c", "\\", "\0", "%00", "%", "a", "?", "#", "@", ":", "é", "%C3%A9", " ", "\n"]
)
SPELLINGS = st.lists(PIECES, max_size=12).map("".join) | st.builds(
    "".join, st.tuples(st.just("s3://dumps/conversations/"), st.lists(PIECES, max_size=6).map("".join))
)


@pytest.mark.parametrize(
    ("source", "opened"),
    [
        (S3, "s3://dumps/conversations/acme"),
        ("s3://dumps/conversations/acme", "s3://dumps/conversations/acme"),
        ("S3://dumps//conversations///acme/", "s3://dumps/conversations/acme"),
        ("s3://dumps/conversations/acme/2026-11", "s3://dumps/conversations/acme/2026-11"),
        ("s3://archive/old/{account}", "s3://archive/old/acme"),
        ("s3://archive/old", "s3://archive/old"),
        ("s3://dumps/conversations/acme/100%", "s3://dumps/conversations/acme/100%"),
        ("s3://dumps/conversations/acme/a%2Fb%3A", "s3://dumps/conversations/acme/a%2Fb%3A"),
        ("s3://dumps/conversations/./acme/.", "s3://dumps/conversations/acme"),
        ("s3://dumps/conversations/other/../acme", "s3://dumps/conversations/acme"),
        ("s3://dumps/conversations/acme/x//../y/", "s3://dumps/conversations/acme/y"),
    ],
)
def test_sources_below_a_named_one_pass_in_their_plainest_form(source: str, opened: str) -> None:
    """What lies at or below a source that the operator named may be asked for."""
    assert require_allowed(source, "acme", S3, ["s3://archive/old/"]) == opened


@pytest.mark.parametrize(
    "source",
    [
        "",
        "s3://",
        "s3:///dumps/conversations/acme",
        "s3:dumps/conversations/acme",
        "s3://dumps/conversations/acme2",
        "s3://dumps/conversations/other",
        "s3://dumps/conversations",
        "s3://dumps",
        "s3://DUMPS/conversations/acme",
        "s3://dumps2/conversations/acme",
        "s3://user@dumps/conversations/acme",
        "s3://dumps/conversations/acme/../other",
        "s3://dumps/conversations/acme/..",
        "s3://dumps/conversations/acme/x/../../other",
        "s3://other/../dumps/conversations/acme",
        "s3://dumps/../dumps/conversations/acme",
        "s3://dumps/../../conversations/acme",
        "s3://dumps/conversations/acme/%2e%2e/other",
        "s3://dumps/conversations/acme/%252e%252e/other",
        "s3://dumps/conversations/acme/%%32%65%2e/other",
        "s3://dumps/conversations/acme%2fx",
        "s3://dumps/conversations/%61cme",
        "s3://dumps/conversations\\acme",
        "s3://dumps/conversations/acme/\0",
        "s3://dumps/conversations/acme/%00",
        "s3://dumps/conversations/acme/\ud800",
        "s3://dumps/conversations/%7Baccount%7D",
        "file:///dumps/conversations/acme",
        "/dumps/conversations/acme",
        "dumps/conversations/acme",
        "http://dumps/conversations/acme",
        "s3://dumps/conversations/acme/" + "a" * 2048,
    ],
)
def test_everything_else_is_refused(source: str) -> None:
    """Other prefixes and buckets, other kinds of storage, whatever climbs out, and disguises are refused."""
    with pytest.raises(SourceNotAllowed):
        require_allowed(source, "acme", S3, [])


@given(SPELLINGS)
@example("s3://dumps/conversations/acme/%2e./%2e%2e")
def test_whatever_passes_would_be_opened_below_the_named_source(source: str) -> None:
    """No spelling of a source gets out of the named one, also when somebody decodes it once too often."""
    try:
        allowed = require_allowed(source, "acme", S3, [])
    except SourceNotAllowed:
        return
    readings = {allowed, unquote(allowed), unquote(unquote(allowed))}
    for reading in readings:
        path = posixpath.normpath(reading.removeprefix("s3://"))
        assert f"{path}/".startswith("dumps/conversations/acme/")


def test_a_passed_source_passes_again() -> None:
    """The plainest form is its own plainest form."""
    once = require_allowed("S3://dumps//conversations/{account}/x/", "acme", S3, [])
    assert require_allowed(once, "acme", S3, []) == once


def test_without_any_named_source_none_is_allowed() -> None:
    """A server that was given no source reads none that a request names."""
    with pytest.raises(SourceNotAllowed):
        require_allowed("s3://dumps/acme", "acme", None, [])


@pytest.mark.parametrize(
    "spelling",
    [
        "{root}/acme",
        "file://{root}/acme",
        "file://localhost{root}/%61cme",
        "{root}//acme/",
        "{root}/./other/../acme/.",
        "file://{root}/acme/x/%2E%2e",
        "file://{root}%2Facme",
    ],
)
def test_folders_are_compared_as_they_are_opened(tmp_path: Path, spelling: str) -> None:
    """A server that reads folders takes a path and a file URI for the same thing."""
    (tmp_path / "acme").mkdir()
    source = require_allowed(spelling.format(root=tmp_path), "acme", f"file://{tmp_path}/{{account}}", [])
    assert source.removeprefix("file://") == str(tmp_path / "acme")


@pytest.mark.parametrize("name", ["way-out", "acme/way-out"])
def test_links_do_not_lead_out(tmp_path: Path, name: str) -> None:
    """A link below the named folder that leads out of it is not below it."""
    named, outside = tmp_path / "named", tmp_path / "outside"
    (named / "acme").mkdir(parents=True)
    outside.mkdir()
    (named / name).symlink_to(outside)
    with pytest.raises(SourceNotAllowed):
        require_allowed(f"{named}/{name}", "acme", str(named), [])


@pytest.mark.parametrize("source", ["s3://dumps/acme", "{root}2/acme", "{root}/../x", "file://elsewhere{root}/acme"])
def test_a_server_that_reads_folders_reads_nothing_else(tmp_path: Path, source: str) -> None:
    """Buckets, neighbours whose names begin alike and other machines' files are refused."""
    with pytest.raises(SourceNotAllowed):
        require_allowed(source.format(root=tmp_path), "acme", f"{tmp_path}/", [])


@pytest.mark.parametrize("account", ["acme", "100%", "%41", "a b", "é?#", "...", "%2e%2e"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_filled_in_source_is_opened_where_the_account_lies(tmp_path: Path, scheme: str, account: str) -> None:
    """Filling in the account id first and opening the source later finds the same folder as doing both at once."""
    (tmp_path / account).mkdir()
    (tmp_path / account / "account.json").write_bytes(b"found")
    configured = f"{scheme}{tmp_path}/{{account}}"
    for source in (resolve(configured, account), require_allowed(configured, account, configured, [])):
        assert open_source(source, account).read("account.json") == b"found"


@given(account=st.text(st.sampled_from("a%2e62?#: éü") | st.characters(), min_size=1, max_size=12))
@pytest.mark.parametrize("base", ["s3://dumps/{account}", "/dumps/{account}", "file:///dumps/{account}"])
def test_what_a_status_shows_may_be_asked_for_again(base: str, account: str) -> None:
    """The source of an account, as it is shown, is allowed whatever the id holds, and stays what it is."""
    try:
        shown = resolve(base, account)
    except ConfigurationError:
        return
    assert require_allowed(shown, account, base, []) == shown
