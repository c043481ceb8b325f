"""The same dump by dlt, into tables of its own making: ``python dlt_load.py FOLDER URL defaults|tuned``."""

import json
import sys
from pathlib import Path

import dlt
import pyarrow.json as pj

ENTITIES = ("threads", "messages", "attachments")


def records(folder, entity):
    for path in sorted(folder.glob(f"*/{entity}/*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                yield json.loads(line)


def tables(folder, entity):
    for path in sorted(folder.glob(f"*/{entity}/*.jsonl")):
        table = pj.read_json(path)
        nested = [name for name in table.column_names if str(table.schema.field(name).type)[:4] in ("stru", "list")]
        yield table.drop_columns(nested)


def main(folder, url, how):
    read = records if how == "defaults" else tables
    resources = [dlt.resource(read(folder, entity), name=entity, write_disposition="append") for entity in ENTITIES]
    pipeline = dlt.pipeline("study", destination=dlt.destinations.postgres(url), dataset_name="peer")
    options = {} if how == "defaults" else {"loader_file_format": "parquet"}
    print(pipeline.run(resources, **options))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
