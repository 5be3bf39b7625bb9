"""The command of the tap in a time that passes faster: `python tests/fast_cli.py --config=...`.

`FAST_CLI_SPEED` says how many seconds of the tap pass in a real one, and `FAST_CLI_FILE_BYTES` how
long a file can get, as if the disk were full then.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from tap_voucherify.clock import Clock
from tap_voucherify.tap import TapVoucherify

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

SPEED = float(os.environ.get("FAST_CLI_SPEED", "100"))
FILE_BYTES = int(os.environ.get("FAST_CLI_FILE_BYTES", "-1"))

# A thread that looks up more often has no time left to work.
_SHORTEST_WAIT_SECONDS = 0.002


class FastClock(Clock):
    """A clock that runs fast; the date stays that of the server."""

    def monotonic(self) -> float:
        """Return seconds of the tap."""
        return time.monotonic() * SPEED

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds of the tap."""
        super().sleep(seconds / SPEED)

    def condition(self) -> threading.Condition:
        """Return a condition that measures its waits in seconds of the tap."""
        return _FastCondition()


class _FastCondition(threading.Condition):
    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            timeout = max(timeout / SPEED, _SHORTEST_WAIT_SECONDS)
        return super().wait(timeout)

    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        end = None if timeout is None else time.monotonic() + timeout / SPEED
        while not (result := predicate()):
            left = None if end is None else (end - time.monotonic()) * SPEED
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result


class FastTap(TapVoucherify):
    """The tap with that clock."""

    clock_class = FastClock


if __name__ == "__main__":
    if FILE_BYTES >= 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    FastTap.cli()
