"""Read response headers: the server's time, and how long it wants a client to wait."""

from __future__ import annotations

import contextlib
import email.utils
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_voucherify.clock import Clock

# `X-Rate-Limit-Type` of the plan's quota, which does not reset within a run.
QUOTA = "api_calls_cycle"


def server_time(headers: Mapping[str, str], clock: Clock) -> float:
    """Return the response's `Date` in seconds since 1970, or else local time."""
    try:
        return email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return clock.now()


def retry_after_seconds(headers: Mapping[str, str], clock: Clock) -> float:
    """Return the seconds to wait after a 429, at least 1."""
    with contextlib.suppress(KeyError, ValueError):
        return max(1, float(headers["Retry-After"]))
    with contextlib.suppress(KeyError, ValueError):
        return max(1, float(headers["X-Rate-Limit-Retry"]) - server_time(headers, clock))
    return 1
