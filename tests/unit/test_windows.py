"""Time ranges: nothing is requested twice, nothing is left out, nothing depends on now."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.instants import Span, format_instant, parse_instant
from tap_voucherify.windows import Bounds, Window

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MILLISECOND = timedelta(milliseconds=1)
NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)

# From 1980 to 2050, to the millisecond.
INSTANTS = st.integers(10 * 365 * 86_400_000, 80 * 365 * 86_400_000).map(
    lambda milliseconds: EPOCH + milliseconds * MILLISECOND
)
LOOKBACKS = st.integers(0, 10**7).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def bounds_and_bookmarks(draw: st.DrawFn) -> tuple[Bounds, datetime | None]:
    """Return random settings and a bookmark."""
    bounds = Bounds(
        draw(st.none() | INSTANTS),
        draw(st.none() | INSTANTS),
        draw(LOOKBACKS),
        draw(st.none() | st.integers(1, 400)),
    )
    return bounds, draw(st.none() | INSTANTS)


@given(bounds_and_bookmarks(), INSTANTS)
def test_windows_cover_the_range_once(
    settings: tuple[Bounds, datetime | None], now: datetime
) -> None:
    """Windows follow each other without gaps, from the start of the range to its end."""
    bounds, bookmark = settings
    starts = [start for start in (bounds.start_date,) if start]
    if bookmark:
        starts.append(bookmark - max(bounds.lookback, timedelta(seconds=1)))
    start = max(starts, default=None)

    windows = bounds.windows(bookmark, now)

    if start and bounds.end_date and start >= bounds.end_date:
        assert windows == []
        return
    assert windows[0].start == start
    assert windows[-1].end == bounds.end_date
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert not any(window.is_empty for window in windows)


@given(INSTANTS, st.none() | INSTANTS, st.integers(1, 400), INSTANTS, INSTANTS)
def test_boundaries_do_not_depend_on_now(
    start: datetime, end: datetime | None, days: int, now: datetime, later: datetime
) -> None:
    """Inner boundaries are multiples of the size since 1970; a later run only adds more."""
    now, later = sorted([now, later])
    bounds = Bounds(start, end, timedelta(0), days)

    windows, more = bounds.windows(None, now), bounds.windows(None, later)

    inner = [window.end for window in windows[:-1]]
    assert all(edge and (edge - EPOCH) % (days * DAY) == timedelta(0) for edge in inner)
    assert all(edge and edge < now for edge in inner)
    assert [window.end for window in more][: len(inner)] == inner


@given(INSTANTS, st.integers(1, 400))
def test_windows_are_no_longer_than_their_size(start: datetime, days: int) -> None:
    """All windows but the open-ended one are at most as long as configured."""
    windows = Bounds(start, None, timedelta(0), days).windows(None, NOW)

    lengths = [w.end - w.start for w in windows[:-1] if w.end and w.start]
    assert len(lengths) == len(windows) - 1
    assert all(length <= days * DAY for length in lengths)
    assert all(length == days * DAY for length in lengths[1:])


def test_a_run_without_bounds_requests_everything() -> None:
    """Without start date and bookmark there is one window, without a filter."""
    for days in (None, 7):
        (window,) = Bounds(None, None, timedelta(0), days).windows(None, NOW)
        assert window == Window(None, None)
        assert window.conditions() == {}


@given(INSTANTS, INSTANTS)
def test_an_export_requests_a_margin(start: datetime, end: datetime) -> None:
    """A second more is requested at each end, as formatted instants."""
    conditions = Window(start, end).conditions()

    assert conditions == {
        "$after": [format_instant(start - timedelta(seconds=1))],
        "$before": [format_instant(end + timedelta(seconds=1))],
    }
    assert set(Window(start, None).conditions()) == {"$after"}
    assert set(Window(None, end).conditions()) == {"$before"}


@given(INSTANTS, INSTANTS, INSTANTS)
def test_bounds_keep_the_half_open_range(one: datetime, two: datetime, instant: datetime) -> None:
    """Compared as text, the bounds keep exactly what lies in the range."""
    start, end = min(one, two), max(one, two)
    for value in (instant, start, end, start - MILLISECOND, end - MILLISECOND):
        text = format_instant(value)
        for window in (Window(start, end), Window(start), Window(None, end), Window()):
            lower, upper = window.bounds_as_text
            within = (window.start is None or window.start <= value) and (
                window.end is None or value < window.end
            )
            assert (lower <= text < upper) == within


@given(INSTANTS, st.integers(1, 10**11), INSTANTS)
def test_halves_cover_a_window(start: datetime, length: int, server_time: datetime) -> None:
    """A window is split into two consecutive ones, neither shorter than an hour."""
    window = Window(start, start + length * MILLISECOND)

    parts = window.halves(server_time)

    if not parts:
        assert length * MILLISECOND < 2 * HOUR + 2 * MILLISECOND
        return
    first, second = parts
    assert (first.start, first.end, second.end) == (window.start, second.start, window.end)
    assert first.end
    assert second.end
    assert abs((first.end - start) - (second.end - first.end)) <= MILLISECOND
    assert min(first.end - start, second.end - first.end) >= HOUR


@given(INSTANTS, st.integers(1, 10**9))
def test_an_open_window_is_closed_at_the_failed_export(start: datetime, later: int) -> None:
    """An open-ended window is first closed at the server's time of its failed export."""
    server_time = start + later * MILLISECOND

    first, second = Window(start, None).halves(server_time)

    assert first == Window(start, server_time)
    assert second == Window(server_time, None)


def test_a_window_of_two_hours_can_be_halved() -> None:
    """A shorter one cannot, so no part is shorter than an hour."""
    assert Window(NOW, NOW + 2 * HOUR).halves(NOW) == [
        Window(NOW, NOW + HOUR),
        Window(NOW + HOUR, NOW + 2 * HOUR),
    ]
    assert Window(NOW, NOW + 2 * HOUR - MILLISECOND).halves(NOW) == []


def test_what_cannot_be_halved() -> None:
    """A window that is short, has no start, or lies in the future stays whole."""
    assert Window(None, None).halves(NOW) == []
    assert Window(None, NOW).halves(NOW) == []
    assert Window(NOW, NOW + HOUR).halves(NOW) == []
    assert Window(NOW, None).halves(NOW) == []
    assert Window(NOW + DAY, None).halves(NOW) == []


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_survive_formatting_and_parsing(moment: datetime) -> None:
    """They keep an instant to the millisecond."""
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    text = format_instant(moment)

    assert len(text) == len("YYYY-MM-DDTHH:MM:SS.mmmZ")
    assert parse_instant(text) == moment


@given(INSTANTS, INSTANTS)
def test_formatted_instants_sort_chronologically(one: datetime, other: datetime) -> None:
    """Bookmarks compare as text."""
    assert (format_instant(one) < format_instant(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02", "2026-01-02T00:00:00.000Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02 03:04:05Z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"),
        ("2026-01-02T03:04:05.678001Z", "2026-01-02T03:04:05.679Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05.000Z"),
        ("2026-01-02T03:04:05.999999-05:30", "2026-01-02T08:34:06.000Z"),
        ("1969-12-31T23:59:59.9999Z", "1970-01-01T00:00:00.000Z"),
        ("2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:00.001Z"),
        ("2026-01-01T00:00:00.12345678999Z", "2026-01-01T00:00:00.124Z"),
        ("2026-01-01T00:00:00+02", "2025-12-31T22:00:00.000Z"),
        ("2026-01-01T00:00:00-0330", "2026-01-01T03:30:00.000Z"),
    ],
)
def test_forms_of_instants(text: str, expected: str) -> None:
    """Dates and times of any zone are parsed alike on all Python versions."""
    assert format_instant(parse_instant(text)) == expected


INVALID_INSTANTS = (
    *("", "Z", "soon", "2026-13-01", "2026-02-30", "2026-01-01T25:00:00Z", "1767225600"),
    "9999-12-31T23:59:59.9999Z",  # beyond the calendar when rounded up
)


@pytest.mark.parametrize("text", INVALID_INSTANTS)
def test_invalid_instants(text: str) -> None:
    """Anything else is a `ValueError`."""
    with pytest.raises(ValueError):  # noqa: PT011 - with any message
        parse_instant(text)


@pytest.mark.parametrize("days", [1, 30, 3_000_000, 10**6, 10**9])
def test_windows_of_any_size(days: int) -> None:
    """A size beyond the calendar is one window."""
    windows = Bounds(datetime(2026, 1, 1, tzinfo=UTC), None, timedelta(0), days).windows(None, NOW)

    assert windows[0].start == datetime(2026, 1, 1, tzinfo=UTC)
    assert windows[-1].end is None


def test_a_lookback_beyond_the_calendar_requests_everything() -> None:
    """The lookback may be thousands of years."""
    (window,) = Bounds(None, None, timedelta(days=900_000)).windows(NOW, NOW)

    lower, _ = window.bounds_as_text
    assert lower <= "0001-01-01T00:00:01.000Z"
    assert window.conditions() is not None


def test_the_ends_of_the_calendar_can_be_requested() -> None:
    """The margin is clamped at the first and the last instant."""
    first = parse_instant("0001-01-01")
    last = parse_instant("9999-12-31T23:59:59.999Z")

    assert Window(first, None).bounds_as_text[0] == "0001-01-01T00:00:00.000Z"
    assert Window(first, last).conditions() == {
        "$after": ["0001-01-01T00:00:00.000Z"],
        "$before": ["9999-12-31T23:59:59.999Z"],
    }


def test_windows_of_a_range() -> None:
    """They are split at multiples of their size since 1970, whatever the range; none is empty."""
    start, end = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 2, 19, tzinfo=UTC)
    cuts = [EPOCH + days * DAY for days in (20_460, 20_480, 20_500)]

    windows = Bounds(start, end, timedelta(0), 20).windows(None, NOW)
    again = Bounds(cuts[0], cuts[2], timedelta(0), 20).windows(None, NOW)

    assert [(w.start, w.end) for w in windows] == list(pairwise([start, *cuts, end]))
    assert [(w.start, w.end) for w in again] == list(pairwise(cuts))


def test_windows_of_updates() -> None:
    """They start at the bookmark minus lookback, whatever the start date; the last has no end."""
    bookmark = datetime(2026, 1, 10, tzinfo=UTC)
    bounds = Bounds(bookmark - 90 * DAY, bookmark - DAY, timedelta(hours=1), None)

    (window,) = bounds.update_windows(bookmark, NOW)
    cut = bounds._replace(window_days=100).update_windows(bookmark, NOW)

    assert window == Window(bookmark - timedelta(hours=1), None)
    assert cut[0].start == window.start
    assert [w.end and (w.end - EPOCH).days % 100 for w in cut] == [0, 0, None]


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window(), "at any time"),
        (Window(EPOCH), "from 1970-01-01T00:00:00.000Z"),
        (Window(None, EPOCH), "before 1970-01-01T00:00:00.000Z"),
        (
            Window(EPOCH, EPOCH + DAY),
            "from 1970-01-01T00:00:00.000Z before 1970-01-02T00:00:00.000Z",
        ),
    ],
)
def test_a_window_is_logged_as_text(window: Window, text: str) -> None:
    """The log shows the range of an export."""
    assert str(window) == text


@pytest.mark.skipif(sys.platform == "win32", reason="cannot change its time zone")
def test_the_machine_may_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are in UTC, whatever the machine's time zone."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert format_instant(parse_instant("2026-01-01")) == "2026-01-01T00:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@given(INSTANTS, st.integers(1, 60 * 24), st.integers(-26 * 60, 26 * 60), st.integers(10, 40))
def test_a_shifted_filter_is_recognised(
    start: datetime, minutes: int, shift: int, rows: int
) -> None:
    """Rows that fill the shifted range and reach beyond the margin prove it."""
    end = start + timedelta(minutes=minutes)
    step = (end - start) / rows
    shifted = [start + timedelta(minutes=shift) + number * step for number in range(rows)]
    span = Span(rows, format_instant(shifted[0]), format_instant(shifted[-1]))
    beyond = (span.least < format_instant(start - timedelta(seconds=2))) != (
        span.greatest >= format_instant(end + timedelta(seconds=2))
    )
    # Rows may leave up to a step of their own range empty.
    expected = beyond and abs(timedelta(minutes=shift)) >= (step if shift > 0 else timedelta(0))

    if expected:
        assert Window(start, end).is_shifted(span)
    if shift == 0:
        assert not Window(start, end).is_shifted(span)


@pytest.mark.parametrize(
    ("rows", "least", "greatest", "window"),
    [
        pytest.param(9, 5, 29, Window(EPOCH, EPOCH + DAY), id="few rows"),
        pytest.param(50, 5, 29, Window(EPOCH, None), id="open end"),
        pytest.param(50, 5, 29, Window(None, EPOCH + DAY), id="open start"),
        pytest.param(50, -5, 29, Window(EPOCH, EPOCH + DAY), id="outside on both sides"),
        pytest.param(50, 0, 23, Window(EPOCH, EPOCH + DAY), id="inside"),
        pytest.param(50, 1, 29, Window(EPOCH, EPOCH + DAY), id="late, but the start is not empty"),
        pytest.param(50, -5, 23, Window(EPOCH, EPOCH + DAY), id="early, but the end is not empty"),
        pytest.param(50, 60, 80, Window(EPOCH, EPOCH + DAY), id="too far"),
        pytest.param(50, -80, -60, Window(EPOCH, EPOCH + DAY), id="too early"),
    ],
)
def test_other_rows_show_no_shift(rows: int, least: int, greatest: int, window: Window) -> None:
    """A filter that is ignored or works is not shifted."""
    span = Span(rows, format_instant(EPOCH + least * HOUR), format_instant(EPOCH + greatest * HOUR))
    assert not window.is_shifted(span)


def test_a_date_that_is_off_shows_no_shift() -> None:
    """The server may filter on an instant half a second from the exported one."""
    window = Window(EPOCH, EPOCH + DAY)
    for least, greatest in ((-1.5, 80_000), (4_000, 86_401.4)):
        ends = [EPOCH + timedelta(seconds=seconds) for seconds in (least, greatest)]
        span = Span(50, format_instant(ends[0]), format_instant(ends[1]))
        assert not window.is_shifted(span)
        assert not window.is_missed_by(span)


def span_of(early: int, late: int, rows: int = 10) -> Span:
    """Return a span that starts before a day and ends after it by this many milliseconds."""
    least, greatest = EPOCH - early * MILLISECOND, EPOCH + DAY + late * MILLISECOND
    return Span(rows, format_instant(least), format_instant(greatest))


FARTHEST = 26 * 3600 * 1000


@pytest.mark.parametrize(
    ("early", "late", "expected"),
    [
        pytest.param(2001, -2, True, id="early"),
        pytest.param(2001, -1, False, id="early_but_the_end_is_not_empty"),
        pytest.param(2000, -2000, False, id="early_within_the_margin"),
        pytest.param(FARTHEST, -FARTHEST, True, id="early_as_far_as_zones_go"),
        pytest.param(FARTHEST, -FARTHEST + 1999, True, id="early_as_far_up_to_the_margin"),
        pytest.param(FARTHEST, -FARTHEST + 2000, False, id="early_as_far_but_not_empty"),
        pytest.param(FARTHEST + 1, -FARTHEST - 1, False, id="too_early"),
        pytest.param(0, 2000, True, id="late"),
        pytest.param(1, 2000, False, id="late_but_the_start_is_not_empty"),
        pytest.param(0, 1999, False, id="late_within_the_margin"),
        pytest.param(-FARTHEST, FARTHEST, True, id="late_as_far_as_zones_go"),
        pytest.param(-FARTHEST + 2000, FARTHEST, True, id="late_as_far_up_to_the_margin"),
        pytest.param(-FARTHEST + 2001, FARTHEST, False, id="late_as_far_but_not_empty"),
        pytest.param(-FARTHEST - 1, FARTHEST + 1, False, id="too_late"),
    ],
)
def test_the_borders_of_a_shift(early: int, late: int, *, expected: bool) -> None:
    """A day in another zone is at most 26 hours off; both ends allow for two seconds."""
    assert Window(EPOCH, EPOCH + DAY).is_shifted(span_of(early, late)) == expected
    assert not Window(EPOCH, EPOCH + DAY).is_shifted(span_of(early, late, rows=9))


@pytest.mark.parametrize(
    ("window", "early", "late", "expected"),
    [
        pytest.param(Window(EPOCH, EPOCH + DAY), 2001, -DAY // MILLISECOND + 1999, True),
        pytest.param(Window(EPOCH, EPOCH + DAY), 2001, -DAY // MILLISECOND + 2000, False),
        pytest.param(Window(EPOCH, EPOCH + DAY), 2000, -DAY // MILLISECOND + 1999, False),
        pytest.param(Window(EPOCH, EPOCH + DAY), -DAY // MILLISECOND + 2000, 2000, True),
        pytest.param(Window(EPOCH, EPOCH + DAY), -DAY // MILLISECOND + 2001, 2000, False),
        pytest.param(Window(EPOCH, EPOCH + DAY), -DAY // MILLISECOND + 2000, 1999, False),
        pytest.param(Window(EPOCH, None), 2001, -DAY // MILLISECOND - 1001, True),
        pytest.param(Window(EPOCH, None), 2001, -DAY // MILLISECOND - 1000, False),
        pytest.param(Window(EPOCH, None), 2000, -DAY // MILLISECOND - 1001, False),
        pytest.param(Window(None, EPOCH + DAY), -DAY // MILLISECOND - 1000, 2000, True),
        pytest.param(Window(None, EPOCH + DAY), -DAY // MILLISECOND - 999, 2000, False),
    ],
)
def test_the_borders_of_another_range(
    window: Window, early: int, late: int, *, expected: bool
) -> None:
    """All rows are near an end and some beyond two seconds, or all beyond an open range."""
    assert window.is_missed_by(span_of(early, late)) == expected


@pytest.mark.parametrize(
    ("least", "greatest", "window", "expected"),
    [
        pytest.param(-48, 0, Window(EPOCH, EPOCH + DAY), True, id="before, up to the start"),
        pytest.param(24, 48, Window(EPOCH, EPOCH + DAY), True, id="from the end on"),
        pytest.param(-48, -24, Window(EPOCH, None), True, id="before an open range"),
        pytest.param(24, 48, Window(None, EPOCH + DAY), False, id="from the end of an open range"),
        pytest.param(25, 48, Window(None, EPOCH + DAY), True, id="after an open range"),
        pytest.param(-48, 0, Window(EPOCH, None), False, id="up to the start of an open range"),
        pytest.param(-48, 12, Window(EPOCH, EPOCH + DAY), False, id="before and inside"),
        pytest.param(0, 0, Window(EPOCH, EPOCH + DAY), False, id="only at the start"),
        pytest.param(24, 24, Window(EPOCH, EPOCH + DAY), False, id="only at the end"),
        pytest.param(-48, 48, Window(EPOCH, EPOCH + DAY), False, id="on both sides"),
        pytest.param(-48, 48, Window(), False, id="no range"),
    ],
)
def test_a_file_of_another_range_is_recognised(
    least: int, greatest: int, window: Window, *, expected: bool
) -> None:
    """Rows near an end are in the exports of both ranges and prove nothing."""
    ends = [format_instant(EPOCH + hours * HOUR) for hours in (least, greatest)]
    assert window.is_missed_by(Span(2, ends[0], ends[1])) == expected
    assert not window.is_missed_by(Span())


def test_spans_add_up() -> None:
    """The files of a split export have a combined span."""
    first = Span(2, "a", "c")
    assert Span() | first == first | Span() == first
    assert first | Span(3, "b", "d") == Span(5, "a", "d", is_ascending=False)


def test_a_missing_time_may_be_dropped() -> None:
    """A record without a creation time is kept; one without an update time is not."""
    window = Window(EPOCH, EPOCH + DAY)
    values = [None, "1970-01-01T00:00:00.000Z", "1970-01-02T00:00:00.000Z"]
    assert window.mask(values) == [True, True, False]
    assert window.mask(values, keeps_missing=False) == [False, True, False]
    assert Window(None, EPOCH).mask([None]) == [True]
    assert Window(EPOCH, None).mask([None], keeps_missing=False) == [False]
