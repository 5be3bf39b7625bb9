"""Waiting for exports: elapsed time, and calls as the sandbox counts them."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from dev.sandbox import OBJECTS, Dataset, Sandbox

from .processes import run, tap_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROWS = 1000
START = datetime(2026, 1, 1, tzinfo=timezone.utc)

STREAMS = ("vouchers", "redemptions", "customers", "orders")
STREAMS_EXPORT_SECONDS = 4.5
STREAMS_LIMIT_SECONDS = 8
CALLS_LIMIT = 32

WINDOWS = 20
WINDOWS_EXPORT_SECONDS = 1.5
# Four at once, each noticed by the second poll.
WINDOWS_LIMIT_SECONDS = 1.3 * 5 * 2


def measure(start_up_seconds: float) -> Iterator[str]:
    """Yield what the two tasks took, beside what they may take.

    Args:
        start_up_seconds: What an empty sync takes.
    """
    yield "| | wall s | at most | calls |"
    yield "|---|--:|--:|---|"
    wall, calls = _sync(STREAMS, STREAMS_EXPORT_SECONDS)
    yield (
        f"| {len(STREAMS)} streams, exports of {STREAMS_EXPORT_SECONDS} s | {wall:.1f} "
        f"| {STREAMS_LIMIT_SECONDS} | {_summary(calls)}, at most {CALLS_LIMIT} |"
    )
    end = START + timedelta(days=WINDOWS)
    dates = {"start_date": START.isoformat(), "end_date": end.isoformat(), "window_days": 1}
    wall, calls = _sync(("vouchers",), WINDOWS_EXPORT_SECONDS, **dates)
    yield (
        f"| {WINDOWS} windows, exports of {WINDOWS_EXPORT_SECONDS} s | {wall:.1f} "
        f"| {WINDOWS_LIMIT_SECONDS + start_up_seconds:.1f} | {_summary(calls)} |"
    )


def _sync(
    streams: Sequence[str], export_seconds: float, **settings: object
) -> tuple[float, Counter[str]]:
    """Sync from a sandbox whose exports take so long; return the time and the calls."""
    dataset = Dataset(sizes=dict.fromkeys(OBJECTS, ROWS), start=START)
    with (
        tempfile.TemporaryDirectory(prefix="tap-voucherify-bench-") as name,
        Sandbox(dataset, latency_seconds=export_seconds) as sandbox,
    ):
        directory = Path(name)
        command = tap_command(directory, {**sandbox.config, **settings}, streams)
        used = run(command, directory / "output")
        return used.wall_seconds, Counter(request.kind for request in sandbox.requests)


def _summary(calls: Counter[str]) -> str:
    return f"{calls.total()} ({', '.join(f'{count} {kind}' for kind, count in calls.items())})"


if __name__ == "__main__":
    for line in measure(float(sys.argv[1])):
        print(line, flush=True)
