"""SIGTERM and SIGINT end a run with what it has written, neither more nor less."""

from __future__ import annotations

import os
import threading
import typing as t

from tap_voucherify.errors import Interruption

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tap_voucherify.clock import Clock

# If standard output takes nothing for so long, the run ends without a last STATE.
PATIENCE_SECONDS = 2

_LOOK_SECONDS = 0.05


class StopRequest:
    """A flag that a signal raises and the main thread looks at."""

    def __init__(self, clock: Clock, progress: Callable[[], int] = lambda: 0) -> None:
        """Start without a signal.

        Args:
            clock: Measures the patience; it must not stop with the run.
            progress: Returns a number that grows whenever output is taken.
        """
        self._clock = clock
        self._progress = progress
        self._signal_number = 0

    def __call__(self, signal_number: int) -> None:
        """Note a signal; the handler must do no more, since it runs at any moment."""
        if not self._signal_number:
            self._signal_number = signal_number
            threading.Thread(target=self._watch, daemon=True).start()

    def check(self) -> None:
        """Raise `Interruption` if there was a signal."""
        if self._signal_number:
            raise Interruption(self._signal_number)

    def _watch(self) -> None:
        """End the process if its reader takes nothing more."""
        seen, since = self._progress(), self._clock.monotonic()
        while self._clock.monotonic() - since < PATIENCE_SECONDS:
            self._clock.sleep(_LOOK_SECONDS)
            if self._progress() != seen:
                seen, since = self._progress(), self._clock.monotonic()
        os._exit(128 + self._signal_number)
