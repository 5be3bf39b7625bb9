"""Waiting for exports: elapsed time, and calls as the sandbox counts them."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from dev.sandbox import OBJECTS, Dataset, Sandbox

from .markdown import limited
from .processes import run, scratch, tap_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROWS = 1000
START = datetime(2026, 1, 1, tzinfo=timezone.utc)

SEVEN = (
    "vouchers",
    "redemptions",
    "customers",
    "orders",
    "publications",
    "voucher_transactions",
    "points_expirations",
)
FOUR, ONE = SEVEN[:4], SEVEN[:1]
MINUTE_SECONDS = 60
SHORT_SECONDS = 4.5
QUICK_SECONDS = 0.3

WINDOWS = 20
WINDOWS_EXPORT_SECONDS = 1.5
# Eight at a time, each noticed by its second poll.
WINDOWS_LIMIT_SECONDS = 1.3 * 3 * 2


class Task(NamedTuple):
    """A sync and its limits.

    Attributes:
        what: What it syncs, for the table.
        streams: The streams.
        export_seconds: Duration of each export.
        limit_seconds: Maximum elapsed time; None for no limit.
        limit_calls: Maximum number of calls; None for no limit.
        settings: Settings of the tap.
    """

    what: str
    streams: Sequence[str]
    export_seconds: float
    limit_seconds: float | None = None
    limit_calls: int | None = None
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def measure(self) -> str:
        """Return a line of a Markdown table, in bold where a limit is exceeded."""
        dataset = Dataset(sizes=dict.fromkeys(OBJECTS, ROWS), start=START)
        with (
            scratch() as directory,
            Sandbox(dataset, latency_seconds=self.export_seconds) as sandbox,
        ):
            command = tap_command(directory, {**sandbox.config, **self.settings}, self.streams)
            seconds = run(command, directory / "output").wall_seconds
            calls = Counter(request.kind for request in sandbox.requests)
        kinds = ", ".join(f"{count} {kind}" for kind, count in calls.items())
        return (
            f"| {self.what} of {self.export_seconds} s | {limited(seconds, self.limit_seconds, 1)} "
            f"| {limited(calls.total(), self.limit_calls, 0)} | {kinds} |"
        )


def measure(start_up_seconds: float) -> Iterator[str]:
    """Yield the lines of a Markdown table of the tasks' costs and limits.

    Args:
        start_up_seconds: Elapsed time of an empty sync.
    """
    yield "| | wall s (at most) | calls (at most) | |"
    yield "|---|--:|--:|---|"
    end = START + timedelta(days=WINDOWS)
    dates = {"start_date": START.isoformat(), "end_date": end.isoformat(), "window_days": 1}
    windows_seconds = round(WINDOWS_LIMIT_SECONDS + start_up_seconds, 1)
    for task in (
        Task("seven exports", SEVEN, QUICK_SECONDS, limit_calls=16),
        Task("four exports", FOUR, SHORT_SECONDS, limit_seconds=6.5),
        Task("seven exports", SEVEN, SHORT_SECONDS, limit_seconds=7),
        Task(
            f"{WINDOWS} windows, exports",
            ONE,
            WINDOWS_EXPORT_SECONDS,
            limit_seconds=windows_seconds,
            settings=dates,
        ),
    ):
        yield task.measure()
    long_tasks = (
        Task("one export", ONE, MINUTE_SECONDS, limit_calls=16),
        Task("seven exports", SEVEN, MINUTE_SECONDS, limit_calls=30),
    )
    # They mostly wait, so they do not disturb each other.
    with ThreadPoolExecutor(len(long_tasks)) as pool:
        yield from pool.map(Task.measure, long_tasks)


if __name__ == "__main__":
    for line in measure(float(sys.argv[1])):
        print(line, flush=True)
