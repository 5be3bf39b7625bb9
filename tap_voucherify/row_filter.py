"""Which rows of an export its window keeps, and how the others reveal a wrong filter.

An export requests a second more on each side; only the window's rows, `[start, end)`, are kept. Two
patterns show that some of these are missing, so the stream must not continue:

- No row lies inside; rows near an end do not count, since the exports of neighbouring windows have
  them too. The file belongs to another window; the export is requested again once.
- Rows lie outside on one side only, and none within the same distance of the opposite end: the
  filter was applied in another time zone.

Both are checked before the first row is emitted.
"""

from __future__ import annotations

import typing as t

from tap_voucherify.errors import ExportFileError
from tap_voucherify.instants import Span
from tap_voucherify.windows import Window

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_voucherify.exports.request import ExportRequest
    from tap_voucherify.files.exported import AnyRows, OpenFile
    from tap_voucherify.windows import Bounds


class RowFilter:
    """Keeps the rows of one stream that belong to the windows of its exports.

    Attributes:
        rows: Number of rows seen.
        outsiders: Number of rows outside the requested ranges, with a tolerance.

    Args:
        created_column: The column of the creation time, if exports can be filtered by it.
        updated_column: The column of the update time, if exports can be filtered by it.
        bounds: Limits of the creation time, whatever an export is filtered by.
    """

    def __init__(self, created_column: str | None, updated_column: str, bounds: Bounds) -> None:
        self.rows = self.outsiders = 0
        self._created_column = created_column
        self._updated_column = updated_column
        self._bounds = Window(bounds.start_date, bounds.end_date)

    def span(self, request: ExportRequest, files: Iterable[OpenFile]) -> Span:
        """Return the times of an export's rows, by the column of its window.

        Raises:
            ExportFileError: If they look like those of the requested range in another time zone.
        """
        column = self._column(request)
        if not column:
            return Span(is_ascending=False)
        spans = [file.span(column) for file in files]
        span = spans[0]
        for other in spans[1:]:
            span |= other
        if request.window.is_shifted(span) and not request.window.is_missed_by(span):
            raise ExportFileError(
                f"{request}: the rows are from {span.least} to {span.greatest}, so the server "
                "applied the filter in another time zone, and rows are missing. Please report this"
            )
        return span

    def keep(self, block: AnyRows, request: ExportRequest) -> AnyRows:
        """Return the rows that belong to the window, and count the others.

        Rows are checked one by one only if the block's earliest or latest lies outside.
        """
        self.rows += len(block)
        column = self._column(request)
        if column:
            # A record without a creation time is emitted, whichever window it is in.
            keeps_missing = column == self._created_column
            window = request.window
            if not all(window.mask(_extremes(block, column), keeps_missing=keeps_missing)):
                values = block.values(column)
                tolerated = window.tolerated.mask(values, keeps_missing=keeps_missing)
                self.outsiders += tolerated.count(False)
                block = block.select(window.mask(values, keeps_missing=keeps_missing))
        if column == self._updated_column and self._created_column:
            created = self._created_column
            if not all(self._bounds.mask(_extremes(block, created))):
                block = block.select(self._bounds.mask(block.values(created)))
        return block

    def report(self, warn: Callable[[str], None]) -> None:
        """Warn about the rows outside the requested ranges, if there were any."""
        if self.outsiders:
            warn(
                f"dropped {self.outsiders} of {self.rows} rows, which lie outside the requested "
                "ranges: the server did not apply the filter as requested"
            )

    def _column(self, request: ExportRequest) -> str | None:
        """The column that the window of an export filters on, if any."""
        is_of_updates = request.filter_field == "updated_at"
        return self._updated_column if is_of_updates else self._created_column


def _extremes(block: AnyRows, column: str) -> list[str]:
    """Return the earliest and latest time of a column, and an empty string if a row has none."""
    span = block.span(column)
    return [span.least, span.greatest, "" if span.rows < len(block) else span.least]
