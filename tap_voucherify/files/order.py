"""Measure in one pass over a file which times its rows have, and whether they are in order.

The pass has to be cheap, so it does not parse all cells. Text between quotes is put aside,
and what is left is split at line breaks and commas. That finds the same rows as the reader
if every quote opens or closes a cell, or is doubled inside one, and no carriage return is
on its own. In a file where anything else occurs, the rows come from the reader.
"""

from __future__ import annotations

import datetime as dt
import operator
import typing as t
from itertools import starmap

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import to_timestamp
from tap_voucherify.files.rows import CsvRows
from tap_voucherify.instants import AFTER_ALL, Span

if t.TYPE_CHECKING:
    from collections.abc import Iterator

# Exported dates may differ by milliseconds from the instants that the server sorts by.
_MARGIN = dt.timedelta(seconds=1)

_BOOKMARK_FORM = "YYYY-MM-DDTHH:MM:SS.mmmZ"

_CHUNK_BYTES = 1 << 18


class _IrregularError(Exception):
    """Only the reader can say what the rows of a file are."""


def measure(file: t.BinaryIO, position: int) -> Span:
    """Return the times of a file; one that cannot be read to its end is not in order.

    Args:
        file: A file whose header is valid; its position is kept.
        position: The position of a column of times; empty cells are ignored.
    """
    start = file.tell()
    try:
        try:
            return _measure(_split_cells(file, position))
        except _IrregularError:
            return _measure(_read_cells(file, position))
    finally:
        file.seek(start)


def _measure(cells: Iterator[list[str]]) -> Span:
    rows, least, greatest, is_ascending = 0, AFTER_ALL, "", True
    try:
        for times in filter(None, map(_comparable, cells)):
            is_ascending = is_ascending and (
                (times[0] >= greatest and times == sorted(times))
                or all(starmap(_is_within_margin, _descents(greatest, times)))
            )
            rows += len(times)
            least, greatest = min(least, *times), max(greatest, *times)
    except (ExportFileError, IndexError, ValueError):
        is_ascending = False
    return Span(rows, least, greatest, is_ascending) if rows else Span(is_ascending=is_ascending)


def _read_cells(file: t.BinaryIO, position: int) -> Iterator[list[str]]:
    """Yield the cells of a column, as the reader finds them."""
    file.seek(0)
    cell_of = operator.itemgetter(position)
    for rows in CsvRows(file):
        # The reader decides whether empty lines are allowed.
        yield list(map(cell_of, filter(None, rows)))


def _split_cells(file: t.BinaryIO, position: int) -> Iterator[list[str]]:
    """Yield the cells of a column; anything that is not regular raises `_IrregularError`."""
    file.seek(0)
    header = 1
    rest = b""
    # A cell of any length is read in time proportional to it.
    while chunk := file.read(max(_CHUNK_BYTES, len(rest))):
        parts = (rest + chunk).split(b'"')
        # Parts of even index are outside quotes. The last line break there ends a row.
        index = (len(parts) - 1) // 2 * 2
        while index > 0 and b"\n" not in parts[index]:
            index -= 2
        end, found, begin = parts[index].rpartition(b"\n")
        rest = b'"'.join([begin, *parts[index + 1 :]])
        if found:
            yield _cells_outside([*parts[:index:2], end + found], position)[header:]
            header = 0
    if rest.count(b'"') % 2:
        raise _IrregularError
    if rest:
        yield _cells_outside(rest.split(b'"')[::2], position)[header:]


def _cells_outside(parts: list[bytes], position: int) -> list[str]:
    """Return the cells of a column in whole rows, given as their parts outside quotes."""
    text = b'"'.join(parts).decode().replace("\r\n", "\n")
    behind = set(map(operator.itemgetter(slice(1)), parts[1:]))
    before = set(map(operator.itemgetter(slice(-1, None)), parts[:-1]))
    if not behind <= {b"", b",", b"\r", b"\n"} or not before <= {b"", b",", b"\n"} or "\r" in text:
        raise _IrregularError
    rows = filter(None, text.split("\n"))
    cells = [row.split(",", position + 1)[position] for row in rows]
    if any('"' in cell for cell in cells):
        raise _IrregularError
    return cells


def _comparable(cells: list[str]) -> list[str]:
    """Return the times in strings that compare like the times."""
    times = list(filter(None, cells))
    return times if all(map(_is_bookmark, times)) else list(map(to_timestamp, times))


def _is_bookmark(cell: str) -> bool:
    """Whether a time is in bookmark format, if it is a time; the reader checks that."""
    return len(cell) == len(_BOOKMARK_FORM) and cell[10] == "T" and cell[-1] == "Z"


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
