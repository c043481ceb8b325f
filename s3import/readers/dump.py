"""What a dump consists of: the parts of a pass, by its manifest or its listing, and the account's document."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from s3import.errors import (
    DumpNotFound,
    InvalidAccountDocument,
    InvalidManifest,
    PartDiffers,
    PartMissing,
    SourceUnavailable,
)
from s3import.readers.documents import Node
from s3import.readers.source import ItemSource, Source
from s3import.records import (
    EARLIEST,
    AccountDocument,
    Brand,
    Channel,
    Entity,
    Pass,
    Plan,
    PlannedPart,
    StoredObject,
    Window,
)

EXTENSIONS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
MANIFEST = "manifest.json"
ACCOUNT_DOCUMENT = "account.json"

EVERYTHING = Window(Pass.DELTA, EARLIEST, EARLIEST)
"""A delta is not divided by time."""

Listing = Mapping[str, StoredObject]
"""The objects below a pass's folder, by their key relative to it, in the order of keys."""


def plan_pass(
    source: Source, account_id: str, pass_: Pass, remembered: Callable[[], Window | None] = lambda: None
) -> Plan:
    """The parts of a pass, entities in the order of `Entity` and keys in order within, and the objects that are none.

    `remembered`: gives how a source that is not divided in passes was divided before, if it was.
    Raises: DumpNotFound, InvalidManifest; PartMissing and PartDiffers (in size) against the manifest; what `source`
    raises.
    """
    if isinstance(source, ItemSource):
        if pass_ is Pass.DELTA:
            return source.plan(EVERYTHING)
        return source.plan(replace(remembered() or source.window(), pass_=pass_))
    # The manifest is written last. Read before the listing, it never names parts that came after the listing.
    manifest = source.read(f"{pass_}/{MANIFEST}")
    listing = {stored.key.removeprefix(f"{pass_}/"): stored for stored in source.list(f"{pass_}/")}
    if manifest is not None:
        return _by_manifest(manifest, f"{_folder(source, pass_)}{MANIFEST}", account_id, pass_, listing)
    if MANIFEST in listing:
        raise SourceUnavailable(f"{_folder(source, pass_)} was being completed just now; run the same command again")
    return _by_listing(source, pass_, listing)


def documents_at(source: Source) -> str:
    """Where ``account.json`` is looked for, to be named in messages."""
    if not isinstance(source, ItemSource):
        return source.uri
    return source.beside.uri if source.beside else f"{source.uri} (the mapping names no source `beside` it)"


def read_account_document(source: Source, account_id: str) -> AccountDocument | None:
    """The dump's ``account.json``; None where there is none.

    NUL and lone surrogates in its names are replaced by U+FFFD. Whether a channel's brand exists is
    left to the caller, whose database may hold it already.
    Raises: InvalidAccountDocument naming the place of the fault; what `source` raises.
    """
    raw = source.read(ACCOUNT_DOCUMENT)
    if raw is None:
        return None
    top = Node.parse(raw, f"{documents_at(source)}: {ACCOUNT_DOCUMENT}", InvalidAccountDocument)
    top.exactly("id", account_id)
    brands = [Brand(node.id("id"), node.free_text("name")) for node in _unique(top.nodes("brands"))]
    channels = [
        Channel(node.id("id"), node.id("brand_id"), node.free_text("kind"), node.free_text("name"))
        for node in _unique(top.nodes("channels"))
    ]
    return AccountDocument(account_id, top.free_text("name"), tuple(brands), tuple(channels))


def _by_listing(source: Source, pass_: Pass, listing: Listing) -> Plan:
    parts = [PlannedPart(entity, key, stored) for key, stored in listing.items() if (entity := _entity_of(key))]
    if not parts:
        raise DumpNotFound(
            f"there is no {pass_} dump below {_folder(source, pass_)}: no {MANIFEST}, and none of the {len(listing)} "
            f"objects found is a part (such as threads/part-0{EXTENSIONS[0]}); check the source and the account id, or "
            "wait until the dump is written"
        )
    return _plan(parts, listing)


def _by_manifest(raw: bytes, document: str, account_id: str, pass_: Pass, listing: Listing) -> Plan:
    top = Node.parse(raw, document, InvalidManifest)
    top.exactly("version", 1)
    top.exactly("account_id", account_id)
    top.exactly("pass", str(pass_))
    parts: dict[str, PlannedPart] = {}
    for node in top.nodes("parts", required=True):
        key = _key(node, listing)
        if posixpath.normpath(key) in parts:
            raise node.fault("key", f"names the part {key} a second time")
        parts[posixpath.normpath(key)] = _named_part(node, key, listing)
    return _plan(parts.values(), listing, from_manifest=True)


def _named_part(node: Node, key: str, listing: Listing) -> PlannedPart:
    """The part a manifest names, checked against the listing."""
    entity = node.required_text("entity")
    if entity not in tuple(Entity):
        raise node.fault("entity", f"must be one of {', '.join(Entity)}")
    size_bytes, rows, sha256 = node.count("bytes"), node.count("rows"), node.sha256("sha256")
    stored = listing.get(key)
    if stored is None:
        raise PartMissing(f"{node.document} names {key}, which is not there; put it back, then run the same command")
    if size_bytes not in (None, stored.size_bytes):
        raise PartDiffers(
            f"{node.document}: {key} has {stored.size_bytes} bytes, the manifest says {size_bytes}; write the part or "
            "the manifest again, then run the same command"
        )
    return PlannedPart(Entity(entity), key, stored, rows, sha256)


def _key(node: Node, listing: Listing) -> str:
    """The key a manifest's part has in the listing: as it is written, else without ``./`` and the like."""
    written = node.required_text("key")
    normal = posixpath.normpath(written)
    if not written or "\0" in written or normal.startswith("/") or normal.split("/")[0] in (".", ".."):
        raise node.fault("key", f"is {written!r}, which is not within the pass's folder")
    if not normal.endswith(EXTENSIONS):
        raise node.fault("key", f"is {written!r}, but parts end with one of {', '.join(EXTENSIONS)}")
    return written if written in listing else normal


def _entity_of(key: str) -> Entity | None:
    """The entity whose part `key` is where no manifest says so; None when it is no part."""
    folder, _, name = key.partition("/")
    if "/" in name or "\0" in name or not name.endswith(EXTENSIONS) or folder not in list(Entity):
        return None
    return Entity(folder)


def _plan(parts: Iterable[PlannedPart], listing: Listing, *, from_manifest: bool = False) -> Plan:
    order = list(Entity)
    ordered = sorted(parts, key=lambda part: (order.index(part.entity), part.key))
    known = {MANIFEST, *(part.key for part in ordered)}
    # A database takes no NUL.
    skipped = sorted(key.replace("\0", "\ufffd") for key in listing if key not in known)
    return Plan(tuple(ordered), tuple(skipped), from_manifest)


def _unique(nodes: Iterable[Node]) -> Iterable[Node]:
    seen: set[str] = set()
    for node in nodes:
        if node.id("id") in seen:
            raise node.fault("id", f"{node.id('id')!r} is there a second time")
        seen.add(node.id("id"))
        yield node


def _folder(source: Source, pass_: Pass) -> str:
    return f"{source.uri.rstrip('/')}/{pass_}/"
