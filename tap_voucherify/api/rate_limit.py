"""The account's rate limit, shared by all requests of the process.

Every response reports the limit: `X-Rate-Limit-Limit`, `-Remaining` and `-Retry`, the Unix time
in seconds at which it resets. Exceeding it blocks the account, so the tap leaves a reserve for
the customer's own traffic.

A caller waits with `wait`, prepares its request, and claims it with `try_acquire`. Tokens and links
may expire during the wait, so they are obtained after it. That may itself take requests and use up
the limit; then the caller waits again.

After a 429, `retry` sends the request again when the server allows it, in up to
`MAX_RATE_LIMIT_ATTEMPTS` attempts. A 429 about the plan's quota ends the run (`error_responses`).
"""

from __future__ import annotations

import logging
import math
import typing as t

from tap_voucherify.api.headers import QUOTA, count, is_believable, reset_time, server_time

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_voucherify.clock import Clock

# `Date` and `X-Rate-Limit-Retry` count whole seconds.
_ROUNDING_SECONDS = 1

logger = logging.getLogger("tap-voucherify.client")


class RateLimit:
    """Holds requests back so that the reserve stays unused.

    Args:
        clock: Clock.
        reserve: Fraction of the limit to leave unused, from 0 to 1.
    """

    def __init__(self, clock: Clock, reserve: float) -> None:
        self._clock = clock
        self._reserve = reserve
        self._changed = clock.condition()
        self._in_flight = 0
        self._limit_known = self._probing = self._warned = False
        self._limit: int | None = None
        self._left = math.inf
        # End of the period, by the server's clock and by ours.
        self._period = self._logged_period = -math.inf
        self._resets_at = -math.inf

    @property
    def summary(self) -> str:
        """How much of the limit is left, for the log."""
        if self._limit is None:
            return "Voucherify reported no rate limit"
        left = min(max(self._left, 0), self._limit)
        return f"{left:.0f} of {self._limit} calls left until it resets"

    def wait(self) -> None:
        """Wait until a request may be sent."""
        with self._changed:
            while seconds := self._wait_seconds():
                if seconds != math.inf and self._logged_period != self._period:
                    self._logged_period = self._period
                    logger.info("Rate limit reserve reached; waiting %.0f s for the reset", seconds)
                self._changed.wait(None if seconds == math.inf else seconds)

    def try_acquire(self) -> bool:
        """Claim one request, unless it must wait again.

        Returns:
            Whether the request may be sent now; if so, `release` must follow.
        """
        with self._changed:
            if self._wait_seconds():
                return False
            self._probing = not self._limit_known
            self._in_flight += 1
            self._left -= 1
            return True

    def release(self, headers: Mapping[str, str]) -> None:
        """Finish a request.

        Args:
            headers: Response headers, or empty.
        """
        with self._changed:
            self._in_flight -= 1
            self._probing = False
            is_quota = headers.get("X-Rate-Limit-Type") == QUOTA
            is_observed = not is_quota and self._observe(headers)
            if is_observed or (headers and (is_quota or self._limit is None)):
                self._limit_known = True
            self._changed.notify_all()

    def _wait_seconds(self) -> float:
        """Seconds to wait; 0 to proceed, inf to wait for a response."""
        now = self._clock.monotonic()
        if self._left <= self._reserved and now >= self._resets_at:
            # A new period; its limit is known after the next response.
            self._limit_known, self._left = False, math.inf
        if not self._limit_known:
            # Probe with one request before sending others.
            return math.inf if self._probing else 0
        return self._resets_at - now if self._left <= self._reserved else 0

    @property
    def _reserved(self) -> int:
        return math.ceil((self._limit or 0) * self._reserve)

    def _observe(self, headers: Mapping[str, str]) -> bool:
        """Update from response headers; False if they carry no limit."""
        limit = count(headers, "X-Rate-Limit-Limit")
        remaining = count(headers, "X-Rate-Limit-Remaining")
        period = reset_time(headers)
        if limit is None or remaining is None or period is None:
            return False
        seconds = period - server_time(headers, self._clock) + _ROUNDING_SECONDS
        if not is_believable(seconds):
            if not self._warned:
                self._warned = True
                logger.warning(
                    "Ignoring a rate limit that resets in more than an hour (in %.0f s)", seconds
                )
            return False
        left = remaining - self._in_flight
        resets_at = self._clock.monotonic() + seconds
        if period > self._period + 2 * _ROUNDING_SECONDS:
            self._period, self._left, self._resets_at = period, left, resets_at
        elif period >= self._period - 2 * _ROUNDING_SECONDS:
            # Responses may arrive out of order: keep the minimum.
            self._left = min(self._left, left)
            self._resets_at = min(self._resets_at, resets_at)
        self._limit = limit
        return True
