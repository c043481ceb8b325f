"""Which items are selected from a text, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from s3import.core.records import SCHEMAS, TIMESTAMP, Entity

if TYPE_CHECKING:
    from s3import.readers.dynamodb.mapping import EntityMapping, FieldMapping, ItemMapping, Path

ITEM = "Item"


@dataclass(frozen=True)
class Selection:
    """The items of one account and entity, as `mapping` tells them from others.

    `takes_unreadable`: lines that are no item at all are this account's and entity's too, for nobody knows whose they
    are; `member`: the name under which a line has its item.
    """

    mapping: EntityMapping
    account_id: str
    takes_unreadable: bool = True
    member: str = ITEM

    @classmethod
    def of(cls, mapping: EntityMapping, whole: ItemMapping, account_id: str) -> Selection:
        """The selection for one entity of a mapping: of those in one table the first takes what is unreadable."""
        sharing = [one.entity for one in whole.entities if one.table_name == mapping.table_name]
        return cls(mapping, account_id, takes_unreadable=sharing[0] is mapping.entity)

    @property
    def entity(self) -> Entity:
        return self.mapping.entity

    @cached_property
    def key_values(self) -> frozenset[str]:
        """What the account's key may be."""
        return frozenset(self.mapping.key.values(self.account_id))

    @property
    def key_path(self) -> Path:
        return (self.mapping.key.attribute,)

    @property
    def prefix(self) -> str:
        """What the sort key begins with; "" where it does not matter."""
        return self.mapping.sort.prefix if self.mapping.sort else ""

    @property
    def sort_path(self) -> Path:
        return (self.mapping.sort.attribute,) if self.mapping.sort else ()

    @cached_property
    def fields(self) -> dict[str, FieldMapping]:
        """The mapping of each field, by its dotted path."""
        return {field.field: field for field in self.mapping.fields}

    @cached_property
    def schema(self) -> pa.Schema:
        """The records' columns: those of `SCHEMAS`, with instants where the mapping makes some of numbers."""
        return pa.schema([(field.name, self._type(field)) for field in SCHEMAS[self.entity]])

    @cached_property
    def attributes(self) -> frozenset[str]:
        """The names of the attributes that the mapping knows."""
        key = {self.mapping.key.attribute} | ({self.mapping.sort.attribute} if self.mapping.sort else set())
        joins = {field.join.by[0] for field in self.mapping.fields if field.join}
        return frozenset(key | joins | {path[0] for field in self.mapping.fields for path in field.paths})

    def _type(self, field: pa.Field) -> pa.DataType:
        mapped = self.fields.get(field.name)
        return TIMESTAMP if mapped is not None and mapped.time != "text" else field.type
