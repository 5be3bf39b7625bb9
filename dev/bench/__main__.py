"""Measure the cost of a sync and print it as Markdown (`make bench`)."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from dev import ROOT

from . import start_up, throughput
from .contenders import VERSIONS
from .processes import PYTHON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGES = ("tap-voucherify", "singer-sdk", "msgspec", "pyarrow")
OTHERS = ("airbyte-cdk", "dlt", "pandas", "polars", "duckdb", "pyarrow")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--large", action="store_true", help="also read two million rows")
    parser.add_argument(
        "--instructions", action="store_true", help="also count instructions, with valgrind"
    )
    options = parser.parse_args()

    tables = list(throughput.measure(options.rounds, instructions=options.instructions))
    print(f"\n{machine()}\n\n### Vouchers\n", *tables, sep="\n", flush=True)
    if options.large:
        print("\n### Memory\n", *throughput.measure_memory(), sep="\n", flush=True)
    start = start_up.measure(2 * options.rounds + 1)
    print("\n### Start-up\n", *start.table(), "\n### Orchestration\n", sep="\n", flush=True)
    # In a separate process: memory resident here would count as the contenders'.
    orchestration = ("-m", "dev.bench.orchestration", f"{start.tap.wall_seconds}")
    subprocess.run((PYTHON, *orchestration), cwd=ROOT, check=True)
    print("\n### Tap and loader\n", flush=True)
    pairs = ("-m", "dev.bench.pairs", f"--rounds={options.rounds}")
    subprocess.run((PYTHON, *pairs), cwd=ROOT, check=True)


def machine() -> str:
    """Describe this machine and the installed versions."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    installed = {found.name: found.version for found in distributions()}
    return (
        f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}. {_versions(PACKAGES, installed)}. "
        f"The others: {_versions(OTHERS, VERSIONS)}."
    )


def _versions(names: Sequence[str], installed: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {installed.get(name, 'missing')}" for name in names)


def processor() -> str:
    """Return the name of the processor, if the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
