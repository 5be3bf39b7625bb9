"""Measure the range and the order of a file's times, in one pass."""

from __future__ import annotations

import datetime as dt
import operator
import re
import typing as t
from itertools import starmap

from tap_voucherify.columns import ColumnType
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import to_timestamp
from tap_voucherify.files.compiled import ScannedRows, Scanner, read
from tap_voucherify.files.layout import Layout, Property
from tap_voucherify.files.rows import CsvRows
from tap_voucherify.instants import Span, is_instant

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_voucherify.files.compiled import Compiled

# Exported dates may differ by milliseconds from the instants that the server sorts by.
_MARGIN = dt.timedelta(seconds=1)

# Bookmark format; the reader checks whether it is a valid time.
_BOOKMARK_FORM = re.compile(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z")


def measure(file: t.BinaryIO, position: int, compiled: Compiled | None = None) -> Span:
    """Return the span of a file's times; a file that cannot be read to its end is not in order.

    Args:
        file: A file with a valid header; its position does not change.
        position: The position of a timestamp column; empty cells are ignored.
        compiled: Compiled code, if available.
    """
    start = file.tell()
    file.seek(0)
    total, is_ascending = Span(), True
    try:
        for span, values in _spans(CsvRows(file), position, compiled):
            if is_ascending and not (span.is_ascending and span.least >= total.greatest):
                is_ascending = all(starmap(_is_within_margin, _descents(total.greatest, values())))
            total |= span
    except (ExportFileError, ValueError):
        is_ascending = False
    finally:
        file.seek(start)
    if not (is_instant(total.least) and is_instant(total.greatest)):
        # There are no times, or an invalid one, which the reader reports.
        return Span(is_ascending=is_ascending and not total.rows)
    return total._replace(is_ascending=is_ascending)


def _spans(
    rows: CsvRows, position: int, compiled: Compiled | None
) -> Iterator[tuple[Span, Callable[[], list[str]]]]:
    """Yield the span of each block that has times, and a function that returns these."""
    if compiled is None:
        yield from map(_span_of, _times(rows, position))
        return
    column = Property("", ColumnType.TIMESTAMP, position)
    scanner = Scanner(compiled, Layout(len(rows.header), [column]))
    for block in read(rows, scanner, lambda blocks: _times(blocks, position)):
        if isinstance(block, list):
            yield _span_of(block)
        elif (span := (scanned := ScannedRows(scanner, 0, block)).span("")).rows:
            yield span, lambda: list(filter(None, scanned.values("")))


def _span_of(times: list[str]) -> tuple[Span, Callable[[], list[str]]]:
    return Span.of(times)._replace(is_ascending=times == sorted(times)), lambda: times


def _times(blocks: Iterable[list[list[str]]], position: int) -> Iterator[list[str]]:
    """Yield lists of times in bookmark format, which compare as strings; skip empty cells.

    Raises:
        ValueError: If a row is too short or its time is invalid; earlier times are yielded.
    """
    cell_of = operator.itemgetter(position)
    for rows in blocks:
        times: list[str] = []
        fault: Exception | None = None
        try:
            # The reader decides whether empty lines are allowed.
            times.extend(filter(None, map(cell_of, filter(None, rows))))
        except IndexError as error:
            fault = error
        if not all(map(_BOOKMARK_FORM.fullmatch, times)):
            cells, times = times, []
            try:
                times.extend(map(_in_bookmark_form, cells))
            except ValueError as error:
                fault = error
        if times:
            yield times
        if fault:
            raise ValueError(position) from fault


def _in_bookmark_form(cell: str) -> str:
    return cell if _BOOKMARK_FORM.fullmatch(cell) else to_timestamp(cell)


def _descents(greatest: str, times: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the latest time so far, and the time, for each that is earlier."""
    for time in times:
        if time < greatest:
            yield greatest, time
        else:
            greatest = time


def _is_within_margin(later: str, earlier: str) -> bool:
    parsed = (dt.datetime.fromisoformat(text.removesuffix("Z")) for text in (later, earlier))
    try:
        return next(parsed) - next(parsed) <= _MARGIN
    except ValueError:  # has the format of a time, but is invalid
        return False
