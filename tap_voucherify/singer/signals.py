"""On SIGTERM and SIGINT, stop with STATE for exactly what was written.

Streams and workers call `check`; `tap` catches the `Interruption`, writes STATE and exits. Until
the tap has been imported, `start` handles signals.
"""

from __future__ import annotations

import os
import signal
import threading
import typing as t

from tap_voucherify.errors import Interruption

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tap_voucherify.clock import Clock

# By default, exit without a final STATE if standard output is blocked this long.
STALL_SECONDS = 2

_CHECK_SECONDS = 0.05


class StopFlag:
    """A flag set by a signal and checked by the main thread."""

    def __init__(
        self,
        clock: Clock,
        progress: Callable[[], int] = lambda: 0,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """Start without a signal.

        Args:
            clock: Clock for the stall timeout; it must keep running when the run stops.
            progress: Returns a number that increases while the run is not stuck.
            stall_seconds: How long it may be stuck after a signal.
        """
        self._clock = clock
        self._progress = progress
        self._stall_seconds = stall_seconds
        self._signal_number = 0

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT, in place of the SDK's handlers.

        The SDK's would write a STATE ahead of the buffered records. Python allows handlers in
        the main thread only.
        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda number, _frame: self.set(number))

    def set(self, signal_number: int) -> None:
        """Record the first signal and watch for a stall. Handlers run anywhere, so do no more."""
        if not self._signal_number:
            self._signal_number = signal_number
            threading.Thread(target=self._watch, daemon=True).start()

    def check(self) -> None:
        """Raise `Interruption` if there was a signal."""
        if self._signal_number:
            raise Interruption(self._signal_number)

    def _watch(self) -> None:
        """Exit once there is no progress."""
        seen, since = self._progress(), self._clock.monotonic()
        while self._clock.monotonic() - since < self._stall_seconds:
            self._clock.sleep(_CHECK_SECONDS)
            if self._progress() != seen:
                seen, since = self._progress(), self._clock.monotonic()
        os._exit(128 + self._signal_number)
