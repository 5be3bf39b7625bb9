"""Rows outside an export's range are dropped; proof of missing rows is an error."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from tap_voucherify.columns import TEXT, TIMESTAMP, Column
from tap_voucherify.errors import ExportFileError
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.files.compiled import load
from tap_voucherify.instants import Span, format_instant
from tap_voucherify.row_filter import RowFilter
from tap_voucherify.windows import Bounds, Window
from tests.support.csv_files import file_reader, select, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_voucherify.files.exported import OpenFile

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)
END = START + DAY

# An export requests a second more on each side, and exported dates may be off by another.
PLACES = [
    pytest.param(START - 2 * SECOND - MILLISECOND, False, True, id="before"),
    pytest.param(START - 2 * SECOND, False, False, id="two_seconds_before"),
    pytest.param(START - MILLISECOND, False, False, id="just_before"),
    pytest.param(START, True, False, id="start"),
    pytest.param(START + 12 * HOUR, True, False, id="inside"),
    pytest.param(END - MILLISECOND, True, False, id="last"),
    pytest.param(END, False, False, id="end"),
    pytest.param(END + 2 * SECOND - MILLISECOND, False, False, id="two_seconds_behind"),
    pytest.param(END + 2 * SECOND, False, True, id="behind"),
]

Row = tuple[str, "datetime | None", "datetime | None"]


def row_filter(created: str | None = "created_at", bounds: Bounds | None = None) -> RowFilter:
    """Return the filter of a stream that tracks updates."""
    return RowFilter(created, "updated_at", bounds or Bounds(None, None, DAY))


def request(window: Window, by: str = "created_at") -> ExportRequest:
    """Return the request of an export."""
    return ExportRequest("orders", "order", ("id",), window=window, filter_field=by)


DAILY = request(Window(START, END))
UPDATES = request(Window(START, END), "updated_at")


def open_file(rows: Sequence[Row], *, is_compiled: bool = False) -> OpenFile:
    """Return a file of rows: names, creation times and update times."""
    times = (Column(name, TIMESTAMP, "A time.") for name in ("created_at", "updated_at"))
    selection = select([Column("id", TEXT, "The key."), *times], has_metadata=False)
    cells = [[name, *(format_instant(each) if each else "" for each in row)] for name, *row in rows]
    content = write([["ID", "Created at", "Updated at"], *cells])
    reader = file_reader(selection, compiled=load() if is_compiled else None)
    return reader.open(io.BytesIO(content))


def names_kept(rows: RowFilter, export: ExportRequest, file: OpenFile) -> list[str]:
    """Return the names of the rows of a file that are kept."""
    return [str(name) for block in file for name in rows.keep(block, export).values("id")]


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("by", ["created_at", "updated_at"])
@pytest.mark.parametrize(("time", "is_kept", "is_outsider"), PLACES)
def test_rows_of_the_window_are_kept(
    time: datetime, by: str, *, is_kept: bool, is_outsider: bool, is_compiled: bool
) -> None:
    """From its start up to before its end, alone or among others, in any order."""
    inside = START + HOUR
    for others in ([], [("a", inside), ("b", inside)]):
        for order in permutations([("x", time), *others]):
            rows = row_filter()
            is_first = by == "created_at"
            cells = [
                (name, t if is_first else inside, inside if is_first else t) for name, t in order
            ]
            file = open_file(cells, is_compiled=is_compiled)
            kept = names_kept(rows, request(Window(START, END), by), file)

            assert kept == [name for name, _ in order if is_kept or name != "x"]
            assert (rows.rows, rows.outsiders) == (len(order), is_outsider)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(), "abcd"),
        (Window(START, END), "bc"),
        (Window(None, START), "a"),
        (Window(START, None), "bcd"),
        (Window(START + HOUR, END + DAY), "cd"),
        (Window(END + DAY, None), ""),
    ],
)
def test_windows_share_no_rows(window: Window, expected: str) -> None:
    """A row belongs to exactly one of several consecutive windows."""
    times = (START - HOUR, START, START + HOUR, END + HOUR)
    file = open_file([(name, time, None) for name, time in zip("abcd", times, strict=True)])

    assert "".join(names_kept(row_filter(), request(window), file)) == expected


def test_all_blocks_and_exports_of_a_stream_are_counted() -> None:
    """The warning counts the rows outside, and all rows."""
    rows, warnings = row_filter(), list[str]()
    before, inside = ("x", START - HOUR, None), ("a", START, None)
    blocks = [before, inside] * 150 + [inside] * 250

    assert len(names_kept(rows, DAILY, open_file(blocks))) == 400
    rows.report(warnings.append)
    assert len(names_kept(rows, request(Window(END)), open_file([before, inside]))) == 0
    rows.report(warnings.append)

    assert warnings == [
        f"dropped {counts} rows, which lie outside the requested ranges: the server did not "
        "apply the filter as requested"
        for counts in ("150 of 550", "152 of 552")
    ]


def test_rows_of_the_margin_are_not_reported() -> None:
    """The margin was requested."""
    rows, warnings = row_filter(), list[str]()

    assert names_kept(rows, DAILY, open_file([("x", END, None), ("a", START, None)])) == ["a"]

    rows.report(warnings.append)
    assert warnings == []


@pytest.mark.parametrize("others", [0, 2])
def test_a_row_without_a_creation_time_is_kept(others: int) -> None:
    """An export by update time drops a row without an update time."""
    inside = START + HOUR
    file = [("x", None, inside), ("y", inside, None), *[("a", inside, inside)] * others]

    assert names_kept(row_filter(), DAILY, open_file(file)) == ["x", "y", *"a" * others]
    rows = row_filter()
    assert names_kept(rows, UPDATES, open_file(file)) == ["x", *"a" * others]
    assert rows.outsiders == 1
    assert names_kept(row_filter(), UPDATES, open_file(file[1:2])) == []
    open_ended = request(Window(START), "updated_at")
    assert names_kept(row_filter(), open_ended, open_file(file)) == ["x", *"a" * others]


@pytest.mark.parametrize(
    ("created", "is_kept"),
    [
        (START - MILLISECOND, False),
        (START, True),
        (END - MILLISECOND, True),
        (END, False),
        (None, True),
    ],
)
def test_bounds_limit_the_creation_time_of_updates(
    created: datetime | None, *, is_kept: bool
) -> None:
    """Rows outside the configured dates are dropped without a warning."""
    bounds, updated = Bounds(START, END, DAY), END + DAY
    export = request(Window(END), "updated_at")
    for others in ([], [("a", START, updated), ("b", None, updated)]):
        for order in permutations([("x", created, updated), *others]):
            rows = row_filter(bounds=bounds)

            kept = names_kept(rows, export, open_file(order))

            assert kept == [name for name, *_ in order if is_kept or name != "x"]
            assert (rows.rows, rows.outsiders) == (len(order), 0)


def test_without_a_date_filter_every_row_is_kept() -> None:
    """The window then applies to no column, and the order of the file is unknown."""
    rows = row_filter(created=None)
    export = ExportRequest("points", "points_expiration", ("id",))
    file = open_file([("x", None, None), ("y", START - 100 * DAY, None)])

    assert rows.span(export, [file]) == Span(is_ascending=False)
    assert names_kept(rows, export, file) == ["x", "y"]
    assert (rows.rows, rows.outsiders) == (2, 0)


@pytest.mark.parametrize("by", ["created_at", "updated_at"])
def test_the_span_is_that_of_all_files(by: str) -> None:
    """It is measured in the column that the export is filtered by."""
    hours = [[5, 6], [1, 2], [8]]
    files = [
        open_file([("x", START + hour * HOUR, END - hour * HOUR) for hour in part])
        for part in hours
    ]
    export = request(Window(START, END), by)

    least, greatest = (START + HOUR, START + 8 * HOUR)
    if by == "updated_at":
        least, greatest = (END - 8 * HOUR, END - HOUR)
    expected = Span(5, format_instant(least), format_instant(greatest), is_ascending=False)
    assert row_filter().span(export, files) == expected
    assert row_filter().span(export, files[:1]).is_ascending == (by == "created_at")


def late_rows(hours: int) -> OpenFile:
    """Return the rows of a day, each this many hours late."""
    times = [START + (hours + number) * HOUR for number in range(24)]
    return open_file([("x", time, None) for time in times])


def test_a_filter_in_another_time_zone_is_an_error() -> None:
    """Rows of the window are then missing."""
    message = (
        "orders created from 2026-01-01T00:00:00.000Z before 2026-01-02T00:00:00.000Z: the rows "
        "are from 2026-01-01T05:00:00.000Z to 2026-01-02T04:00:00.000Z, so the server applied "
        "the filter in another time zone"
    )
    with pytest.raises(ExportFileError, match=message):
        row_filter().span(DAILY, [late_rows(5)])


@pytest.mark.parametrize("hours", [0, 26, 48])
def test_a_file_of_another_window_is_not_an_error_here(hours: int) -> None:
    """The stream requests such an export again."""
    assert row_filter().span(DAILY, [late_rows(hours)]).rows == 24
