"""Time ranges: what a run exports, and which rows belong to a window.

Every range is half-open, `[start, end)`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import typing as t
from dataclasses import dataclass

from tap_voucherify.instants import (
    AFTER_ALL,
    EPOCH,
    MAX_INSTANT,
    MILLISECOND,
    MIN_INSTANT,
    Span,
    format_instant,
    parse_instant,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Whether `$after` and `$before` are inclusive is undocumented, and exported dates may differ by
# milliseconds from the instants the server filters on. Every export requests one second more on
# each side, and the excess is dropped here.
MARGIN = dt.timedelta(seconds=1)

# How far outside a window a row may lie and still count as requested.
TOLERANCE = 2 * MARGIN

# Windows are not split below this.
MIN_SPLIT = dt.timedelta(hours=1)

# A server may apply a filter in another time zone, which shifts the rows by at most this much. A
# file with fewer rows proves nothing.
MAX_SHIFT = dt.timedelta(hours=26)
MIN_ROWS_FOR_SHIFT = 10


def _shift(instant: dt.datetime, by: dt.timedelta) -> dt.datetime:
    """Add to an instant, clamped to the supported range."""
    try:
        return instant + by
    except OverflowError:
        return MAX_INSTANT if by > dt.timedelta() else MIN_INSTANT


def _boundaries(start: dt.datetime, window_days: int) -> Iterator[dt.datetime]:
    """Yield the boundaries after `start`: multiples of the window size since 1970."""
    step = dt.timedelta(days=min(window_days, dt.timedelta.max.days))
    count = (start - EPOCH) // step
    with contextlib.suppress(OverflowError):
        while True:
            count += 1
            yield EPOCH + count * step


@dataclass(frozen=True)
class Window:
    """The range `[start, end)`; None = unbounded."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it is empty."""
        return self.start is not None and self.end is not None and self.start >= self.end

    @property
    def bounds_as_text(self) -> tuple[str, str]:
        """Both ends as comparable strings."""
        return (
            format_instant(self.start) if self.start else "",
            format_instant(self.end) if self.end else AFTER_ALL,
        )

    @property
    def requested(self) -> Window:
        """This range plus the margin, which is what an export requests."""
        return Window(
            _shift(self.start, -MARGIN) if self.start else None,
            _shift(self.end, MARGIN) if self.end else None,
        )

    @property
    def tolerated(self) -> Window:
        """The requested range plus another margin, since exported dates may be off."""
        return self.requested.requested

    def mask(self, values: Iterable[str | None], *, keeps_missing: bool = True) -> list[bool]:
        """Return for each time, in text form, whether it lies in this range.

        Args:
            values: The times.
            keeps_missing: Whether a missing time counts as the start.
        """
        lower, upper = self.bounds_as_text
        missing = lower if keeps_missing else ""
        return [lower <= (value or missing) < upper for value in values]

    def is_missed_by(self, span: Span) -> bool:
        """Whether all rows belong to another range.

        A closed window shares the rows near its ends with its neighbours, so those do not count
        as its own. In an open-ended one they do: its only row may be that of the bookmark.
        """
        if not span.rows:
            return False
        least, greatest = parse_instant(span.least), parse_instant(span.greatest)
        near = TOLERANCE if self.start and self.end else -MARGIN
        is_before = self.start and self.start - least > TOLERANCE and greatest - self.start < near
        is_after = self.end and greatest - self.end >= TOLERANCE and self.end - least <= near
        return bool(is_before or is_after)

    def is_shifted(self, span: Span) -> bool:
        """Whether rows look like those of this range in another time zone.

        They do if some lie outside on one side only, not too far, and none within the same
        distance of the opposite end, where rows are then missing. Both allow for `TOLERANCE`.
        """
        if not (self.start and self.end) or span.rows < MIN_ROWS_FOR_SHIFT:
            return False
        early = self.start - parse_instant(span.least)
        late = parse_instant(span.greatest) - self.end
        if early > TOLERANCE:
            return early <= MAX_SHIFT and early + late < TOLERANCE
        return TOLERANCE <= late <= MAX_SHIFT and early + late <= TOLERANCE

    def conditions(self) -> dict[str, list[str]]:
        """Return the filter conditions for this range plus the margin."""
        requested = {"$after": self.requested.start, "$before": self.requested.end}
        return {name: [format_instant(end)] for name, end in requested.items() if end}

    def split(self, window_days: int, now: dt.datetime) -> list[Window]:
        """Split at multiples of `window_days` since 1970, up to now.

        Only the number of windows depends on `now`, never their bounds, so that a later run
        can recognise the exports of an earlier one.
        """
        if self.start is None:
            return [self]
        latest = min(self.end, now) if self.end else now
        inner = itertools.takewhile(
            lambda boundary: boundary < latest, _boundaries(self.start, window_days)
        )
        edges = [self.start, *inner, self.end]
        return [Window(*pair) for pair in itertools.pairwise(edges)]

    def halves(self, server_time: dt.datetime) -> list[Window]:
        """Split a failed window in two; empty if it cannot be split.

        Args:
            server_time: When the failed export was created. An open-ended window is closed
                there, and the rest becomes a second window.
        """
        if self.start is None:
            return []
        if self.end is None:
            middle = server_time
        else:
            span = (self.end - self.start) / 2
            middle = self.start + span // MILLISECOND * MILLISECOND
        shortest = MILLISECOND if self.end is None else MIN_SPLIT
        if middle - self.start < shortest:
            return []
        return [Window(self.start, middle), Window(middle, self.end)]

    def __str__(self) -> str:
        sides = [
            f"{word} {format_instant(side)}"
            for word, side in (("from", self.start), ("before", self.end))
            if side
        ]
        return " ".join(sides) or "at any time"


class Bounds(t.NamedTuple):
    """Settings that limit a run.

    A run starts `lookback` before the bookmark, and at least the margin before it: exported
    dates may be off by milliseconds, and rows out of order by as much.
    """

    start_date: dt.datetime | None
    end_date: dt.datetime | None
    lookback: dt.timedelta
    window_days: int | None = None

    def windows(self, bookmark: dt.datetime | None, now: dt.datetime) -> list[Window]:
        """Return the windows of a run, from bookmark minus lookback to `end_date`."""
        starts = [self.start_date] if self.start_date else []
        if bookmark:
            starts.append(_shift(bookmark, -max(self.lookback, MARGIN)))
        return self._split(Window(max(starts, default=None), self.end_date), now)

    def update_windows(self, bookmark: dt.datetime, now: dt.datetime) -> list[Window]:
        """Return the windows by update time; `end_date` limits creation time only."""
        return self._split(Window(_shift(bookmark, -max(self.lookback, MARGIN))), now)

    def _split(self, window: Window, now: dt.datetime) -> list[Window]:
        if window.is_empty:
            return []
        return window.split(self.window_days, now) if self.window_days else [window]
