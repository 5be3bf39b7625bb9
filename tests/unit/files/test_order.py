"""A file counts as ordered only if it is shown to ascend, up to a second."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.files.order import measure
from tap_voucherify.files.rows import CsvRows
from tap_voucherify.instants import Span
from tests.support.csv_files import write

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def instant(milliseconds: int) -> str:
    """Return a time in bookmark format."""
    time = START + timedelta(milliseconds=milliseconds)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ascends(*times: str) -> bool:
    """Whether a file with these times is in order."""
    rows = [["a", "time", "b"], *(["x", time, 'line\n"break"'] for time in times)]
    return measure(io.BytesIO(write(rows)), 1).is_ascending


@given(st.lists(st.integers(0, 5_000), max_size=600))
def test_times_may_go_back_by_a_second(milliseconds: list[int]) -> None:
    """Relative to the latest earlier time, in any block."""
    latest = [max(milliseconds[: index + 1]) for index in range(len(milliseconds))]
    expected = all(a - b <= 1000 for a, b in zip(latest, milliseconds, strict=True))

    assert ascends(*map(instant, milliseconds)) is expected


@pytest.mark.parametrize("position", [1, 249, 250, 251, 799])
def test_one_late_row_is_noticed_anywhere(position: int) -> None:
    """Descending order is noticed, too."""
    times = [instant(2_000 * number) for number in range(800)]
    assert ascends(*times)
    assert not ascends(*times[::-1])

    times[position] = instant(2_000 * position - 3_001)
    assert not ascends(*times)


def test_other_formats_of_times_are_compared_as_times() -> None:
    """Not as text."""
    assert ascends("2026-01-01T00:00:01Z", "2026-01-01T00:00:01.500Z", "2026-01-01 00:00:02")
    assert ascends("2026-01-01T12:00:00+02:00", "2026-01-01T10:30:00Z", "2026-01-01T10:30:00.5Z")
    assert not ascends("2026-01-01T12:00:00Z", "2026-01-01T12:30:00+02:00")
    assert ascends("2026-01-01 00:00:00.001Z", "2026-01-01T00:00:00.002Z")


def test_empty_cells_and_lines_do_not_matter() -> None:
    """A row without a time is emitted but does not move the bookmark."""
    assert ascends()
    assert ascends("", instant(0), "", instant(1), "")
    assert not ascends(instant(5_000), "", instant(0))
    assert measure(io.BytesIO(b"a,time,b\n,2026-01-01,\n\n\n"), 1).is_ascending


@pytest.mark.parametrize(
    "end", [b'x,2026-01-02,"', b"\xff", b"x", b"x,noon,", b"x,2026-02-30,", b'x,2026-01-02,"a"b']
)
def test_a_file_that_cannot_be_read_to_its_end_is_not_in_order(end: bytes) -> None:
    """Rows after the fault may be earlier."""
    assert not measure(io.BytesIO(b"a,time,b\nx,2026-01-01,\n" + end), 1).is_ascending


@pytest.mark.parametrize(
    "row",
    [
        'x,"2026-01-01T00:00:05Z",b',
        'x "y",2026-01-01T00:00:05Z,b',
        'x,2026-01-01T00:00:05Z,b"c"',
        '"a,""b"",\n",2026-01-01T00:00:05Z,""',
        '"",2026-01-01T00:00:05Z,"\r"',
        "x,2026-01-01T00:00:05Z,b\r",
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_rows_are_split_as_the_reader_splits_them(row: str, line_end: str) -> None:
    """Despite quotes and carriage returns."""
    before, after = (f"x,2026-01-01T00:00:0{second},b" for second in (4, 6))
    rows = ["\ufeffa,time,b", before, row, after]
    in_order = line_end.join(rows).encode()
    out_of_order = line_end.join([rows[0], after, row, before]).encode()

    for end in ("", line_end):
        assert measure(io.BytesIO(in_order + end.encode()), 1).is_ascending
        assert not measure(io.BytesIO(out_of_order + end.encode()), 1).is_ascending


@pytest.mark.parametrize("shift", [0, 7, 23])
def test_a_row_may_be_longer_than_a_block(shift: int) -> None:
    """With line breaks and commas in quotes."""
    huge = "x" * shift + 'a,"b"\r\n' * 30_000
    rows = [["a", "time", "b"], *([huge, instant(2_000 * n), huge] for n in range(4))]

    assert measure(io.BytesIO(write(rows)), 1).is_ascending
    assert not measure(io.BytesIO(write([rows[0], *rows[:0:-1]])), 1).is_ascending


@pytest.mark.parametrize("cell", ["x", 'quoted "x"', "two\nlines", ""])
@pytest.mark.parametrize("late", [None, 1, 12_000, 19_999])
def test_large_files_are_checked_to_their_end(cell: str, late: int | None) -> None:
    """In all blocks."""
    times = [instant(number) for number in range(20_000)]
    if late:
        times[late] = instant(-2_000)
    rows = [["a", "time", "b"], *([cell, time, cell] for time in times)]

    assert measure(io.BytesIO(write(rows)), 1).is_ascending is (late is None)


def test_the_position_of_the_file_is_kept() -> None:
    """Its reader is not affected."""
    with io.BytesIO(b"\xef\xbb\xbfa,time\n" + b"x,2026-01-01\n" * 1_000) as file:
        rows = CsvRows(file)
        assert measure(file, 1).is_ascending
        assert sum(map(len, rows)) == 1_000


def test_the_span_has_all_times() -> None:
    """In bookmark format, whatever their order."""
    rows = [["time"], ["2026-01-02"], [""], ["2026-01-03T01:00:00+01:00"], ["2026-01-01"]]
    assert measure(io.BytesIO(write([[*row, "x"] for row in rows])), 0) == Span(
        3, "2026-01-01T00:00:00.000Z", "2026-01-03T00:00:00.000Z", is_ascending=False
    )


def test_a_file_without_times_is_in_order() -> None:
    """There is nothing to be out of order."""
    assert measure(io.BytesIO(b"time,b\n"), 0) == Span()
