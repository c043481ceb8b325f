"""Tables on a real endpoint, as tests fill them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint with tables of one test alone; their names end with `suffix`."""

    url: str
    client: Any
    suffix: str

    def create(
        self,
        table: str,
        key: str,
        sort: str | None,
        index: tuple[str, str, str] | None = None,
        *,
        sort_kind: str = "S",
    ) -> None:
        """Create a table with a key, and maybe a sort key of that kind and one index (name, key, sort key)."""
        names = [key, *([sort] if sort else []), *(index[1:] if index else [])]
        given: dict[str, Any] = {}
        if index:
            projection = {"ProjectionType": "ALL"}
            keys = _keys(index[1], index[2])
            given["GlobalSecondaryIndexes"] = [{"IndexName": index[0], "KeySchema": keys, "Projection": projection}]
        self.client.create_table(
            TableName=f"{table}-{self.suffix}",
            KeySchema=_keys(key, sort),
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": sort_kind if name == sort else "S"}
                for name in dict.fromkeys(names)
            ],
            BillingMode="PAY_PER_REQUEST",
            **given,
        )
        ready = {"Delay": 0.01, "MaxAttempts": 1000}
        self.client.get_waiter("table_exists").wait(TableName=f"{table}-{self.suffix}", WaiterConfig=ready)

    def put(self, table: str, *items: dict[str, Any]) -> None:
        """Store items."""
        for item in items:
            self.client.put_item(TableName=f"{table}-{self.suffix}", Item=item)

    def put_all(self, table: str, *items: dict[str, Any]) -> None:
        """Store up to 25 items at once."""
        puts = [{"PutRequest": {"Item": item}} for item in items]
        self.client.batch_write_item(RequestItems={f"{table}-{self.suffix}": puts})

    def mapping_text(self, text: str) -> str:
        """The tests' mapping with these tables' names, and the index of attachments."""
        for table in ("threads", "messages", "attachments"):
            text = text.replace(f'table = "{table}"\n', f'table = "{table}-{self.suffix}"\n')
        return text.replace(
            f'table = "attachments-{self.suffix}"\n',
            f'table = "attachments-{self.suffix}"\nindex = "by-account"\n'
            'sort = { attribute = "created", in_order = true }\n',
        )


def _keys(key: str, sort: str | None) -> list[dict[str, str]]:
    named = [(key, "HASH"), *([(sort, "RANGE")] if sort else [])]
    return [{"AttributeName": name, "KeyType": kind} for name, kind in named]
