"""A bookmark never passes what has been read, and never moves back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.instants import format_instant
from tap_voucherify.singer.bookmark import Bookmark, is_foreign
from tap_voucherify.windows import Window

KEY = "created_at"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
# When the server created the export, unless a test says otherwise.
LATER = datetime(2026, 6, 1, tzinfo=timezone.utc)


def at(seconds: float) -> str:
    """Return a time in bookmark format."""
    return format_instant(START + timedelta(seconds=seconds))


def state_at(value: str, key: str = KEY) -> dict[str, Any]:
    """Return the state of a stream."""
    return {"replication_key": key, "replication_key_value": value}


def read(
    bookmark: Bookmark, *seconds: float, window: Window | None = None, is_ordered: bool = True
) -> None:
    """Read one export in full."""
    bookmark.start_export(LATER, is_ordered=is_ordered)
    bookmark.cover([at(each) for each in seconds])
    bookmark.finish_export(window or Window())


def test_a_first_run_has_no_bookmark() -> None:
    """Nor does it leave one if it reads nothing."""
    state: dict[str, Any] = {}
    bookmark = Bookmark(state, KEY)
    assert bookmark.instant is None
    read(bookmark)
    bookmark.finish_stream()
    assert state == {}


def test_a_state_is_resumed() -> None:
    """A bookmark may have any ISO 8601 format; other keys of the state are kept."""
    state = {**state_at("2026-01-01 01:00:00+01:00"), "starting_replication_value": "x"}
    bookmark = Bookmark(state, KEY)
    assert bookmark.instant == START
    read(bookmark, 5)
    assert state == {**state_at(at(5)), "starting_replication_value": "x"}


def test_a_state_of_another_key_is_discarded() -> None:
    """Its value means nothing for this key."""
    state = state_at(at(0), "modified_at")
    assert Bookmark(state, KEY).instant is None
    assert state == {}


def test_a_state_without_a_value_has_no_bookmark() -> None:
    """The key alone is not enough."""
    assert Bookmark({"replication_key": KEY}, KEY).instant is None


def test_rows_in_order_move_it_at_once() -> None:
    """The next run need not read again what the last STATE of a killed run covers."""
    state: dict[str, Any] = {}
    bookmark = Bookmark(state, KEY)
    bookmark.start_export(LATER, is_ordered=True)
    bookmark.cover([at(1), at(2), None, at(2)])
    assert state == state_at(at(2))
    bookmark.cover([at(3)])
    assert state == state_at(at(3))


def test_rows_out_of_order_move_it_at_the_end() -> None:
    """An export that was not shown to be in order moves it only when it is finished."""
    state = state_at(at(-5))
    bookmark = Bookmark(state, KEY)
    bookmark.start_export(LATER, is_ordered=False)
    for value in (100, 39.999, 200, 201):
        bookmark.cover([at(value)])
        assert state == state_at(at(-5))
    bookmark.finish_export(Window())
    assert state == state_at(at(201))


def test_disorder_within_the_lookback_is_not_trusted() -> None:
    """The lookback is for late records, not for a file that is out of order."""
    state: dict[str, Any] = {}
    bookmark = Bookmark(state, KEY)
    bookmark.start_export(LATER, is_ordered=False)
    bookmark.cover([at(100), at(99)])
    assert state == {}


def test_each_export_has_an_order_of_its_own() -> None:
    """Disorder in one does not affect the next, which may begin earlier."""
    state: dict[str, Any] = {}
    bookmark = Bookmark(state, KEY)
    read(bookmark, 500, 100, is_ordered=False)
    bookmark.start_export(LATER, is_ordered=True)
    bookmark.cover([at(300)])
    bookmark.cover([at(600)])
    assert state == state_at(at(600))


def test_a_fraction_of_a_millisecond_is_rounded_down() -> None:
    """Rows of the bookmark's own millisecond are read again."""
    state = state_at("2026-01-01T00:00:00.000999Z")
    assert Bookmark(state, KEY).instant == START


def test_it_never_moves_back() -> None:
    """Rows of the lookback are older than the bookmark."""
    state = state_at(at(1000))
    bookmark = Bookmark(state, KEY)
    read(bookmark, 950, 990)
    bookmark.finish_stream()
    assert state == state_at(at(1000))


def test_a_window_read_in_full_moves_it_to_its_end() -> None:
    """A stream without new records need not request the same range again."""
    state: dict[str, Any] = {}
    bookmark = Bookmark(state, KEY)
    read(bookmark, 5, window=Window(START, START + timedelta(days=1)))
    assert state == state_at(at(86_400))


def test_it_is_not_later_than_the_first_export() -> None:
    """A row or a window's end in the future does not hide records created until then."""
    state: dict[str, Any] = {}
    bookmark = Bookmark(state, KEY)
    bookmark.start_export(START + timedelta(seconds=20), is_ordered=True)
    bookmark.cover([at(10), at(99)])
    bookmark.finish_export(Window(START, START + timedelta(seconds=50)))
    assert state == state_at(at(20))
    bookmark.start_export(START + timedelta(seconds=60), is_ordered=True)
    bookmark.cover([at(70)])
    bookmark.finish_export(Window())
    bookmark.finish_stream()
    assert state == state_at(at(20))


def test_an_unsorted_stream_moves_it_only_at_the_end() -> None:
    """Its exports have no common order, so all of them must be read first."""
    state = state_at(at(0))
    bookmark = Bookmark(state, KEY, moves_within_stream=False)
    bookmark.start_export(LATER, is_ordered=True)
    bookmark.cover([at(900), at(100)])
    bookmark.finish_export(Window(START, START + timedelta(days=1)))
    read(bookmark, 500)
    assert state == state_at(at(0))
    bookmark.finish_stream()
    assert state == state_at(at(86_400))


@pytest.mark.parametrize("moves_within_stream", [True, False])
def test_it_stays_before_the_end_date(*, moves_within_stream: bool) -> None:
    """Records created before the end may be updated later; newer ones are still to come."""
    state: dict[str, Any] = {}
    end = START + timedelta(seconds=50)
    bookmark = Bookmark(state, KEY, end=end, moves_within_stream=moves_within_stream)
    read(bookmark, 10, 99, window=Window(START, end))
    read(bookmark, 700, window=Window(START, START + timedelta(days=1)))
    bookmark.finish_stream()
    assert state == state_at(at(50))


seconds = st.integers(-10_000, 10_000).map(float)


@given(
    old=st.none() | seconds,
    exports=st.lists(st.tuples(seconds, st.lists(st.lists(seconds, max_size=4)), st.booleans())),
    moves_within_stream=st.booleans(),
)
def test_any_run_keeps_the_rules(
    old: float | None,
    exports: list[tuple[float, list[list[float]], bool]],
    *,
    moves_within_stream: bool,
) -> None:
    """In any order, the bookmark never passes what was read, and never moves back."""
    state = {} if old is None else state_at(at(old))
    bookmark = Bookmark(state, KEY, moves_within_stream=moves_within_stream)
    first = state.get("replication_key_value", "")
    seen: list[float] = []
    created: list[float] = []
    covered = ""

    def check() -> str:
        value: str = state.get("replication_key_value", "")
        latest = at(min(created)) if created else ""
        # An export may turn out to have been created before those that were read first.
        assert value >= max(first, min(covered, latest))
        if value > first:
            assert value <= min(at(max(seen)), latest)
        return value

    for created_at, blocks, is_whole in exports:
        created.append(created_at)
        rows = [each for block in blocks for each in block]
        bookmark.start_export(
            START + timedelta(seconds=created_at), is_ordered=rows == sorted(rows)
        )
        for block in blocks:
            seen += block
            bookmark.cover([at(each) for each in block])
            check()
        if not is_whole:
            return
        bookmark.finish_export(Window())
        covered = check()
    bookmark.finish_stream()
    check()


def test_an_export_of_unknown_order_moves_the_bookmark_only_at_its_end() -> None:
    """A later file may contain older rows than the first."""
    state = state_at(at(0))
    bookmark = Bookmark(state, KEY)
    bookmark.start_export(START + timedelta(days=1), is_ordered=False)
    bookmark.cover([at(1), at(1000)])
    bookmark.cover([at(2), at(999)])
    assert state == state_at(at(0))
    bookmark.finish_export(Window())
    assert state == state_at(at(1000))


@pytest.mark.parametrize("moves_within_stream", [True, False])
@given(rows=st.lists(seconds, min_size=1))
def test_a_stream_read_in_full_reaches_its_greatest_value(
    rows: list[float], *, moves_within_stream: bool
) -> None:
    """In any order."""
    state: dict[str, Any] = {}
    bookmark = Bookmark(state, KEY, moves_within_stream=moves_within_stream)
    read(bookmark, *rows)
    bookmark.finish_stream()
    assert state == state_at(at(max(rows)))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, False),
        ({"titles": [["id", "ID"]]}, False),
        (state_at(at(0)), False),
        ({"replication_key": KEY, "titles": []}, False),
        (state_at(at(0), "modified_at"), True),
        ({"replication_key_value": at(0)}, True),
        ({"created_at": at(0), "titles": []}, True),
    ],
)
def test_a_state_of_another_key_or_form_is_foreign(
    state: dict[str, Any], *, expected: bool
) -> None:
    """Learned titles alone are not a bookmark."""
    assert is_foreign(state, KEY) == expected


def test_it_can_be_held() -> None:
    """What is read after it may be incomplete, so the next run starts from there again."""
    state: dict[str, Any] = {}
    bookmark = Bookmark(state, KEY)
    read(bookmark, 5)
    bookmark.hold()
    read(bookmark, 9, window=Window(START, START + timedelta(days=1)))
    bookmark.finish_stream()
    assert state == state_at(at(5))


def test_it_knows_when_it_is_ahead_of_the_server() -> None:
    """By more than the tolerance of clocks."""
    bookmark = Bookmark(state_at(at(1000)), KEY)
    assert bookmark.is_ahead_of(START + timedelta(seconds=699))
    assert not bookmark.is_ahead_of(START + timedelta(seconds=700))
    assert not Bookmark({}, KEY).is_ahead_of(START)


def test_it_can_be_moved_back_to_the_servers_time() -> None:
    """Rows from then on are no longer hidden."""
    state = state_at("2099-01-01T00:00:00.000Z")
    bookmark = Bookmark(state, KEY)
    bookmark.rewind(START)
    assert state == state_at(at(0))
    read(bookmark, 5)
    assert state == state_at(at(5))
