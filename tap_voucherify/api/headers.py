"""Read response headers, ignoring implausible numbers and times.

A server or a proxy may send anything: numbers of 400 digits, dates in the year 9999, a reset in
milliseconds.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_voucherify.clock import Clock

# `X-Rate-Limit-Type` of the plan's quota, which does not reset within a run.
QUOTA = "api_calls_cycle"

MAX_WAIT_SECONDS = 3600
# The reset comes in whole seconds, and clocks differ.
_TOLERANCE_SECONDS = 60

# Unix times beyond this are in milliseconds (in seconds, it is the year 5138).
_MIN_MILLISECONDS = 1e11

_NUMBER = re.compile(r"\s*(-?[0-9]{1,15}(?:\.[0-9]{1,9})?)\s*")
# Until the year 2286.
_PLAUSIBLE_TIMES = range(10_000_000_000)


def server_time(headers: Mapping[str, str], clock: Clock) -> float:
    """Return the response's `Date`, or else the local time, in seconds since 1970."""
    seconds = _date(headers.get("Date", ""))
    return clock.now() if seconds is None else seconds


def count(headers: Mapping[str, str], name: str) -> int | None:
    """Return a header as a count, or None if it is not one."""
    number = _number(headers.get(name, ""))
    return None if number is None or number < 0 or number != int(number) else int(number)


def reset_time(headers: Mapping[str, str]) -> float | None:
    """Return when the rate limit resets, in seconds since 1970, or None.

    `X-Rate-Limit-Retry` is documented to be a Unix time in seconds; milliseconds are accepted.
    """
    number = _number(headers.get("X-Rate-Limit-Retry", ""))
    return number / 1000 if number is not None and number > _MIN_MILLISECONDS else number


def is_believable(wait_seconds: float) -> bool:
    """Whether a response may require a wait of this length: at most about an hour."""
    return wait_seconds <= MAX_WAIT_SECONDS + _TOLERANCE_SECONDS


def retry_after_seconds(headers: Mapping[str, str], clock: Clock) -> float:
    """Return the seconds to wait after a 429, from 1 to an hour.

    `Retry-After` is a number of seconds or an HTTP date; without it, the wait is until
    the rate limit resets. A wait that is not believable is ignored.
    """
    now = server_time(headers, clock)
    retry_after = headers.get("Retry-After", "")
    date, reset = _date(retry_after), reset_time(headers)
    for seconds in (
        _number(retry_after),
        None if date is None else date - now,
        None if reset is None else reset - now,
    ):
        if seconds is not None and is_believable(seconds):
            return max(1, seconds)
    return 1


def _number(text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    return float(match[1]) if match else None


def _date(text: str) -> float | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
        # One of the HTTP date formats names no zone; all are in UTC.
        seconds = (date if date.tzinfo else date.replace(tzinfo=dt.timezone.utc)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if int(seconds) in _PLAUSIBLE_TIMES else None
