"""Rows to JSON lines: the tap, a stock tap, and tools that only convert."""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dev import ROOT

from .processes import PYTHON, Usage, run, sandbox, tap_command, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROWS = 200_000
MANY_ROWS = 2_000_000

RECORD_PATH = "**tap-voucherify**"
BATCH_PATH = "**tap-voucherify**, parquet batches"
STOCK = "stock singer-sdk stream (`csv.DictReader`, defaults)"
TUNED = "the same, streamed, msgspec writer, no conformance"
PANDAS_TITLE = "pandas `read_csv` → `to_json`, from a file"
SINGER = (RECORD_PATH, STOCK, TUNED)

# Not beside the tap: the SDK is slower to import where numpy is installed.
PYTHON_WITH_PANDAS = ROOT / ".venv-bench" / "bin" / "python"

PANDAS = """
import sys, pandas
data = pandas.read_csv(sys.argv[1])
data.to_json(sys.argv[2], orient="records", lines=True)
"""
DUCKDB = """
import sys, duckdb
duckdb.execute(f"COPY (FROM '{sys.argv[1]}') TO '{sys.argv[2]}' (FORMAT json)")
"""
CSV_READER = """
import sys, csv
for row in csv.reader(open(sys.argv[1], newline="", encoding="utf-8")):
    pass
"""


def measure(rounds: int, rows: int = ROWS) -> Iterator[str]:
    """Run all contenders in turn and yield the lines of a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="tap-voucherify-bench-") as name:
        directory = Path(name)
        with sandbox(rows) as config:
            file = directory / "vouchers.csv"
            settings = write_json(directory / "sandbox.json", config)
            # The sandbox writes its file once, before anything is measured.
            run(
                [PYTHON, "-m", "dev.bench.rivals.export", settings, str(file)], directory / "export"
            )
            commands = _commands(directory, config, file)
            usages = _in_turn(commands, rounds, directory, rows)
        yield f"{rows:,} vouchers, {file.stat().st_size / 1e6:.0f} MB of CSV, {rounds} rounds:"
    yield ""
    yield "| | CPU s | relative | (least to most) | wall s | peak MiB |"
    yield "|---|--:|--:|--:|--:|--:|"
    for contender, used in usages.items():
        shares = [
            own.cpu_seconds / stock.cpu_seconds
            for own, stock in zip(used, usages[STOCK], strict=True)
        ]
        cpu, wall, peak = (statistics.median(column) for column in zip(*used, strict=True))
        yield (
            f"| {contender} | {cpu:.2f} | {statistics.median(shares):.3f} "
            f"| {min(shares):.3f} to {max(shares):.3f} | {wall:.1f} | {peak:.0f} |"
        )


def measure_memory() -> Iterator[str]:
    """Yield the tap's peak memory for few and many rows."""
    for rows in (ROWS, MANY_ROWS):
        with tempfile.TemporaryDirectory(prefix="tap-voucherify-bench-") as name:
            directory = Path(name)
            with sandbox(rows) as config:
                settings = write_json(directory / "sandbox.json", config)
                run(
                    [PYTHON, "-m", "dev.bench.rivals.export", settings, "/dev/null"],
                    directory / "export",
                )
                used = run(tap_command(directory, config), directory / "output")
        yield f"- {rows:,} vouchers: {used.peak_mib:.0f} MiB, {used.cpu_seconds:.1f} s CPU"


def _commands(directory: Path, config: Mapping[str, str], file: Path) -> dict[str, list[str]]:
    """Return the command of each row in the table."""
    settings = str(directory / "sandbox.json")
    tap, batches = directory / "tap", directory / "batches"
    tap.mkdir()
    batches.mkdir()
    storage = {"root": batches.as_uri()}
    batch_config = {"encoding": {"format": "parquet"}, "storage": storage}
    converted = [str(file), str(directory / "converted.jsonl")]
    commands = {
        RECORD_PATH: tap_command(tap, config),
        STOCK: [PYTHON, "-m", "dev.bench.rivals.stock", "--config", settings],
        TUNED: [PYTHON, "-m", "dev.bench.rivals.tuned", "--config", settings],
        "DuckDB `COPY` CSV → JSON lines, all cores, from a file": [
            PYTHON,
            "-c",
            DUCKDB,
            *converted,
        ],
        "`csv.reader` alone, from a file, no output": [PYTHON, "-c", CSV_READER, str(file)],
    }
    if importlib.util.find_spec("pyarrow"):
        commands[BATCH_PATH] = tap_command(batches, {**config, "batch_config": batch_config})
    else:
        print(f"{BATCH_PATH}: skipped: pyarrow is not installed")
    if PYTHON_WITH_PANDAS.exists():
        commands[PANDAS_TITLE] = [str(PYTHON_WITH_PANDAS), "-c", PANDAS, *converted]
    else:
        print(f"{PANDAS_TITLE}: skipped: `make bench` makes its environment")
    return commands


def _in_turn(
    commands: Mapping[str, Sequence[str]], rounds: int, directory: Path, rows: int
) -> dict[str, list[Usage]]:
    """Run all commands once per round, starting with a different one each time."""
    usages: dict[str, list[Usage]] = {contender: [] for contender in commands}
    order = list(commands)
    for number in range(rounds):
        for contender in order:
            print(f"round {number + 1} of {rounds}: {contender}", flush=True)
            output = directory / "output"
            usages[contender].append(run(commands[contender], output))
            if contender in SINGER:
                _check(output, contender, rows)
            _clean(directory)
        order = order[1:] + order[:1]
    return usages


def _check(output: Path, contender: str, rows: int) -> None:
    """Exit if a tap has not emitted all rows."""
    with output.open("rb") as lines:
        emitted = sum(line.startswith(b'{"type":"RECORD"') for line in lines)
    if emitted != rows:
        raise SystemExit(f"{contender} emitted {emitted} of {rows} rows")


def _clean(directory: Path) -> None:
    """Delete the output of a contender."""
    for written in ("output", "converted.jsonl", "batches/*.parquet"):
        for path in directory.glob(written):
            path.unlink()
