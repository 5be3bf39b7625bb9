"""Parse and format times.

Instants are in UTC and whole milliseconds, the resolution of exported dates. Their one text form,
`YYYY-MM-DDTHH:MM:SS.mmmZ`, sorts chronologically.
"""

from __future__ import annotations

import datetime as dt
import re
import typing as t

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
MIN_INSTANT = dt.datetime(1, 1, 1, tzinfo=dt.timezone.utc)
MAX_INSTANT = dt.datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=dt.timezone.utc)
MILLISECOND = dt.timedelta(milliseconds=1)

# Sorts after every instant in text form.
AFTER_ALL = "~"

_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def parse_instant(text: str, *, round_up: bool = True) -> dt.datetime:
    """Parse an ISO 8601 date or date-time; without an offset it is UTC.

    Args:
        text: The date or date-time.
        round_up: How to treat fractions of a millisecond. Rounding up is exact for half-open
            bounds; a bookmark is rounded down, so that its own row is read again.

    Raises:
        ValueError: If `text` is neither.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    date, hour, minute, second, fraction, offset = match.groups("")
    clock = f"{hour or '00'}:{minute or '00'}:{second or '00'}"
    instant = dt.datetime.fromisoformat(f"{date}T{clock}{_normalize_offset(offset)}")
    nanoseconds = int(fraction.ljust(9, "0")[:9])
    milliseconds = -(-nanoseconds // 1_000_000) if round_up else nanoseconds // 1_000_000
    try:
        return (instant + milliseconds * MILLISECOND).astimezone(dt.timezone.utc)
    except OverflowError as error:
        raise ValueError(text) from error


def _normalize_offset(text: str) -> str:
    """Normalize an offset for Python 3.10's `fromisoformat`."""
    if text in {"", "Z", "z"}:
        return "+00:00"
    return f"{text[:3]}:{text[-2:] if len(text) > len('+00') else '00'}"


def is_instant(value: object) -> bool:
    """Whether `parse_instant` accepts `value`."""
    try:
        parse_instant(t.cast("str", value))
    except (TypeError, ValueError):
        return False
    return True


def format_instant(instant: dt.datetime) -> str:
    """Format an instant as text, the form of bookmarks."""
    utc = instant.astimezone(dt.timezone.utc)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Span(t.NamedTuple):
    """The times of a file's rows, as text.

    Attributes:
        rows: Number of rows that have a time.
        least: The earliest; empty without rows.
        greatest: The latest; empty without rows.
        is_ascending: Whether they are in ascending order, to within a second.
    """

    rows: int = 0
    least: str = ""
    greatest: str = ""
    is_ascending: bool = True

    @classmethod
    def of(cls, times: list[str]) -> Span:
        """Return the span of times, whatever their order."""
        return cls(len(times), min(times), max(times)) if times else cls()

    def __or__(self, other: Span) -> Span:
        """Return the combined span of two files, whose common order is unknown."""
        if not (self.rows and other.rows):
            return self if self.rows else other
        return Span(
            self.rows + other.rows,
            min(self.least, other.least),
            max(self.greatest, other.greatest),
            is_ascending=False,
        )
