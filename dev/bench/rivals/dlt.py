"""dlt: rows to JSON lines or into PostgreSQL, Arrow tables to parquet."""

from __future__ import annotations

import csv
import io
import sys
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import dlt
import pyarrow.csv
from dlt.destinations import filesystem, postgres
from dlt.sources.helpers import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_ROWS = 1000


def main(url: str, target: str, option: str = "") -> None:
    """Load a file into another, or into a database, as Arrow tables with the option `--arrow`."""
    dlt.config["runtime.dlthub_telemetry"] = False
    dlt.config["normalize.data_writer.disable_compression"] = True
    is_arrow = target.endswith(".parquet") or option == "--arrow"
    if target.startswith("postgresql:"):
        destination = postgres(target)
        options = {"loader_file_format": "csv"} if is_arrow else {}
    else:
        folder = Path(target).parent
        destination = filesystem(str(folder), layout="{table_name}-{file_id}.{ext}")
        options = {"loader_file_format": "parquet" if is_arrow else "jsonl"}
    read = tables if is_arrow else pages
    with TemporaryDirectory() as state:
        pipeline = dlt.pipeline("bench", state, destination=destination, dataset_name="bench")
        pipeline.run(read(url), table_name="vouchers", **options)


def pages(url: str) -> Iterator[list[dict[str, str]]]:
    """Yield pages of rows."""
    rows = csv.DictReader(io.TextIOWrapper(_body(url), encoding="utf-8", newline=""))
    while page := list(islice(rows, PAGE_ROWS)):
        yield page


def tables(url: str) -> Iterator[Any]:
    """Yield Arrow tables."""
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    yield from pyarrow.csv.open_csv(_body(url), parse_options=options)


def _body(url: str) -> Any:
    body = requests.get(url, stream=True).raw
    body.auto_close = False
    return body


if __name__ == "__main__":
    main(*sys.argv[1:])
