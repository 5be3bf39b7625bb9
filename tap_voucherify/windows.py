"""Ranges of time: what a run asks for, and which rows it keeps.

Every range is half-open, `[start, end)`, in whole milliseconds of UTC, since that is
the resolution of exported dates.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterator

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
FIRST = dt.datetime(1, 1, 1, tzinfo=dt.timezone.utc)
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=dt.timezone.utc)
MILLISECOND = dt.timedelta(milliseconds=1)

# Whether Voucherify's `$after` and `$before` include their own instant is unknown, and
# an exported date may differ by milliseconds from the instant that is filtered on. An
# export therefore asks for a second more on each side, and the rest is dropped here.
MARGIN = dt.timedelta(seconds=1)

# A window is never halved into parts shorter than this.
SHORTEST = dt.timedelta(hours=1)

# Compares greater than every instant in the form of bookmarks.
FOREVER = "~"

_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def parse_instant(text: str) -> dt.datetime:
    """Read an ISO 8601 date or date-time; without an offset it is UTC.

    Fractions of a millisecond are rounded up, which is exact for half-open bounds.

    Raises:
        ValueError: If `text` is neither.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    date, hour, minute, second, fraction, offset = match.groups("")
    clock = f"{hour or '00'}:{minute or '00'}:{second or '00'}"
    instant = dt.datetime.fromisoformat(f"{date}T{clock}{_offset(offset)}")
    try:
        # Rounded up, to whole microseconds first.
        instant += dt.timedelta(microseconds=-(-int(fraction.ljust(9, "0")[:9]) // 1000))
        return EPOCH + -(-(instant - EPOCH) // MILLISECOND) * MILLISECOND
    except OverflowError as error:
        raise ValueError(text) from error


def _offset(text: str) -> str:
    """Write an offset from UTC as all Python versions read it."""
    if text in {"", "Z", "z"}:
        return "+00:00"
    return f"{text[:3]}:{text[-2:] if len(text) > len('+00') else '00'}"


def is_instant(value: object) -> bool:
    """Whether `value` is what `parse_instant` can read."""
    try:
        parse_instant(t.cast("str", value))
    except (TypeError, ValueError):
        return False
    return True


def format_instant(instant: dt.datetime) -> str:
    """Write an instant in the one form of bookmarks, `YYYY-MM-DDTHH:MM:SS.mmmZ`.

    Instants in this form compare as strings as they do in time.
    """
    utc = instant.astimezone(dt.timezone.utc)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shift(instant: dt.datetime, by: dt.timedelta) -> dt.datetime:
    """Add to an instant, no further than to the ends of the calendar."""
    try:
        return instant + by
    except OverflowError:
        return LAST if by > dt.timedelta() else FIRST


def _boundaries(start: dt.datetime, window_days: int) -> Iterator[dt.datetime]:
    """Yield the multiples of a window's size that come after `start`."""
    step = dt.timedelta(days=min(window_days, dt.timedelta.max.days))
    count = (start - EPOCH) // step
    with contextlib.suppress(OverflowError):
        while True:
            count += 1
            yield EPOCH + count * step


@dataclass(frozen=True)
class Window:
    """The range `[start, end)`; None leaves a side open."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no instant lies in it."""
        return self.start is not None and self.end is not None and self.start >= self.end

    @property
    def limits(self) -> tuple[str, str]:
        """Both ends as strings: a value lies within if `lower <= value < upper`."""
        return (
            format_instant(self.start) if self.start else "",
            format_instant(self.end) if self.end else FOREVER,
        )

    def conditions(self) -> dict[str, list[str]]:
        """Return the filter conditions that ask for it, a second wider on each side."""
        conditions = {}
        if self.start:
            conditions["$after"] = [format_instant(_shift(self.start, -MARGIN))]
        if self.end:
            conditions["$before"] = [format_instant(_shift(self.end, MARGIN))]
        return conditions

    def split(self, window_days: int, now: dt.datetime) -> list[Window]:
        """Cut it at the multiples of `window_days` since 1970, up to the present.

        Only the number of windows depends on `now`, never one of their bounds, so that
        a later run can recognise the exports of an earlier one.
        """
        if self.start is None:
            return [self]
        latest = min(self.end, now) if self.end else now
        inner = itertools.takewhile(
            lambda boundary: boundary < latest, _boundaries(self.start, window_days)
        )
        edges = [self.start, *inner, self.end]
        return [Window(*pair) for pair in itertools.pairwise(edges)]

    def parts(self, server_time: dt.datetime) -> list[Window]:
        """Cut in two a window whose export fails; an empty list if it cannot be cut.

        Args:
            server_time: When the failed export was created. An open-ended window is
                closed there; what comes later becomes a window of its own.
        """
        if self.start is None:
            return []
        if self.end is None:
            middle = server_time
        else:
            span = (self.end - self.start) / 2
            middle = self.start + span // MILLISECOND * MILLISECOND
        shortest = MILLISECOND if self.end is None else SHORTEST
        if middle - self.start < shortest:
            return []
        return [Window(self.start, middle), Window(middle, self.end)]

    def __str__(self) -> str:
        """Describe it for the log."""
        sides = [
            f"{word} {format_instant(side)}"
            for word, side in (("from", self.start), ("before", self.end))
            if side
        ]
        return " ".join(sides) or "at any time"


class Bounds(t.NamedTuple):
    """The settings that say what a run asks for."""

    start_date: dt.datetime | None
    end_date: dt.datetime | None
    lookback: dt.timedelta
    window_days: int | None = None

    def windows(self, bookmark: dt.datetime | None, now: dt.datetime) -> list[Window]:
        """Return the windows of a run: from the bookmark, less the lookback, to the end.

        Args:
            bookmark: Where the last run ended.
            now: The present.
        """
        starts = [self.start_date] if self.start_date else []
        if bookmark:
            starts.append(_shift(bookmark, -self.lookback))
        return self._split(Window(max(starts, default=None), self.end_date), now)

    def update_windows(self, bookmark: dt.datetime, now: dt.datetime) -> list[Window]:
        """Return the windows of the time of update: `end_date` is about creation."""
        return self._split(Window(_shift(bookmark, -self.lookback)), now)

    def _split(self, window: Window, now: dt.datetime) -> list[Window]:
        if window.is_empty:
            return []
        return window.split(self.window_days, now) if self.window_days else [window]
