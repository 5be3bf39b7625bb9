"""The tap and a loader together: CPU of each (`python -m dev.bench.pairs`)."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from dev import ROOT
from tests.loaders.postgres import Postgres, postgres

from .contenders import VERSIONS, rival
from .processes import ENVIRONMENT, PYTHON, exported, run, scratch, served, tap_command, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

ROWS = 50_000
LOADERS = ROOT / ".meltano" / "loaders"

JSONL = {"format": "jsonl", "compression": "gzip"}
PARQUET = {"format": "parquet"}

EMPTY = "SET client_min_messages TO warning; DROP SCHEMA IF EXISTS bench CASCADE"

# Loads the folder of batch files in argument 1 into the database in argument 2.
DUCKDB = """
import sys, duckdb
with duckdb.connect(sys.argv[2]) as database:
    database.execute(
        f"CREATE TABLE vouchers AS FROM read_parquet('{sys.argv[1]}/*.parquet', union_by_name=true)"
    )
"""


@dataclass(frozen=True)
class Pair:
    """A loader, with the settings that differ from its defaults.

    Attributes:
        title: Label of its row in the table.
        loader: Name of the loader, or "" for DuckDB reading the tap's files.
        encoding: Encoding of batch files, if any.
        settings: Settings of the loader.
    """

    title: str
    loader: str
    encoding: Mapping[str, str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


PAIRS = (
    Pair("target-postgres, defaults", "target-postgres"),
    Pair(
        "target-postgres, `validate_records: false`",
        "target-postgres",
        settings={"validate_records": False},
    ),
    Pair("target-postgres, jsonl batches", "target-postgres", JSONL),
    Pair(
        "target-postgres, jsonl batches and `use_copy: true`",
        "target-postgres",
        JSONL,
        {"use_copy": True},
    ),
    Pair("target-duckdb 0.8.0, defaults", "target-duckdb"),
    Pair("target-jsonl, defaults", "target-jsonl"),
    Pair("no loader: DuckDB reads parquet batches", "", PARQUET),
)
# Options of dlt, which extracts and loads without a tap.
DLT: Mapping[str, Sequence[str]] = {
    "dlt: pages of rows into PostgreSQL, defaults": (),
    "dlt: Arrow tables into PostgreSQL, as CSV": ("--arrow",),
}


class Cost(NamedTuple):
    """CPU seconds of the tap and of the loader."""

    tap: float
    loader: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench.pairs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each pair")
    print("", *measure(parser.parse_args().rounds), sep="\n")


def measure(rounds: int) -> Iterator[str]:
    """Run all pairs in turn and yield the lines of a Markdown table of medians."""
    costs: dict[str, list[Cost]] = {title: [] for title in (*(pair.title for pair in PAIRS), *DLT)}
    with (
        postgres() as server,
        exported(ROWS) as (config, file),
        served(file.parent) as url,
    ):
        for number in range(rounds):
            for pair in PAIRS:
                print(f"round {number + 1} of {rounds}: {pair.title}", flush=True)
                with scratch() as directory:
                    costs[pair.title].append(_run(pair, directory, config, server))
            for title, options in DLT.items() if "dlt" in VERSIONS else ():
                print(f"round {number + 1} of {rounds}: {title}", flush=True)
                costs[title].append(_run_dlt(options, f"{url}{file.name}", server))
    yield f"{ROWS:,} vouchers, {rounds} rounds:"
    yield ""
    yield "| | tap, CPU s | loader, CPU s | both |"
    yield "|---|--:|--:|--:|"
    for title, measured in costs.items():
        if not measured:
            yield f"| {title} | not installed | | |"
            continue
        tap, loader = (statistics.median(column) for column in zip(*measured, strict=True))
        parts = "| | |" if title in DLT else f"| {tap:.1f} | {loader:.1f} |"
        yield f"| {title} {parts} {tap + loader:.1f} |"


def _run_dlt(options: Sequence[str], url: str, server: Postgres) -> Cost:
    address = "postgresql://{user}:{password}@{host}:{port}/{database}".format(**server.settings)
    server.query(EMPTY)
    with scratch() as directory:
        used = run(rival("dlt", url, address, *options), directory / "output")
    _check("dlt", _count_postgres(server))
    return Cost(0, used.cpu_seconds)


def _run(pair: Pair, directory: Path, config: Mapping[str, str], server: Postgres) -> Cost:
    files = directory / "files"
    files.mkdir()
    tap_config: dict[str, Any] = dict(config)
    if pair.encoding:
        storage = {"root": files.as_uri()}
        tap_config["batch_config"] = {"encoding": pair.encoding, "storage": storage}
    tap = tap_command(directory, tap_config)
    database = directory / "vouchers.duckdb"
    if not pair.loader:
        extracted = run(tap, directory / "output")
        loaded = run([PYTHON, "-c", DUCKDB, str(files), str(database)], directory / "load")
        _check(pair.title, _count_duckdb(database))
        return Cost(extracted.cpu_seconds, loaded.cpu_seconds)
    if pair.loader == "target-postgres":
        server.query(EMPTY)
        settings = {**server.settings, "default_target_schema": "bench", **pair.settings}
    elif pair.loader == "target-duckdb":
        settings = {"path": str(database), "default_target_schema": "main"}
    else:
        settings = {"destination_path": str(files), "do_timestamp_file": False}
    loader = LOADERS / pair.loader / "venv" / "bin" / pair.loader
    command = [str(loader), "--config", write_json(directory / "loader.json", settings)]
    cost = _pipe(tap, command, directory / "log")
    if pair.loader == "target-postgres":
        rows = _count_postgres(server)
    elif pair.loader == "target-duckdb":
        rows = _count_duckdb(database)
    else:
        with (files / "vouchers.jsonl").open("rb") as lines:
            rows = sum(1 for _ in lines)
    _check(pair.title, rows)
    return cost


def _pipe(tap: Sequence[str], loader: Sequence[str], log: Path) -> Cost:
    """Pipe the tap into the loader."""
    with log.open("wb") as stderr:
        source = subprocess.Popen(
            tap, stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT, env=ENVIRONMENT
        )
        sink = subprocess.Popen(
            loader, stdin=source.stdout, stdout=subprocess.DEVNULL, stderr=stderr, env=ENVIRONMENT
        )
        if source.stdout:
            source.stdout.close()
        used = []
        for process in (source, sink):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            used.append(usage.ru_utime + usage.ru_stime)
    if source.returncode or sink.returncode:
        sys.exit(f"{' '.join(loader)} failed:\n{log.read_text()[-2000:]}")
    tap_seconds, loader_seconds = used
    return Cost(tap_seconds, loader_seconds)


def _count_duckdb(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as database:
        return int(database.sql("SELECT count(*) FROM vouchers").fetchall()[0][0])


def _count_postgres(server: Postgres) -> int:
    (rows,) = server.query("SELECT count(*) FROM bench.vouchers")
    return int(rows)


def _check(title: str, rows: int) -> None:
    """End the benchmark if a pair has not loaded all rows."""
    if rows != ROWS:
        sys.exit(f"{title}: loaded {rows} of {ROWS} rows")


if __name__ == "__main__":
    main()
