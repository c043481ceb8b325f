"""A mapping is checked before anything is read: a mistake is named with its line and its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3import.core.errors import ConfigurationError
from s3import.core.records import Entity
from s3import.readers.dynamodb.mapping import parse_mapping, read_mapping
from tests.readers.dynamodb.items import MAPPING

EXAMPLE = Path(__file__).parents[3] / "fixtures" / "dynamodb-mapping.toml"


def test_the_example_is_right() -> None:
    """The mapping that is shipped as an example maps every entity."""
    mapping = read_mapping(str(EXAMPLE))
    assert [one.entity for one in mapping.entities] == [Entity.THREADS, Entity.MESSAGES, Entity.ATTACHMENTS]


def test_shards_and_arns() -> None:
    """A key with shards has a value for each, and a table's ARN gives its name."""
    text = MAPPING.replace('value = "A#{account}"', 'value = "A#{account}#{shard}", shards = 2').replace(
        'table = "messages"', 'table = "arn:aws:dynamodb:eu-west-1:111122223333:table/messages"'
    )
    messages = parse_mapping(text, "m").of(Entity.MESSAGES)
    assert messages is not None
    assert messages.key.values("acme") == ("A#acme#0", "A#acme#1")
    assert messages.table_name == "messages"


@pytest.mark.parametrize(
    ("key", "value", "account"),
    [
        ('"A#{account}"', "A#acme", "acme"),
        ('"A#{account}"', "B#acme", None),
        ('"A#{account}"', "A#", None),
        ('"A.{account}"', "A+acme", None),
        ('"{account}#{shard}", shards = 12', "a#b\nc#11", "a#b\nc"),
        ('"{account}#{shard}", shards = 12', "acme#12", None),
        ('"{account}#{shard}", shards = 12', "acme#01", None),
        ('"{account}/{account}"', "acme/acme", "acme"),
        ('"{account}/{account}"', "acme/other", None),
    ],
)
def test_whose_a_key_is(key: str, value: str, account: str | None) -> None:
    """The account is found in a key's value where that value is one of its own, and nowhere else."""
    messages = parse_mapping(MAPPING.replace('"A#{account}"', key), "m").of(Entity.MESSAGES)
    assert messages is not None
    assert messages.key.account_of(value) == account
    assert account is None or value in messages.key.values(account)


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("version = 1", "version = 2", "line 2: version must be 1"),
        ('brand_id = "brand"', 'brandid = "brand"', "line 10: threads.fields.brandid is not known here"),
        ('brand_id = "brand"\n', "", "line 8: threads.fields does not say where brand_id comes from"),
        ('brand_id = "brand"', "brand_id = 5", "line 10: threads.fields.brand_id must be a table"),
        ('words = "status"', 'words = "state"', "line 12: threads.fields.status.words names 'state'"),
        ('time = "seconds"', 'time = "days"', "line 29: messages.fields.updated_at.time must be one of"),
        ('value = "{account}"', 'value = "acme"', "line 6: threads.key.value must hold {account}"),
        ('value = "{account}"', 'value = "{account}", shards = 2', "line 6: threads.key.shards must be"),
        (
            'path = "inbound"',
            'path = "inbound", constant = "x"',
            "line 27: messages.fields.direction must have exactly",
        ),
        ('size_bytes = "size"', 'size_bytes = { constant = "5" }', "attachments.fields.size_bytes must be a path"),
        ("{call.id}.mp3", "{call.id.mp3", "telephony.recording_key.template has a brace that is not closed"),
        ("{call.id}", "call.id}", "telephony.recording_key.template has a brace that is not closed, or was not opened"),
        ("{call.id}", "{call..id}", "telephony.recording_key.template has braces without a path"),
        ("{call.id}", r"{\"call.id}", "telephony.recording_key.template has braces without a path"),
        (
            'size_bytes = "size"',
            'size_bytes = { path = "size", after = "x" }',
            "line 42: attachments.fields.size_bytes takes",
        ),
        ('tags = "tags"', 'tags = { path = "tags", words = "status" }', "line 13: threads.fields.tags takes neither"),
        (
            '[words.status]\nOPEN = "open"',
            '[words."status"]\n"a=]#b" = 1',
            "line 47: words.status.a=]#b must be a text",
        ),
        (
            'brand_id = "brand"',
            'brand_id = """a\n[messages.fields]\nid = 5"""\nassignee_id = 5',
            "line 13: threads.fields.assignee_id",
        ),
        ("{call.id}", "{}", "telephony.recording_key.template has braces without a path"),
        ('OPEN = "open"', "OPEN = 1", "words.status.OPEN must be a text"),
        (
            'key = { attribute = "account", value = "{account}" }',
            'key = { attribute = "a\x85b\u2028c", value = "acme" } # \x85 \u2028',
            "line 6: threads.key.value",
        ),
        ('OPEN = "open"', "# \u2028 \x85 \x0c\nOPEN = 1".replace("\x0c", ""), "line 48: words.status.OPEN"),
        ("version = 1", "version =", "line 2, column 10: it is not TOML: a value is missing, or is a text without"),
        (
            "version = 1",
            'version = "canary',
            "it is not TOML: a character may not stand there, or a text is not closed",
        ),
        ("version = 1", "version = canary", "it is not TOML: a value is missing, or is a text without quotes"),
        ("version = 1", "version = 1 canary", "it is not TOML: something stands behind a value"),
        ("version = 1", "canary", "it is not TOML: `=` and a value are missing behind a key"),
        ("version = 1", "version = 1\n[canary]\n[canary]", "it is not TOML: a key or a table stands there twice"),
        ("version = 1", r'version = "\canary"', "it is not TOML: a backslash in a text must be doubled"),
        ("version = 1", "version = ['canary'", "it is not TOML: something is not closed"),
        ('table = "threads"', 'tabel = "threads"', "line 5: threads.tabel is not known here; there are table, index"),
    ],
)
def test_mistakes(right: str, wrong: str, complaint: str) -> None:
    """The message names the line and the key, and says what is wrong."""
    with pytest.raises(ConfigurationError) as raised:
        parse_mapping(MAPPING.replace(right, wrong, 1), "mapping.toml")
    assert complaint in raised.value.message
    assert "canary" not in raised.value.message


def test_names_with_dots() -> None:
    """A path is dotted, or a list of names that may hold dots themselves."""
    text = MAPPING.replace('brand_id = "brand"', 'brand_id = ["a.b", "c"]').replace(
        'channel_id = "channel"', 'channel_id = { path = ["d.e"], words = "status" }'
    )
    threads = parse_mapping(text.replace('tags = "tags"', 'tags = ["t.u"]'), "m").of(Entity.THREADS)
    assert threads is not None
    paths = {field.field: field.paths for field in threads.fields}
    assert paths["brand_id"] == (("a.b", "c"),)
    assert paths["channel_id"] == (("d.e",),)
    assert paths["tags"] == (("t.u",),)
    assert paths["customer.name"] == (("customer", "name"),)


def test_names_with_dots_in_templates() -> None:
    """A path in a template is dotted too; a name in quotes may hold dots itself."""
    text = MAPPING.replace('"calls/{account}/{call.id}.mp3"', """'{"a.b".c}/{account}/{d.e}/{"f"}'""")
    messages = parse_mapping(text, "m").of(Entity.MESSAGES)
    assert messages is not None
    [pieces] = [field.pieces for field in messages.fields if field.field == "telephony.recording_key"]
    assert pieces == (("a.b", "c"), "/{account}/", ("d", "e"), "/", ("f",))


def test_a_mapping_that_is_not_there() -> None:
    """A file that cannot be read is an error of the command."""
    with pytest.raises(ConfigurationError, match=r"nowhere/mapping\.toml cannot be read: No such file or directory; "):
        read_mapping("nowhere/mapping.toml")


def test_a_mapping_with_a_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark before the text does no harm."""
    file = tmp_path / "mapping.toml"
    file.write_text(MAPPING, encoding="utf-8-sig")
    assert read_mapping(str(file)).entities == parse_mapping(MAPPING, "m").entities


def test_a_mapping_that_is_no_text(tmp_path: Path) -> None:
    """The line is named, and nothing of what stands there."""
    file = tmp_path / "mapping.toml"
    file.write_bytes(b"version = 1\n# canary \xff")
    with pytest.raises(ConfigurationError, match="line 2: it is not UTF-8") as raised:
        read_mapping(str(file))
    assert "canary" not in raised.value.message
