"""Sync a mock Voucherify into DuckDB twice, compare every value and draw a chart (`make demo`).

Exits with 1 if a table differs from the mock's data.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from dev import ROOT
from dev.demo.chart import redemptions_by_day
from dev.sandbox import Dataset, Sandbox
from tests.support.expectations import KEYS, LISTS, OBJECTS, expected_object, publication_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dev.sandbox import Row

MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"
PIPELINE = ("tap-voucherify", "target-duckdb")

OUTPUT = ROOT / ".demo"
DATABASE = OUTPUT / "voucherify.duckdb"
AFTER_FIRST_RUN = OUTPUT / "after_first_run.duckdb"

SIZES = {
    "voucher": 5000,
    "redemption": 8000,
    "publication": 3000,
    "customer": 2000,
    "order": 4000,
    "voucher_transactions": 2000,
}
ACTIVITY = {
    "voucher": 50,
    "redemption": 200,
    "publication": 30,
    "customer": 20,
    "order": 100,
    "voucher_transactions": 40,
}

#: The key of each table.
TABLES = {**KEYS, **{table: ["id"] for table in LISTS}}

#: Parsers of a cell's text to the value DuckDB returns, by column type; other types stay text.
READERS: dict[str, Callable[[str], object]] = {
    "BOOLEAN": {"true": True, "false": False}.__getitem__,
    "DOUBLE": float,
    "HUGEINT": int,
    "JSON": json.loads,
    # Without a time zone, as the loader writes it.
    "TIMESTAMP": lambda text: datetime.fromisoformat(text.removesuffix("Z")),
}


def main() -> None:
    """Run the demo."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    dataset = Dataset(seed=7, sizes=SIZES)
    with Sandbox(dataset, latency_seconds=1.0) as sandbox:
        say(f"A mock Voucherify is running at {sandbox.api_url}")
        say("First run: everything")
        run(sandbox)
        shutil.copy(DATABASE, AFTER_FIRST_RUN)
        say("New activity: " + ", ".join(f"{count} x {name}" for name, count in ACTIVITY.items()))
        dataset.grow(ACTIVITY)
        say("Second run: only what is new")
        run(sandbox)
        say(f"Tables in {DATABASE.relative_to(ROOT)}")
        with duckdb.connect(str(DATABASE), read_only=True) as database:
            show(database, read_bookmarks(sandbox))
            say("Comparing every value with the mock's data")
            problems = [line for table in TABLES for line in compare(database, table, sandbox)]
            if problems:
                sys.exit("\n".join([*problems[:5], f"{len(problems)} rows differ."]))
            print("All tables match the mock's data.")
            say("Redemptions by day and result")
            print(*redemptions_by_day(database), sep="\n")
    (OUTPUT / "complete").touch()


def say(text: str) -> None:
    """Print a heading before the output of the programs that follow."""
    print(f"\n=== {text}", flush=True)


def meltano(sandbox: Sandbox, *arguments: str, capture: bool = False) -> str:
    """Run Meltano in this checkout and return its output, if captured."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MELTANO_", "TAP_VOUCHERIFY_", "TARGET_DUCKDB_"))
    }
    settings = {f"TAP_VOUCHERIFY_{name.upper()}": value for name, value in sandbox.config.items()}
    finished = subprocess.run(
        [MELTANO, *arguments],
        cwd=ROOT,
        env={
            **inherited,
            **settings,
            "TAP_VOUCHERIFY__SELECT": '["*.*"]',
            "TARGET_DUCKDB_PATH": str(DATABASE),
            "MELTANO_DATABASE_URI": f"sqlite:///{OUTPUT / 'meltano.db'}",
        },
        stdout=subprocess.PIPE if capture else None,
        check=False,
        text=True,
    )
    if finished.returncode:
        sys.exit(f"meltano {' '.join(arguments)} failed with exit code {finished.returncode}")
    return finished.stdout


def run(sandbox: Sandbox) -> None:
    """Run the pipeline once."""
    print("$ meltano run", *PIPELINE, flush=True)
    meltano(sandbox, "run", *PIPELINE)


def read_bookmarks(sandbox: Sandbox) -> dict[str, str]:
    """Return each stream's bookmark from Meltano's state."""
    state_id = f"dev:{PIPELINE[0]}-to-{PIPELINE[1]}"
    state = meltano(sandbox, "--log-level=error", "state", "get", state_id, capture=True)
    bookmarks = json.loads(state)["singer_state"]["bookmarks"]
    return {
        stream: bookmarks.get(stream, {}).get("replication_key_value", "none (full table)")
        for stream in TABLES
    }


def show(database: duckdb.DuckDBPyConnection, bookmarks: Mapping[str, str]) -> None:
    """Print each table's number of rows and of new rows, and its bookmark."""
    database.execute(f"ATTACH '{AFTER_FIRST_RUN}' AS after_first_run (READ_ONLY)")
    query = "\nUNION ALL\n".join(
        f"""
        SELECT
            '{table}' AS "table",
            count(*) AS "rows",
            (
                SELECT count(*)
                FROM {table} ANTI JOIN after_first_run.{table} USING ({", ".join(key)})
            ) AS "new in the second run",
            '{bookmarks[table]}' AS "bookmark"
        FROM {table}
        """
        for table, key in TABLES.items()
    )
    database.sql(query).show()


def compare(database: duckdb.DuckDBPyConnection, table: str, sandbox: Sandbox) -> list[str]:
    """Return the rows in which a table differs from the mock's data, one line each."""
    key = TABLES[table]
    result = database.execute(f"FROM {table}")
    types = {name: str(kind) for name, kind, *_ in result.description}
    loaded = {}
    for values in result.fetchall():
        record = {
            name: json.loads(value) if kind == "JSON" and value else value
            for (name, kind), value in zip(types.items(), values, strict=True)
        }
        loaded[tuple(record[name] for name in key)] = record
    # Failed publications may share a key: the loader keeps one of them.
    expected = defaultdict(list)
    for record in expected_records(sandbox, table, types):
        expected[tuple(record[name] for name in key)].append(record)
    return [
        f"{table}: loaded {loaded.get(key)}, expected {expected.get(key)}"
        for key in expected.keys() | loaded.keys()
        if loaded.get(key) not in expected.get(key, [])
    ]


def expected_records(
    sandbox: Sandbox, table: str, types: Mapping[str, str]
) -> list[dict[str, object]]:
    """Return the mock's data as the loader should have written it."""
    if table not in LISTS:
        return [read(row, types) for row in sandbox.rows(OBJECTS[table])]
    return [
        {
            name: READERS["TIMESTAMP"](value) if value and types[name] == "TIMESTAMP" else value
            for name, value in expected_object(table, listed).items()
        }
        for listed in sandbox.dataset.references.objects(LISTS[table])
    ]


def read(row: Row, types: Mapping[str, str]) -> dict[str, object]:
    """Return a row of the mock as the loader should have written it."""
    record: dict[str, object] = {}
    for field, cell in row.cells.items():
        name = "created_at" if field == "date" else field
        record[name] = READERS.get(types.get(name, ""), str)(cell) if cell else None
    if "publication_key" in types:
        cells = {**row.cells, "created_at": row.cells["date"]}
        record["publication_key"] = publication_key(cells)
    if row.metadata or "metadata" in types:
        record["metadata"] = row.metadata
    return record


if __name__ == "__main__":
    main()
