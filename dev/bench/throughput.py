"""Vouchers to JSON lines, and to parquet."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING

from .contenders import FILES, LIMIT_MIB, RECORDS, STOCK, Contender
from .markdown import limited
from .processes import PYTHON, Json, Usage, exported, run, scratch, served, tap_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ROWS = 200_000
MANY_ROWS = 2_000_000

COUNT_PARQUET = """
import sys, pyarrow.parquet
print(sum(pyarrow.parquet.read_metadata(file).num_rows for file in sys.argv[1:]))
"""
COUNT_INSTRUCTIONS = (
    *("valgrind", "--tool=cachegrind", "--cachegrind-out-file=/dev/null"),
    *("--trace-children=yes", "--"),
)

Usages = dict[Contender, list[Usage]]


def measure(rounds: int, *, instructions: bool = False) -> Iterator[str]:
    """Run all contenders in turn and yield the lines of Markdown tables.

    Args:
        rounds: Runs of each contender.
        instructions: Whether to also count instructions, if valgrind is installed.
    """
    usages: Usages = {each: [] for each in (*RECORDS, *FILES) if not each.missing}
    counts: dict[Contender, int] = {}
    with exported(ROWS) as (config, file), served(file.parent) as url:
        megabytes = file.stat().st_size / 1e6
        order = list(usages)
        for number in range(rounds):
            for contender in order:
                print(f"round {number + 1} of {rounds}: {contender}", flush=True)
                usage, _ = _run(contender, config, f"{url}{file.name}")
                usages[contender].append(usage)
            order = order[1:] + order[:1]
        for contender in order if instructions and shutil.which("valgrind") else ():
            print(f"instructions: {contender}", flush=True)
            _, log = _run(contender, config, f"{url}{file.name}", COUNT_INSTRUCTIONS)
            counts[contender] = int(re.findall(r"I +refs: +([\d,]+)", log)[-1].replace(",", ""))
    yield (
        f"{ROWS:,} vouchers, {megabytes:.0f} MB of CSV, {rounds} rounds, CPU seconds within "
        f"{_spread(usages):.0%} of the median:"
    )
    yield from ("", "Records, as JSON lines:", "")
    yield from _table(RECORDS, ("stock", "polars", "DuckDB"), usages, counts)
    yield from ("", "Parquet files:", "")
    yield from _table(FILES, ("stock", "polars", "DuckDB", "dlt"), usages, counts)


def measure_memory() -> Iterator[str]:
    """Yield the tap's peak memory for few and many rows."""
    for rows in (ROWS, MANY_ROWS):
        with exported(rows) as (config, file):
            used = run(tap_command(file.parent, config), file.with_name("output"))
        peak = limited(used.peak_mib, LIMIT_MIB, 0)
        yield f"- {rows:,} vouchers: {peak} MiB, {used.cpu_seconds:.1f} s CPU"


def _run(
    contender: Contender, config: Json, url: str, prefix: Sequence[str] = ()
) -> tuple[Usage, str]:
    """Run a contender and return what it used and its log.

    Raises:
        SystemExit: If it fails, or has not written all rows.
    """
    with scratch() as directory:
        command = contender.command(directory, config, url)
        output = directory / "output"
        usage = run([*prefix, *command], output)
        rows = _count_rows(output)
        if rows != ROWS:
            raise SystemExit(f"{contender} wrote {rows} of {ROWS} rows")
        return usage, output.with_suffix(".log").read_text()


def _count_rows(output: Path) -> int:
    """Return the number of rows on standard output and in the files next to it."""
    rows = 0
    with output.open("rb") as lines:
        rows += sum(line.startswith(b'{"type":"RECORD"') for line in lines)
    for file in output.parent.rglob("vouchers*.jsonl"):
        with file.open("rb") as lines:
            rows += sum(1 for _ in lines)
    files = map(str, output.parent.rglob("vouchers*.parquet"))
    # In a separate process: memory resident here would count as the contenders'.
    counted = subprocess.run((PYTHON, "-c", COUNT_PARQUET, *files), capture_output=True, check=True)
    return rows + int(counted.stdout)


def _spread(usages: Usages) -> float:
    """Return the largest relative deviation of CPU seconds from a contender's median."""
    return max(
        abs(usage.cpu_seconds / statistics.median(each.cpu_seconds for each in used) - 1)
        for used in usages.values()
        for usage in used
    )


def _table(
    contenders: Sequence[Contender],
    references: Sequence[str],
    usages: Usages,
    counts: dict[Contender, int],
) -> Iterator[str]:
    """Yield the lines of a table, with CPU as a share of the references'."""
    others = [
        next(each for each in (*contenders, STOCK) if each.name == name) for name in references
    ]
    columns = ["CPU s", *(f"of {name}" for name in references), "peak MiB"]
    columns += ["10⁹ instructions"] if counts else []
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'--:|' * len(columns)}"
    for contender in contenders:
        if contender.missing:
            yield f"| {contender.title} | {contender.missing} |{' |' * (len(columns) - 1)}"
            continue
        cpu, _, peak = (
            statistics.median(column) for column in zip(*usages[contender], strict=True)
        )
        cells = [f"{cpu:.2f}"]
        for other in others:
            shares = [
                own.cpu_seconds / usage.cpu_seconds
                for own, usage in zip(usages[contender], usages.get(other, ()), strict=False)
            ]
            limit = contender.limits.get(other.name)
            cells.append(limited(statistics.median(shares), limit, 3) if shares else "")
        cells.append(limited(peak, contender.limit_mib, 0))
        cells += [f"{counts[contender] / 1e9:.1f}"] if counts else []
        yield f"| {contender.title} | {' | '.join(cells)} |"
