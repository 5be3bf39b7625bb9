"""Time as the tap sees it; tests hand in another."""

from __future__ import annotations

import threading
import time


class StoppedError(Exception):
    """The run ends while something still waits."""


class Clock:
    """The machine's clocks, and waits that end with the run."""

    def __init__(self) -> None:
        """Start running."""
        self._stopped = threading.Event()

    def now(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never jump, to measure with."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: If the run ends meanwhile, or has ended.
        """
        if self._stopped.wait(max(seconds, 0)):
            raise StoppedError

    def condition(self) -> threading.Condition:
        """Return a condition whose waits are measured by this clock."""
        return threading.Condition()

    def stop(self) -> None:
        """End every sleep, now and later."""
        self._stopped.set()


class Deadline:
    """A moment that moves on while the tap is not allowed to work."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Start counting."""
        self._clock = clock
        self._end = clock.monotonic() + seconds

    @property
    def remaining_seconds(self) -> float:
        """How long until it passes; not positive once it has."""
        return self._end - self._clock.monotonic()

    def extend(self, seconds: float) -> None:
        """Move it on."""
        self._end += seconds
