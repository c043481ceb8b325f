"""A dump of objects, in S3 or in a folder: the parts of a pass by its manifest or its listing, and their records."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, BinaryIO

from s3import.core.errors import (
    DocumentTooLarge,
    DumpNotFound,
    InvalidManifest,
    PartDiffers,
    PartMissing,
    SourceUnavailable,
)
from s3import.core.records import Batch, Entity, Pass, Plan, PlannedPart, Position, Window
from s3import.readers.dump.decoders import EXTENSIONS, decoder_of
from s3import.readers.dump.inventory import Inventory
from s3import.readers.formats.documents import Node, stream_members
from s3import.readers.formats.members import (
    ACCOUNT_ID,
    COUNT,
    SHA256,
    MemberKind,
    Members,
    constant,
    listed,
    read_members,
    word,
)
from s3import.readers.sources.location import open_source
from s3import.readers.sources.source import Source

MANIFEST = "manifest.json"
MAX_SKIPPED = 10_000  # names of objects that are no parts; of more only the number


class ObjectDump:
    """The `DumpSource` of an account's `objects`: the parts, and with them account.json and the files."""

    def __init__(self, objects: Source, account_id: str) -> None:
        self.uri = objects.uri
        self.companion = objects
        self._account_id = account_id

    def plan(self, pass_: Pass, divided: Callable[[], Window | None] = lambda: None) -> Plan:
        """The parts of a pass. A dump lies divided into passes, which `divided` does not change."""
        source = self.companion
        inventory, folder = Inventory(), f"{pass_}/"
        document = f"{_folder(source, pass_)}{MANIFEST}"
        # The manifest is written last. Read before the listing, it never names parts that came after the listing.
        if manifest := _open_manifest(source, folder + MANIFEST):
            with closing(manifest):
                _read_manifest(inventory, manifest, document, self._account_id, pass_)
        inventory.take_listing(folder, source.list(folder))
        if manifest:
            inventory.plan(_named_parts(inventory, document, folder))
        elif inventory.find(folder, MANIFEST):
            raise SourceUnavailable(
                f"{_folder(source, pass_)} was being completed just now; run the same command again"
            )
        else:
            inventory.plan(_listed_parts(inventory, folder))
            _require_parts(source, pass_, inventory)
        skipped = (key.replace("\0", "\ufffd") for key in inventory.not_planned([MANIFEST], MAX_SKIPPED))
        return Plan(inventory.parts(), tuple(skipped), from_manifest=manifest is not None)

    def read_part(self, part: PlannedPart, start: Position, block_bytes: int) -> Iterator[Batch]:
        """The part's records from `start` on, in batches of about `block_bytes` of text."""
        return decoder_of(part.key)(self.companion, part, start, block_bytes)


def open_dump(uri: str, account_id: str, **access: Any) -> ObjectDump:
    """The dump of `account_id` at `uri`; nothing is contacted yet. `access` and errors: as for `open_source`."""
    return ObjectDump(open_source(uri, account_id, **access), account_id)


def _listed_parts(inventory: Inventory, folder: str) -> Iterator[PlannedPart]:
    for key, stored in inventory.listed(folder):
        if entity := _entity_of(key):
            yield PlannedPart(entity, key, stored)


def _require_parts(source: Source, pass_: Pass, inventory: Inventory) -> None:
    """Raises: DumpNotFound."""
    if not inventory.count("FROM planned"):
        raise DumpNotFound(
            f"there is no {pass_} dump below {_folder(source, pass_)}: no {MANIFEST}, and none of the "
            f"{inventory.count('FROM listed')} objects found is a part (such as threads/part-0{EXTENSIONS[0]}); check "
            "the source and the account id, or wait until the dump is written"
        )


def _open_manifest(source: Source, key: str) -> BinaryIO | None:
    """The manifest's bytes: from memory where it is small, which takes one request."""
    try:
        small = source.read(key)
        return None if small is None else io.BytesIO(small)
    except DocumentTooLarge:
        stored = source.find(key)
        return source.open(stored) if stored else None


def _read_manifest(inventory: Inventory, stream: BinaryIO, document: str, account_id: str, pass_: Pass) -> None:
    """Take down what the manifest names. Raises: InvalidManifest."""
    members: dict[str, Any] = {}
    top = Node(document, "", members, InvalidManifest)
    for place, value in stream_members(stream, document, InvalidManifest, "parts"):
        if place == "parts[]":
            members["parts"] = []
        elif place.startswith("parts["):
            _take_named(inventory, top.node(place, value))
        else:
            members[place] = value
    read_members(top, MANIFEST_MEMBERS)
    top.exactly("account_id", account_id)
    top.exactly("pass", str(pass_))


def _take_named(inventory: Inventory, node: Node) -> None:
    part = read_members(node, PART)
    key = part["key"]
    if not inventory.name(key, posixpath.normpath(key), [part[name] for name in ("entity", "bytes", "rows", "sha256")]):
        raise node.fault("key", f"names the part {key} a second time")


def _named_parts(inventory: Inventory, document: str, folder: str) -> Iterator[PlannedPart]:
    """The parts a manifest names, checked against the listing. Raises: PartMissing; PartDiffers."""
    for key, (entity, size_bytes, rows, sha256), stored in inventory.named(folder):
        if stored is None:
            raise PartMissing(f"{document} names {key}, which is not there; put it back, then run the same command")
        if size_bytes not in (None, stored.size_bytes):
            raise PartDiffers(
                f"{document}: {key} has {stored.size_bytes} bytes, the manifest says {size_bytes}; write the part or "
                "the manifest again, then run the same command"
            )
        yield PlannedPart(Entity(entity), key, stored, rows, sha256)


def _read_key(node: Node, name: str) -> str:
    """The key of a manifest's part as it is written, which may be with ``./`` and the like."""
    key = node.required_text(name)
    if not key or re.search(_WAYS_OUT, key) or posixpath.normpath(key).split("/")[0] in (".", ".."):
        raise node.fault(name, f"is {key!r}, which is not within the pass's folder")
    if not key.endswith(EXTENSIONS):
        raise node.fault(name, f"is {key!r}, but parts end with one of {', '.join(EXTENSIONS)}")
    return key


_WAYS_OUT = r"^/|^(\./+)*\.\./|\u0000"  # as far as a pattern can tell: a key may also step up later
_PART_KEY = {
    "type": "string",
    "pattern": rf"({'|'.join(map(re.escape, EXTENSIONS))})$",
    "not": {"pattern": _WAYS_OUT},
}
PART: Members = {
    "entity": word(Entity),
    "key": MemberKind(_read_key, _PART_KEY),
    "rows": COUNT,
    "bytes": COUNT,
    "sha256": SHA256,
}
MANIFEST_MEMBERS: Members = {
    "version": constant(1),
    "account_id": ACCOUNT_ID,
    "pass": word(Pass),
    "parts": listed(PART, required=True),
}
"""The members of a manifest."""


def _entity_of(key: str) -> Entity | None:
    """The entity whose part `key` is where no manifest says so; None when it is no part."""
    folder, _, name = key.partition("/")
    if "/" in name or "\0" in name or not name.endswith(EXTENSIONS) or folder not in list(Entity):
        return None
    return Entity(folder)


def _folder(source: Source, pass_: Pass) -> str:
    return f"{source.uri.rstrip('/')}/{pass_}/"
