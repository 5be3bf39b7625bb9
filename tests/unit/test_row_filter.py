"""Rows outside an export's range are dropped, and what they prove is not ignored."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tap_voucherify.errors import ExportFileError
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.instants import Span, format_instant
from tap_voucherify.row_filter import RowFilter
from tap_voucherify.windows import Bounds, Window

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


class File:
    """A file of rows five hours late."""

    def span(self, name: str) -> Span:
        """Return the times of the rows."""
        assert name == "created_at"
        late = START + timedelta(hours=5)
        return Span(24, format_instant(late), format_instant(late + DAY - timedelta(hours=1)))


def test_a_filter_in_another_time_zone_is_an_error() -> None:
    """Rows of the window are missing then."""
    rows = RowFilter("created_at", "", Bounds(None, None, DAY))
    window = Window(START, START + DAY)
    request = ExportRequest("orders", "order", ("id",), window=window, filter_field="created_at")
    files: Any = [File()]

    with pytest.raises(ExportFileError, match="another time zone"):
        rows.span(request, files)
