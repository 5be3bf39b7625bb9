"""Meltano runs the tap into real loaders, with growth between two runs."""

from __future__ import annotations

import ast
import csv
import json
import re
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from dev.sandbox import Sandbox
from tests.support.expectations import INCREMENTAL, LISTS, OBJECTS, read_json
from tests.support.runner import created_exports

from .comparison import (
    LONG_DECIMAL,
    MEGABYTE,
    Record,
    differences,
    grow,
    in_full,
    last_rows,
    make_dataset,
    start_after,
    starts,
)
from .postgres import Postgres, postgres
from .project import TAP, Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# All tests together take at most ten minutes.
pytestmark = pytest.mark.timeout(150)

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Yield a sandbox with rows that are hard to load."""
    with Sandbox(make_dataset()) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Yield a PostgreSQL server."""
    with postgres() as server:
        yield server


# target-duckdb


def read_duckdb(path: Path, stream: str) -> list[Record]:
    """Return the rows of a table."""
    with duckdb.connect(str(path), read_only=True) as database:
        result = database.execute(f"FROM {stream}")
        columns = [(name, str(kind)) for name, kind, *_ in result.description]
        return [
            {
                name: as_duckdb(read_json(value) if kind == "JSON" and value else value)
                for (name, kind), value in zip(columns, values, strict=True)
            }
            for values in result.fetchall()
        ]


def as_duckdb(value: Any) -> Any:
    """Return a value with numbers as floats, the loader's only numeric type, and times as text."""
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='milliseconds')}Z"
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dict):
        return {name: as_duckdb(nested) for name, nested in value.items()}
    return value


def in_duckdb(record: Record) -> Record:
    """Return a record as the loader writes it."""
    converted: Record = as_duckdb(record)
    return converted


def test_duckdb(sandbox: Sandbox, tmp_path: Path) -> None:
    """DuckDB tables equal the sandbox, except for digits beyond a double."""
    path = tmp_path / "voucherify.duckdb"
    project = Project(tmp_path, sandbox, "target-duckdb", "dev", path=path)
    read = partial(read_duckdb, path)

    project.run()
    assert not differences(sandbox, read, in_duckdb)

    grow(sandbox.dataset)
    project.run()
    assert not differences(sandbox, read, in_duckdb)


# target-postgres

TYPES = {
    ("vouchers", "value"): "numeric",
    ("vouchers", "redemption_count"): "bigint",
    ("vouchers", "active"): "boolean",
    ("vouchers", "created_at"): "timestamp without time zone",
    ("vouchers", "metadata"): "jsonb",
    ("voucher_transactions", "details"): "jsonb",
}


def read_types(server: Postgres, schema: str) -> dict[tuple[str, str], str]:
    """Return the type of each column."""
    rows = server.query(
        "SELECT to_json(columns) FROM information_schema.columns"  # noqa: S608 - our own name
        f" WHERE table_schema = '{schema}'"
    )
    return {(row["table_name"], row["column_name"]): row["data_type"] for row in rows}


def read_postgres(server: Postgres, schema: str, stream: str) -> list[Record]:
    """Return the rows of a table, except those that the loader has marked as deleted."""
    types = read_types(server, schema)
    times = "".join(
        f", '{column}', to_char({column}, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        for (table, column), kind in types.items()
        if table == stream and kind.startswith("timestamp") and not column.startswith("_sdc_")
    ).removeprefix(", ")
    rows = server.query(
        f"SELECT to_jsonb(t) || jsonb_build_object({times})"  # noqa: S608 - our own names
        f" FROM {schema}.{stream} AS t WHERE _sdc_deleted_at IS NULL"
    )
    return [
        {name: value for name, value in row.items() if not name.startswith("_sdc_")} for row in rows
    ]


def test_postgres(sandbox: Sandbox, server: Postgres, tmp_path: Path) -> None:
    """PostgreSQL tables equal the sandbox to the last digit; a second run upserts and deletes."""
    settings = {**server.settings, "default_target_schema": "plain"}
    project = Project(tmp_path, sandbox, "target-postgres", "plain", **settings)
    read = partial(read_postgres, server, "plain")

    project.run()
    assert not differences(sandbox, read)
    types = read_types(server, "plain")
    assert {column: types[column] for column in TYPES} == TYPES
    (voucher,) = server.query(
        "SELECT json_build_array(value::text, gift_balance::text) FROM plain.vouchers"
        " WHERE scale(gift_balance) > 2"
    )
    assert voucher == ["2000.00", LONG_DECIMAL]
    (length,) = server.query("SELECT max(octet_length(description)) FROM plain.customers")
    assert length > MEGABYTE
    channels = server.query(
        "SELECT to_json(channel) FROM plain.publications"
        " WHERE voucher_code IS NULL AND customer_id IS NULL"
    )
    assert sorted(channels) == ["API", "Automation"]

    # A product that is no longer in Voucherify.
    server.query("INSERT INTO plain.products (id, _sdc_table_version) VALUES ('prod_old', 1)")
    bookmarks = project.bookmarks()
    earlier = len(created_exports(sandbox))
    grow(sandbox.dataset)
    project.run()
    assert not differences(sandbox, read)
    assert starts(sandbox, earlier) == {
        stream: {start_after(bookmarks[stream])} for stream in INCREMENTAL
    }


def test_postgres_loads_batch_files(sandbox: Sandbox, server: Postgres, tmp_path: Path) -> None:
    """JSONL batch files lead to the same PostgreSQL tables as records."""
    settings = {**server.settings, "default_target_schema": "batches"}
    project = Project(tmp_path, sandbox, "target-postgres", "batches", **settings)
    read = partial(read_postgres, server, "batches")
    files = tmp_path / "files"
    files.mkdir()
    project.variables["BATCHES"] = str(files)

    project.run()
    assert not differences(sandbox, read)
    assert len(list(files.glob("*.jsonl.gz"))) == len([*OBJECTS, *LISTS])

    grow(sandbox.dataset)
    project.run()
    assert not differences(sandbox, read)


# target-csv


@pytest.fixture
def _large_cells() -> Iterator[None]:
    """Allow cells of a megabyte in this process."""
    limit = csv.field_size_limit(2 * MEGABYTE)
    yield
    csv.field_size_limit(limit)


def read_csv(directory: Path, stream: str) -> list[Record]:
    """Return the last row of each key over all files of a stream."""
    rows: list[Record] = []
    for path in sorted(directory.glob(f"{stream}-*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    for row in rows:
        for name in {"metadata", "details"} & row.keys():
            # The loader writes objects as Python literals, not as JSON.
            row[name] = read_json(json.dumps(ast.literal_eval(row[name])))
    return last_rows(stream, rows)


def in_csv(record: Record) -> Record:
    """Return a record as the loader writes it."""
    return {name: as_csv(value) for name, value in record.items()}


def as_csv(value: Any) -> Any:
    """Return a value as the loader writes it: nulls as empty cells, times in Python's format."""
    if isinstance(value, dict):
        return value
    text = "" if value is None else str(value)
    if INSTANT.fullmatch(text):
        return str(datetime.fromisoformat(text.replace("Z", "+00:00")))
    return text


@pytest.mark.usefixtures("_large_cells")
def test_csv(sandbox: Sandbox, tmp_path: Path) -> None:
    """The last row of each key over all CSV files equals the sandbox."""
    files = tmp_path / "files"
    project = Project(tmp_path, sandbox, "target-csv", "plain", output_path=files)
    read = partial(read_csv, files)

    project.run()
    assert not differences(sandbox, read, in_csv)

    grow(sandbox.dataset)
    project.run()
    assert not differences(sandbox, read, in_csv)


# target-jsonl


def read_jsonl(directory: Path, stream: str) -> list[Record]:
    """Return the last row of each key in a stream's file."""
    text = (directory / f"{stream}.jsonl").read_text(encoding="utf-8")
    return last_rows(stream, map(read_json, text.splitlines()))


def test_jsonl_with_the_options_of_meltano(sandbox: Sandbox, tmp_path: Path) -> None:
    """The last row of each key in a growing JSONL file equals the sandbox.

    A full refresh ignores the state, another state ID starts over, and a selection narrows it.
    """
    files = tmp_path / "files"
    project = Project(tmp_path, sandbox, "target-jsonl", "plain", destination_path=files)
    read = partial(read_jsonl, files)
    project.run()
    assert not differences(sandbox, read)
    grow(sandbox.dataset)
    project.run()
    assert not differences(sandbox, read)
    bookmarks = project.bookmarks()
    # Meltano selects everything.
    assert set(bookmarks) == {*INCREMENTAL, "api_logs"}

    files.rename(tmp_path / "first")
    earlier = len(created_exports(sandbox))
    project.run("--full-refresh")
    assert in_full(sandbox, earlier)
    assert not differences(sandbox, read)
    assert project.bookmarks() == bookmarks

    files.rename(tmp_path / "refreshed")
    grow(sandbox.dataset)
    earlier = len(created_exports(sandbox))
    project.meltano("select", "--exclude", TAP, "publications", "channel")
    project.run("--state-id-suffix=other")
    assert in_full(sandbox, earlier)
    others = project.bookmarks("other")
    assert all(others[stream] > bookmarks[stream] for stream in INCREMENTAL)
    assert project.bookmarks() == bookmarks
    publications = read_jsonl(files, "publications")
    assert publications
    assert not any("channel" in record for record in publications)
