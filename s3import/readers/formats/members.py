"""What the dump's small documents consist of: a table of members says how each is read, and as JSON Schema what it may
be. Whoever adds a member adds a line to its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from s3import.core.ids import ACCOUNT_ID_SCHEMA, ID_SCHEMA
from s3import.readers.formats.documents import GREATEST_COUNT, SHA256_PATTERN, Node


@dataclass(frozen=True, slots=True)
class MemberKind:
    """`read` gives the member of that name, None where it is absent or null, and raises the node's error for what
    `schema` does not allow. `required`: whether it may be absent."""

    read: Callable[[Node, str], Any]
    schema: Mapping[str, Any]
    required: bool = True


Members = Mapping[str, MemberKind]
"""The members of an object by their names. Others are passed over."""

ID = MemberKind(Node.id, ID_SCHEMA)
ACCOUNT_ID = MemberKind(
    Node.required_text, ACCOUNT_ID_SCHEMA
)  # that it is the right one is for whoever knows it to say
FREE_TEXT = MemberKind(Node.free_text, {"type": ["string", "null"]}, required=False)
COUNT = MemberKind(Node.count, {"type": ["integer", "null"], "minimum": 0, "maximum": GREATEST_COUNT}, required=False)
SHA256 = MemberKind(Node.sha256, {"type": ["string", "null"], "pattern": f"^{SHA256_PATTERN}$"}, required=False)


def constant(value: int) -> MemberKind:
    """Exactly that value."""
    return MemberKind(lambda node, name: node.exactly(name, value), {"const": value})


def word(words: Iterable[str]) -> MemberKind:
    """One of the words."""
    known = tuple(words)

    def read(node: Node, name: str) -> str:
        found = node.required_text(name)
        if found not in known:
            raise node.fault(name, f"must be one of {', '.join(known)}")
        return found

    return MemberKind(read, {"enum": list(known)})


def listed(members: Members, *, required: bool = False) -> MemberKind:
    """A list of objects with these members, each read as a dictionary. Where they have an `id`, each has its own."""

    def read(node: Node, name: str) -> list[dict[str, Any]]:
        nodes = node.nodes(name, required=required)
        return [read_members(each, members) for each in (_unique(nodes) if "id" in members else nodes)]

    items = {"type": "array" if required else ["array", "null"], "items": schema_of(members)}
    return MemberKind(read, items, required)


def read_members(node: Node, members: Members) -> dict[str, Any]:
    """The members of an object. Raises: the node's error."""
    return {name: kind.read(node, name) for name, kind in members.items()}


def schema_of(members: Members) -> dict[str, Any]:
    """The JSON Schema of an object with these members."""
    return {
        "type": "object",
        "properties": {name: dict(kind.schema) for name, kind in members.items()},
        "required": [name for name, kind in members.items() if kind.required],
    }


def _unique(nodes: Iterable[Node]) -> Iterator[Node]:
    seen: set[str] = set()
    for node in nodes:
        if node.id("id") in seen:
            raise node.fault("id", f"{node.id('id')!r} is there a second time")
        seen.add(node.id("id"))
        yield node
