"""Upsert the tap's parquet files into DuckDB, and print the state for the next run.

    tap-voucherify --config=config.json | python load_duckdb.py warehouse.duckdb >> states.jsonl

`config.json` has `batch_config: {"encoding": {"format": "parquet"}, ...}`. Each file is deleted
once its rows are committed. Needs the packages duckdb and fsspec, and s3fs for files in S3.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from fsspec.core import url_to_fs

UPSERT = """
    BEGIN;
    CREATE TABLE IF NOT EXISTS {table} AS {rows} LIMIT 0;
    DELETE FROM {table} WHERE ({key}) IN (SELECT ({key}) FROM ({rows}));
    INSERT INTO {table} BY NAME {rows};
    COMMIT;
"""

# The last row per key. Metadata becomes JSON, since its keys differ between files.
ROWS = """
    SELECT * EXCLUDE (file_row_number) {metadata}
    FROM read_parquet('{path}', file_row_number = true)
    QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY file_row_number DESC) = 1
"""


def main() -> None:
    """Load the tap's output from standard input."""
    schemas = {}
    state = None
    with duckdb.connect(sys.argv[1]) as database, TemporaryDirectory() as folder:
        copy = Path(folder, "batch.parquet")
        for message in map(json.loads, sys.stdin):
            if message["type"] == "SCHEMA":
                schemas[message["stream"]] = message
            elif message["type"] == "BATCH":
                for uri in message["manifest"]:
                    files, path = url_to_fs(uri)
                    files.get_file(path, str(copy))
                    database.execute(upsert(schemas[message["stream"]], copy))
                    files.rm_file(path)
            elif message["type"] == "STATE":
                state = message["value"]
    if state:
        print(json.dumps(state))  # noqa: T201 - a loader prints its state


def upsert(schema: dict, path: Path) -> str:
    """Return the SQL that loads a file."""
    key = ", ".join(schema["key_properties"])
    has_metadata = "metadata" in schema["schema"]["properties"]
    metadata = "REPLACE (to_json(metadata) AS metadata)" if has_metadata else ""
    rows = ROWS.format(metadata=metadata, path=path, key=key)
    return UPSERT.format(table=schema["stream"], key=key, rows=rows)


if __name__ == "__main__":
    main()
