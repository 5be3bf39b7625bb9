"""Retry what failed in a way that may pass."""

from __future__ import annotations

import contextlib
import itertools
import logging
import typing as t

import backoff

from tap_voucherify.errors import RateLimitError, TransientError, one_line

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tap_voucherify.clock import Clock, Deadline

MAX_ATTEMPTS = 8
MAX_PAUSE_SECONDS = 60

_T = t.TypeVar("_T")

logger = logging.getLogger("tap-voucherify.client")


class Retry:
    """Repeats attempts with jittered exponential backoff.

    Args:
        clock: Clock.
        max_wait_seconds: Maximum wait that a response can require.
        jitter: Randomizes a delay.
    """

    def __init__(
        self,
        clock: Clock,
        max_wait_seconds: float,
        jitter: Callable[[float], float] = backoff.full_jitter,
    ) -> None:
        self._clock = clock
        self._max_wait_seconds = max_wait_seconds
        self._jitter = jitter

    def run(
        self,
        attempt: Callable[[], _T],
        problem: str,
        deadline: Deadline,
        *,
        retry_warning: str = "",
    ) -> _T:
        """Make up to `MAX_ATTEMPTS` attempts.

        Args:
            attempt: Callable; a `TransientError` is retried.
            problem: Prefix of the log message.
            deadline: Paused while the rate limit requires to wait.
            retry_warning: Added when an attempt that may have succeeded is repeated.

        Raises:
            TransientError: From the last attempt.
        """
        # backoff generators yield None first.
        pauses = itertools.islice(backoff.expo(max_value=MAX_PAUSE_SECONDS), 1, MAX_ATTEMPTS)
        for pause in pauses:
            with contextlib.ExitStack() as uncounted:
                try:
                    return attempt()
                except RateLimitError as error:
                    reason = one_line(error)
                    seconds = min(error.wait_seconds, self._max_wait_seconds)
                    uncounted.enter_context(deadline.paused())
                except TransientError as error:
                    reason = f"{one_line(error)} {retry_warning}".strip()
                    seconds = self._jitter(pause)
                logger.warning("%s: %s; retrying in %.1f s", problem, reason, seconds)
                self._clock.sleep(seconds)
        return attempt()
