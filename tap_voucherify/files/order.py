"""Measure in one pass over a file which times its rows have, and whether they are in order."""

from __future__ import annotations

import datetime as dt
import operator
import re
import typing as t
from itertools import starmap

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import to_timestamp
from tap_voucherify.files.rows import CsvRows
from tap_voucherify.instants import AFTER_ALL, Span, is_instant

if t.TYPE_CHECKING:
    from collections.abc import Iterator

# Exported dates may differ by milliseconds from the instants that the server sorts by.
_MARGIN = dt.timedelta(seconds=1)

# The form of bookmarks; whether it is a time is for the reader to check.
_BOOKMARK_FORM = re.compile(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z")


def measure(file: t.BinaryIO, position: int) -> Span:
    """Return the times of a file; one that cannot be read to its end is not in order.

    Args:
        file: A file whose header is valid; its position is kept.
        position: The position of a column of times; empty cells are ignored.
    """
    start = file.tell()
    file.seek(0)
    rows, least, greatest, is_ascending = 0, AFTER_ALL, "", True
    try:
        for times in _times(file, position):
            is_ascending = is_ascending and (
                (times[0] >= greatest and times == sorted(times))
                or all(starmap(_is_within_margin, _descents(greatest, times)))
            )
            rows += len(times)
            least, greatest = min(least, *times), max(greatest, *times)
    except (ExportFileError, IndexError, ValueError):
        is_ascending = False
    finally:
        file.seek(start)
    if not (is_instant(least) and is_instant(greatest)):
        # There is no row, or one whose time is none, which the reader reports.
        return Span(is_ascending=is_ascending and not rows)
    return Span(rows, least, greatest, is_ascending)


def _times(file: t.BinaryIO, position: int) -> Iterator[list[str]]:
    """Yield lists of times as strings that compare like the times."""
    cell_of = operator.itemgetter(position)
    for rows in CsvRows(file):
        # The reader decides whether empty lines are allowed.
        times = list(filter(None, map(cell_of, filter(None, rows))))
        if not all(map(_BOOKMARK_FORM.fullmatch, times)):
            times = list(map(to_timestamp, times))
        if times:
            yield times


def _descents(greatest: str, times: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each time that is earlier than one before it, with the latest of those."""
    for time in times:
        if time < greatest:
            yield greatest, time
        else:
            greatest = time


def _is_within_margin(later: str, earlier: str) -> bool:
    parsed = (dt.datetime.fromisoformat(text.removesuffix("Z")) for text in (later, earlier))
    return next(parsed) - next(parsed) <= _MARGIN
