"""Retry transient failures."""

from __future__ import annotations

import contextlib
import logging
import math
import typing as t

import backoff

from tap_voucherify.errors import RateLimitError, TransientError, one_line

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tap_voucherify.clock import Clock, Deadline

# Maximum pause between attempts; a wait for the rate limit may be longer.
MAX_PAUSE_SECONDS = 60
# How many times the rate limit may reject one request.
MAX_RATE_LIMIT_ATTEMPTS = 8

_T = t.TypeVar("_T")

logger = logging.getLogger("tap-voucherify.client")


class Retry:
    """Repeats attempts with jittered exponential backoff.

    Args:
        clock: Clock.
        max_retry_seconds: How long failures are retried.
        jitter: Randomizes a delay.
    """

    def __init__(
        self,
        clock: Clock,
        max_retry_seconds: float,
        jitter: Callable[[float], float] = backoff.full_jitter,
    ) -> None:
        self._clock = clock
        self._max_retry_seconds = max_retry_seconds
        self._jitter = jitter

    def run(
        self,
        attempt: Callable[[], _T],
        problem: str,
        deadline: Deadline,
        *,
        retry_warning: str = "",
        max_retry_seconds: float | None = None,
    ) -> _T:
        """Make attempts until one succeeds or time is up, counted from the first failure.

        Args:
            attempt: Callable; a `TransientError` is retried.
            problem: Prefix of the log message.
            deadline: Ends retries too; paused while waiting for the rate limit.
            retry_warning: Added to the log message if the attempt may have succeeded.
            max_retry_seconds: How long to retry, instead of the default.

        Raises:
            TransientError: From the last attempt.
        """
        allowed = self._max_retry_seconds if max_retry_seconds is None else max_retry_seconds
        pauses = backoff.expo(max_value=MAX_PAUSE_SECONDS)
        # backoff generators yield None first.
        next(pauses)
        ends_at = math.inf
        rejections = 0
        while True:
            try:
                return attempt()
            except TransientError as error:  # noqa: PERF203 - retrying needs the loop
                if ends_at == math.inf:
                    ends_at = deadline.elapsed_seconds + allowed
                pause = self._jitter(next(pauses))
                with contextlib.ExitStack() as uncounted:
                    reason = one_line(error)
                    if isinstance(error, RateLimitError):
                        rejections += 1
                        if rejections >= MAX_RATE_LIMIT_ATTEMPTS or not allowed:
                            raise
                        pause = max(pause, error.wait_seconds)
                        uncounted.enter_context(deadline.paused())
                    else:
                        left = min(ends_at - deadline.elapsed_seconds, deadline.remaining_seconds)
                        if left <= 0:
                            raise
                        pause = min(pause, left)
                        reason = f"{reason} {retry_warning}".strip()
                    logger.warning("%s: %s; retrying in %.1f s", problem, reason, pause)
                    self._clock.sleep(pause)
