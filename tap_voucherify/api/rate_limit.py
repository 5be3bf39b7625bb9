"""The account's rate limit, shared by all calls of the process.

Voucherify tells the limit in every answer: `X-Rate-Limit-Limit`, `-Remaining` and
`-Retry`, the Unix time in seconds at which it resets. Exceeding it blocks the account,
so the tap leaves a reserve to the customer's own traffic.
"""

from __future__ import annotations

import email.utils
import logging
import math
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.clock import Clock, Deadline

# A limit of this type is the plan's quota, which does not reset within a run.
QUOTA = "api_calls_cycle"

# `Date` and `X-Rate-Limit-Retry` count whole seconds.
_ROUNDING_SECONDS = 1

_T = t.TypeVar("_T")

logger = logging.getLogger("tap-voucherify.client")


class RateLimit:
    """Lets calls pass as long as the reserve stays unused."""

    def __init__(self, clock: Clock, reserve: float) -> None:
        """Begin without knowing the limit.

        Args:
            clock: Measures the waits.
            reserve: The share of the limit that is left to others, from 0 to 1.
        """
        self._clock = clock
        self._reserve = reserve
        self._changed = clock.condition()
        self._in_flight = 0
        self._heard = self._is_probing = False
        self._limit: int | None = None
        self._left = math.inf
        # When the period ends, by the server's clock and by ours.
        self._period = self._told_period = -math.inf
        self._resets_at = -math.inf

    @property
    def summary(self) -> str:
        """How much of the limit is left, for the log."""
        if self._limit is None:
            return "Voucherify reported no rate limit"
        left = min(max(self._left, 0), self._limit)
        return f"{left:.0f} of {self._limit} calls left until it resets"

    def acquire(self, prepare: Callable[[], _T], deadline: Deadline | None = None) -> _T:
        """Wait for leave to make one call; `release` must follow.

        Args:
            prepare: Returns what is to be sent. It is called anew after each wait, in
                which a token or a link would have grown old, and may make calls itself.
            deadline: What is not to count the wait.

        Returns:
            What `prepare` has returned just now.
        """
        while True:
            prepared = prepare()
            started = self._clock.monotonic()
            with self._changed:
                if not self._wait_seconds():
                    self._is_probing = not self._heard
                    self._in_flight += 1
                    self._left -= 1
                    return prepared
                self._wait()
            if deadline:
                deadline.extend(self._clock.monotonic() - started)

    def _wait(self) -> None:
        while wait := self._wait_seconds():
            if wait != math.inf and self._told_period != self._period:
                self._told_period = self._period
                logger.info(
                    "Only the reserve of the rate limit is left: waiting %.0f s for its reset",
                    wait,
                )
            self._changed.wait(None if wait == math.inf else wait)

    def release(self, headers: Mapping[str, str]) -> None:
        """End a call.

        Args:
            headers: Of its answer; empty if there was none.
        """
        with self._changed:
            self._in_flight -= 1
            self._is_probing = False
            is_quota = headers.get("X-Rate-Limit-Type") == QUOTA
            is_observed = not is_quota and self._observe(headers)
            if is_observed or (headers and (is_quota or self._limit is None)):
                self._heard = True
            self._changed.notify_all()

    def _wait_seconds(self) -> float:
        """How long to wait before the next look; 0 to go, infinite until an answer."""
        now = self._clock.monotonic()
        if self._left <= self._reserved and now >= self._resets_at:
            # A new period: what is left of it is known after the next answer.
            self._heard, self._left = False, math.inf
        if not self._heard:
            # One call goes alone, so that the limit is known before others follow.
            return math.inf if self._is_probing else 0
        return self._resets_at - now if self._left <= self._reserved else 0

    @property
    def _reserved(self) -> int:
        return math.ceil((self._limit or 0) * self._reserve)

    def _observe(self, headers: Mapping[str, str]) -> bool:
        """Take note of the limit that an answer tells; False if it tells none."""
        try:
            limit = int(headers["X-Rate-Limit-Limit"])
            remaining = int(headers["X-Rate-Limit-Remaining"])
            period = float(headers["X-Rate-Limit-Retry"])
        except (KeyError, ValueError):
            return False
        if not math.isfinite(period):
            return False
        left = remaining - self._in_flight
        seconds = period - server_time(headers, self._clock) + _ROUNDING_SECONDS
        resets_at = self._clock.monotonic() + seconds
        if period > self._period + 2 * _ROUNDING_SECONDS:
            self._period, self._left, self._resets_at = period, left, resets_at
        elif period >= self._period - 2 * _ROUNDING_SECONDS:
            # Answers can overtake each other, and take their time: the least counts.
            self._left = min(self._left, left)
            self._resets_at = min(self._resets_at, resets_at)
        self._limit = limit
        return True


def server_time(headers: Mapping[str, str], clock: Clock) -> float:
    """Return the answer's `Date` in seconds since 1970, or else this machine's time."""
    try:
        return email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return clock.now()
