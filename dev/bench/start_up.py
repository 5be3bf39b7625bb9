"""Start-up: an empty sync, compared with importing the SDK."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

from .markdown import limited
from .processes import PYTHON, Usage, run, scratch, tap_command

if TYPE_CHECKING:
    from collections.abc import Sequence

# With no stream selected, no call needs a key.
CONFIG = {"app_id": "-", "app_token": "-"}


class StartUp(NamedTuple):
    """The median cost of start-up.

    Attributes:
        sdk: Importing `singer_sdk.Tap`.
        tap: An empty sync.
    """

    sdk: Usage
    tap: Usage

    def table(self) -> list[str]:
        """Return the lines of a Markdown table."""
        lines = ["| | CPU s | wall s | peak MiB |", "|---|--:|--:|--:|"]
        for what, used, limit in (
            ("`python -c 'from singer_sdk import Tap'`", self.sdk, None),
            ("an empty sync", self.tap, round(self.sdk.cpu_seconds, 2)),
        ):
            lines.append(
                f"| {what} | {limited(used.cpu_seconds, limit, 2)} | {used.wall_seconds:.2f} "
                f"| {used.peak_mib:.0f} |"
            )
        return lines


def measure(rounds: int) -> StartUp:
    """Run both in turn and return their medians."""
    with scratch() as directory:
        commands = (
            [PYTHON, "-c", "from singer_sdk import Tap"],
            tap_command(directory, CONFIG, streams=()),
        )
        used = [[run(command, directory / "output") for command in commands] for _ in range(rounds)]
    sdk, tap = map(_median, zip(*used, strict=True))
    return StartUp(sdk, tap)


def _median(usages: Sequence[Usage]) -> Usage:
    return Usage(*map(statistics.median, zip(*usages, strict=True)))
