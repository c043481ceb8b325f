"""What a mapping knows of items, and the attributes that it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from s3import.readers.formats.lines import storable_names

if TYPE_CHECKING:
    from s3import.readers.dynamodb.mapping import Path
    from s3import.readers.dynamodb.selection import Selection


@dataclass
class Shape:
    """What is asked for of a value: the kinds it may be of, and the members it may have as a map."""

    kinds: dict[str, pa.DataType] = field(default_factory=dict)
    members: dict[str, Shape] = field(default_factory=dict)

    def at(self, path: Path) -> Shape:
        shape = self
        for name in path:
            shape = shape.members.setdefault(name, Shape())
        return shape

    def members_type(self) -> pa.StructType:
        return pa.struct([(name, shape.type()) for name, shape in self.members.items()])

    def type(self) -> pa.StructType:
        kinds = {**self.kinds, "M": self.members_type()} if self.members else self.kinds
        return pa.struct([*kinds.items(), ("NULL", pa.bool_())])


@lru_cache(64)
def known_shape(selection: Selection) -> Shape:
    """All that the mapping knows of an item. What is joined to it is known as a whole."""
    fields = selection.mapping.fields
    paths = [path for field in fields if field.join is None for path in field.paths]
    joins = [path for join in selection.mapping.joins for path in ((join.attribute_name,), join.by)]
    sort = (selection.mapping.sort.attribute,) if selection.mapping.sort else selection.key_path
    return shape_of([*paths, *joins, selection.key_path, sort])


def shape_of(paths: Iterable[Path]) -> Shape:
    """What has members at these paths."""
    shape = Shape()
    for path in paths:
        shape.at(path)
    return shape


def unknown_paths(members: Mapping[str, Any], known: Shape) -> Iterator[Path]:
    """Where attributes lie that are not known, and members of known maps."""
    for name, value in members.items():
        inner = known.members.get(name)
        if inner is None:
            yield (name,)
        elif inner.members and isinstance(value, dict) and isinstance(value.get("M"), dict):
            yield from ((name, *path) for path in unknown_paths(value["M"], inner))


def ignored_names(selection: Selection, paths: Iterable[Path]) -> frozenset[str]:
    """The names of ignored fields, as they can be stored and shown."""
    return storable_names(".".join((selection.entity.value, *path)) for path in paths)
