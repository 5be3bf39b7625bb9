"""Running the tap in this process, where what it does can be counted."""

from __future__ import annotations

import contextlib
import io
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_voucherify.tap import TapVoucherify
from tests.support.runs import Json, Output, split_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Buffer


class CountingFile(io.FileIO):
    """A file that counts how often it is written to."""

    writes = 0

    def write(self, data: Buffer, /) -> int:
        """Write."""
        self.writes += 1
        return super().write(data)


@dataclass
class Metrics(logging.Handler):
    """Collects the SDK's metrics.

    Attributes:
        counts: How many records each stream has counted.
    """

    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set up the handler."""
        super().__init__()

    __hash__ = logging.Handler.__hash__

    def emit(self, record: logging.LogRecord) -> None:
        """Take a metric."""
        point: Any = record.args[0] if isinstance(record.args, tuple) else None
        if getattr(point, "metric", "") == "record_count":
            stream = point.tags["stream"]
            self.counts[stream] = self.counts.get(stream, 0) + point.value


@dataclass(frozen=True)
class CountedRun(Output):
    """A run of the tap in this process.

    Attributes:
        exit_code: The exit code.
        writes: How many writes its output took.
        counts: How many records each stream has counted.
    """

    exit_code: int
    writes: int
    counts: Mapping[str, int]


def sync(
    path: Path,
    config: Mapping[str, object],
    catalog: Json,
    tap_class: type[TapVoucherify] = TapVoucherify,
) -> CountedRun:
    """Run a sync to its end.

    Args:
        path: The file that the output goes to.
        config: The settings.
        catalog: The catalog.
        tap_class: The tap.
    """
    settings = {**config, "poll_interval_seconds": 0.02}
    metrics, logger = Metrics(), logging.getLogger("singer_sdk.metrics")
    with CountingFile(path, "w") as file:
        buffer = io.BufferedWriter(file)
        output = io.TextIOWrapper(buffer)
        with contextlib.redirect_stdout(output):
            tap = tap_class(config=settings, catalog=catalog)
            logger.addHandler(metrics)
            try:
                exit_code = tap.run()
            finally:
                logger.removeHandler(metrics)
        output.detach()
        buffer.detach()
        lines = split_lines(path.read_text(encoding="utf-8"))
        return CountedRun(lines, exit_code, file.writes, metrics.counts)
