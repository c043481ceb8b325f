"""From a URI and an account id to a source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3import.core.errors import ConfigurationError
from s3import.core.ids import check_account_id
from s3import.readers.sources.folder import FolderSource
from s3import.readers.sources.location import account_folders, open_source, resolve

UNFIT = ["", ".", "..", "a/b", "a\\b", "{a", "a}", "a\nb", "a\x7f", "\x85", "x" * 256, "\ud800", "a\0"]


@pytest.mark.parametrize("account_id", UNFIT)
def test_refuses_unfit_account_ids(account_id: str) -> None:
    """What is no id, or could lead to another folder, is a usage error before anything is touched."""
    with pytest.raises(ConfigurationError, match="cannot be an account id"):
        open_source("/tmp/{account}", account_id)


@pytest.mark.parametrize("account_id", ["a", "...", "a b ", "100%", "%2e%2e", "ü😀", "x" * 255, "a:b?c#d"])
def test_takes_any_other_account_id(account_id: str) -> None:
    """Every other id is one."""
    check_account_id(account_id)


def is_fit(account_id: str) -> bool:
    try:
        check_account_id(account_id)
    except ConfigurationError:
        return False
    return True


FIT = st.text(st.sampled_from("a%20b?#&=:+ .~éü😀") | st.characters(), min_size=1, max_size=20).filter(is_fit)


@pytest.mark.parametrize("form", ["/dumps of all/{account}/x", "dumps/{account}", "{account}", "x://{account}//x"])
@given(account_id=FIT)
@example(account_id="a%62")
@example(account_id="file:x")
@example(account_id="s3:")
def test_a_resolved_path_opens_the_same_folder_again(form: str, account_id: str) -> None:
    """An account id in a path stands for itself, however often the path is resolved and opened."""
    folder = str(Path.cwd() / form.replace("{account}", account_id))
    if form.startswith("x://"):
        form = f"/dumps/{form}"
        folder = form.replace("{account}", account_id)
    resolved = resolve(form, account_id)
    assert resolve(resolved, account_id) == resolved
    for uri in (form, resolved):
        opened = open_source(uri, account_id)
        assert isinstance(opened, FolderSource)
        assert (opened.path, opened.uri) == (Path(folder), resolved)


@pytest.mark.parametrize(
    "form", ["file://{}/{{account}}/x", "FILE:{}/{{account}}/x", "file://localhost{}/{{account}}/x"]
)
@given(account_id=FIT)
@example(account_id="a%62")
@example(account_id="a%2fb")
def test_a_resolved_file_uri_opens_the_same_folder_again(form: str, account_id: str) -> None:
    """In a file URI the account id is percent-encoded, so that decoding gives it back, once and again."""
    form = form.format("/dumps%20of%20all/%ff")
    resolved = resolve(form, account_id)
    assert resolved == form.replace("{account}", quote(account_id, safe=""))
    for uri in (form, resolved, resolve(resolved, account_id)):
        opened = open_source(uri, account_id)
        assert isinstance(opened, FolderSource)
        assert (opened.path, opened.uri) == (Path("/dumps of all/\udcff", account_id, "x"), resolved)


@given(account_id=FIT)
def test_an_account_id_in_a_bucket_is_literal(account_id: str) -> None:
    """Keys of S3 are no URLs: nothing in them is encoded."""
    assert resolve("s3://dumps/{account}/x", account_id) == f"s3://dumps/{account_id}/x"


@given(st.text(max_size=300))
def test_a_fit_account_id_is_one_name_in_a_path(account_id: str) -> None:
    """No account id that passes leads anywhere but one level below the folder."""
    try:
        check_account_id(account_id)
    except ConfigurationError:
        return
    assert Path("/dumps", account_id).parent == Path("/dumps")
    assert Path("/dumps", account_id).name == account_id


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}", "FILE:{}"])
def test_opens_folders(tmp_path: Path, form: str) -> None:
    """A plain path and a file URI mean the same folder; the account id takes its place in them."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/account.json").write_bytes(b"{}")
    source = open_source(form.format(tmp_path) + "/{account}", "acme")
    assert source.read("account.json") == b"{}"
    assert source.uri == form.format(tmp_path) + "/acme"


def test_decodes_file_uris_but_not_account_ids(tmp_path: Path) -> None:
    """Percent signs are an encoding in a file URI, in an account id they are themselves."""
    (tmp_path / "my dumps/%41").mkdir(parents=True)
    (tmp_path / "my dumps/%41/account.json").write_bytes(b"{}")
    source = open_source((tmp_path / "my dumps").as_uri() + "/{account}", "%41")
    assert source.read("account.json") == b"{}"


def test_takes_paths_literally(tmp_path: Path) -> None:
    """A plain path is not decoded, and a colon in it is no scheme."""
    (tmp_path / "a%20b:c").mkdir()
    (tmp_path / "a%20b:c/account.json").write_bytes(b"{}")
    assert open_source(f"{tmp_path}/a%20b:c", "acme").read("account.json") == b"{}"


@pytest.mark.parametrize(
    "uri", ["gs://bucket/{account}", "http://host/x", "file://host/x", "file:", "s3:bucket", "s3:///x", ""]
)
def test_refuses_other_uris(uri: str) -> None:
    """A URI of another kind, or without a place in it, is a usage error that shows what is meant."""
    with pytest.raises(ConfigurationError, match=r"\{account\}"):
        open_source(uri, "acme")


def test_a_folder_costs_no_boto3() -> None:
    """Who reads from a folder does not wait for boto3 to be imported."""
    code = """
import sys
from s3import.readers.sources import location
location.open_source("/x", "a")
print("boto3" in sys.modules)"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize(
    "form", ["{}/{{account}}", "file://{}/{{account}}", "{}/{{account}}/x/{{account}}", "{}/../dumps/{{account}}"]
)
def test_finds_the_accounts(tmp_path: Path, form: str) -> None:
    """Accounts are the folders, and links to folders, at the place of {account}; what follows it does not matter."""
    root = tmp_path / "dumps"
    for name in ("acme", "ü b"):
        (root / name).mkdir(parents=True)
    (root / "linked").symlink_to(tmp_path)
    (root / "file").touch()
    assert account_folders(form.format(root)) == {"acme", "ü b", "linked"}


def test_finds_the_accounts_within_a_name(tmp_path: Path) -> None:
    """What stands before and behind {account} in a folder's name is not the account's."""
    for name in ("dump-acme.v1", "dump-.v1", "dump-other.v2", "acme.v1"):
        (tmp_path / name).mkdir()
    assert account_folders(f"{tmp_path}/dump-{{account}}.v1/x") == {"acme", ""}


def test_finds_the_accounts_behind_encoded_names(tmp_path: Path) -> None:
    """In a file URI the names beside {account} are decoded before they are compared, the account's own is not."""
    (tmp_path / "dump of a%62.v1").mkdir()
    assert account_folders(f"{tmp_path.as_uri()}/dump%20of%20{{account}}%2Ev1") == {"a%62"}


def test_finds_no_accounts_among_buckets() -> None:
    """Buckets are not listed."""
    with pytest.raises(ConfigurationError, match="names no bucket"):
        account_folders("s3://{account}/dumps")
