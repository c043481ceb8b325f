"""Strict reading of the dump's small JSON documents: every complaint names the document, the place and the remedy."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import orjson

from s3import.core.errors import MigrationFailed
from s3import.core.ids import is_id
from s3import.core.records import LONE_SURROGATE
from s3import.readers.formats.signatures import BYTE_ORDER_MARK

GREATEST_COUNT = 2**63 - 1
SHA256_PATTERN = "[0-9A-Fa-f]{64}"
CHUNK_BYTES = 256 * 1024
MAX_VALUE_LENGTH = (
    16 * 1024 * 1024
)  # characters of one member, or one element of a list, of a document that is streamed
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True)
class Node:
    """An object of a document: its members, `place` (``parts[3]``, "" at the top), and the error that faults raise."""

    document: str
    place: str
    members: Mapping[str, Any]
    error: type[MigrationFailed]

    @classmethod
    def parse(cls, raw: bytes, document: str, error: type[MigrationFailed]) -> Node:
        """The top of `document` (its name in messages). Raises: `error` when `raw` is not one JSON object."""
        raw = raw.removeprefix(BYTE_ORDER_MARK)
        try:
            orjson.loads(_ESCAPED_SURROGATE.sub(rb"\\ufffd", raw))  # strict about all but lone surrogates
            members = json.loads(raw.decode(), object_pairs_hook=_unrepeated)
        except (ValueError, RecursionError) as fault:
            raise error(f"{document} is not JSON: {_what_of(fault)}{_place_of(fault)}; write it again") from fault
        if not isinstance(members, dict):
            raise error(f"{document} is not a JSON object; write it again")
        return cls(document, "", members, error)

    def fault(self, name: str, complaint: str) -> MigrationFailed:
        """The error that says what is wrong with the member `name`."""
        return self.error(f"{self.document}: {self.path(name)} {complaint}; correct it")

    def path(self, name: str) -> str:
        """Where the member `name` stands, as ``parts[3].key``."""
        return f"{self.place}.{name}" if self.place else name

    def id(self, name: str) -> str:
        """The member `name`, which must be an id by the contract's rule."""
        value = self.required_text(name)
        if not is_id(value):
            raise self.fault(name, "must be an id: 1 to 255 characters, no control characters")
        return value

    def required_text(self, name: str) -> str:
        """The member `name`, which must be a string."""
        value = self.text(name)
        if value is None:
            raise self.fault(name, "is missing")
        return value

    def text(self, name: str) -> str | None:
        """The member `name`, a string that UTF-8 can hold, or nothing."""
        value = self._string(name)
        if value is not None and LONE_SURROGATE.search(value):
            raise self.fault(name, "holds a lone surrogate, which is no character")
        return value

    def free_text(self, name: str) -> str | None:
        """The member `name`, a string or nothing; NUL and lone surrogates in it are replaced by U+FFFD."""
        value = self._string(name)
        return value and LONE_SURROGATE.sub("\ufffd", value.replace("\0", "\ufffd"))

    def _string(self, name: str) -> str | None:
        value = self.members.get(name)
        if value is not None and not isinstance(value, str):
            raise self.fault(name, "must be a string")
        return value

    def count(self, name: str) -> int | None:
        """The member `name`, a whole number from 0 to `GREATEST_COUNT`, however it is written, or nothing."""
        value = self.members.get(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not 0 <= value <= GREATEST_COUNT or value != int(value):
            raise self.fault(name, "must be a whole number from 0 to 2^63 - 1")
        return int(value)

    def sha256(self, name: str) -> str | None:
        """The member `name`, 64 hexadecimal digits (in lower case here) or nothing."""
        value = self.text(name)
        if value is not None and not re.fullmatch(SHA256_PATTERN, value):
            raise self.fault(name, "must be 64 hexadecimal digits")
        return value and value.lower()

    def exactly(self, name: str, expected: str | int) -> None:
        """Insist that the member `name` is `expected`; a number may be written in any way."""
        value = self.members.get(name)
        if isinstance(value, bool) or value != expected:
            raise self.fault(name, f"must be {expected!r}")

    def nodes(self, name: str, *, required: bool = False) -> Iterator[Node]:
        """The objects in the list `name`; nothing where the list is absent and not `required`."""
        values = self.members.get(name)
        if values is None and not required:
            return
        if not isinstance(values, list):
            raise self.fault(name, "must be a list")
        for index, value in enumerate(values):
            yield self.node(f"{name}[{index}]", value)

    def node(self, place: str, value: Any) -> Node:
        """The object that stands at that place below this one."""
        if not isinstance(value, dict):
            raise self.fault(place, "must be an object")
        return Node(self.document, self.path(place), value, self.error)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members. Raises: ValueError when two have the same name: which one counts nobody knows."""
    members = dict(pairs)
    if len(members) < len(pairs):
        (name, _), *_rest = Counter(name for name, _ in pairs).most_common(1)
        raise _Refused(f"an object has two members {name!r}")
    return members


class _Refused(ValueError):
    """JSON that counts as none here; the text is our own."""


def _what_of(fault: Exception) -> str:
    """What is wrong with a document, in our words: a parser's own may quote it."""
    if isinstance(fault, _Refused):
        return str(fault)
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    return (
        "it breaks off, or a character in it is wrong" if isinstance(fault, json.JSONDecodeError) else "it is not UTF-8"
    )


def _place_of(fault: Exception) -> str:
    return f" (line {fault.lineno}, column {fault.colno})" if isinstance(fault, json.JSONDecodeError) else ""


# --- documents of any size -------------------------------------------------------------------------------------------


def stream_members(
    stream: BinaryIO, document: str, error: type[MigrationFailed], listed: str
) -> Iterator[tuple[str, Any]]:
    """The members of the one JSON object that `stream` holds, of whatever size, as strictly as `Node.parse`.

    Where the member `listed` is a list its elements come one by one, each as ``listed[3]``, and an empty ``listed[]``
    at its end. Raises: `error`; what the stream raises.
    """
    text = _Text(stream, document, error)
    if text.sign() != "{":
        text.value()
        raise error(f"{document} is not a JSON object; write it again")
    names: set[str] = set()
    for _ in text.items("{", "}"):
        name = text.value() if text.sign() == '"' else text.refuse("a member without a name")
        if name in names:
            text.refuse(f"an object has two members {name!r}")
        names.add(name)
        text.take(":")
        if name == listed and text.sign() == "[":
            yield from ((f"{name}[{index}]", text.value()) for index in text.items("[", "]"))
            yield f"{name}[]", None
        else:
            yield name, text.value()
    if text.sign():
        text.refuse("something follows it")


class _Text:
    """The text of a JSON document from a place on, of which little is held."""

    def __init__(self, stream: BinaryIO, document: str, error: type[MigrationFailed]) -> None:
        self._stream, self._document, self._error = stream, document, error
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._held, self._at, self._ended = "", 0, False

    def refuse(self, what: str) -> NoReturn:
        raise self._error(f"{self._document} is not JSON: {what}; write it again")

    def sign(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._held, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._held) or self._ended:
                return self._held[self._at : self._at + 1]
            self._read(CHUNK_BYTES)

    def take(self, sign: str) -> None:
        if self.sign() != sign:
            self.refuse(f"{sign} is missing")
        self._at += 1

    def items(self, first: str, last: str) -> Iterator[int]:
        """Numbers, one for each item between the brackets, which the caller must read before it asks for the next."""
        self.take(first)
        number = 0
        while self.sign() != last or number:
            yield number
            number += 1
            if self.sign() == last:
                break
            self.take(",")
        self.take(last)

    def value(self) -> Any:
        """The value that begins here, as a whole."""
        while True:
            self.sign()
            fault: Exception | None = None
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
            except (ValueError, RecursionError) as error:
                fault = error
            if fault is None and (end < len(self._held) or self._ended):
                self._at = end
                return value
            if self._ended or len(self._held) - self._at > MAX_VALUE_LENGTH:
                self.refuse(_what_of(fault) if fault else "a value in it is too long")
            self._read(max(CHUNK_BYTES, len(self._held)))

    def _read(self, size_bytes: int) -> None:
        chunk = self._stream.read(size_bytes)
        self._ended = not chunk
        try:
            self._held = self._held[self._at :] + self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError:
            self.refuse("it is not UTF-8")
        self._at = 0


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is no JSON value")


_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(object_pairs_hook=_unrepeated, parse_constant=_refuse_constant)
