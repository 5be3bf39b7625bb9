"""The clock; tests pass in a simulated one."""

from __future__ import annotations

import contextlib
import math
import threading
import time
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterator


ROUNDING_SECONDS = 1e-6


class StoppedError(Exception):
    """A wait was cut short because the run has ended."""


class Clock:
    """System clock with interruptible sleeps."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep.

        Raises:
            StoppedError: If the run has ended, or ends meanwhile.
        """
        if self._stopped.wait(max(seconds, 0)):
            raise StoppedError

    def condition(self) -> threading.Condition:
        """Return a condition that uses this clock for timeouts."""
        return threading.Condition()

    def stop(self) -> None:
        """Interrupt current and future sleeps."""
        self._stopped.set()


class Deadline:
    """A deadline that can be paused while the tap waits for the rate limit.

    Args:
        clock: Clock.
        seconds: The time allowed; unlimited by default.
    """

    def __init__(self, clock: Clock, seconds: float = math.inf) -> None:
        self._clock = clock
        self._seconds = seconds
        self._started = clock.monotonic()
        self._paused_seconds = 0.0

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the start, excluding pauses."""
        return self._clock.monotonic() - self._started - self._paused_seconds

    @property
    def remaining_seconds(self) -> float:
        """Seconds left; zero or negative once it has passed."""
        seconds = self._seconds - self.elapsed_seconds
        # Rounding may leave too little for a sleep to use up.
        return 0 if 0 < seconds < ROUNDING_SECONDS else seconds

    @property
    def paused_seconds(self) -> float:
        """Seconds for which it was paused."""
        return self._paused_seconds

    def extend(self, seconds: float) -> None:
        """Do not count these seconds, spent waiting outside `paused`."""
        self._paused_seconds += seconds

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time spent inside the block."""
        started = self._clock.monotonic()
        try:
            yield
        finally:
            self.extend(self._clock.monotonic() - started)
