"""A stream's bookmark: how far it has been read, as its STATE reports it.

`stream` moves it while it reads. STATE is written by `block_stream` between blocks, by the SDK
after each batch file, and by `tap` at the end.
"""

from __future__ import annotations

import datetime as dt
import typing as t

from tap_voucherify.instants import AFTER_ALL, format_instant, parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_voucherify.windows import Window

_KEY, _VALUE = "replication_key", "replication_key_value"

# Also kept in a stream's state.
_TITLES = "titles"

# Clocks may differ by this much.
CLOCK_TOLERANCE = dt.timedelta(minutes=5)


def is_foreign(state: dict[str, t.Any], key: str) -> bool:
    """Whether a stream's state has a bookmark, but not of this replication key."""
    return bool(state.keys() - {_TITLES}) and state.get(_KEY) != key


class Bookmark:
    """The greatest replication value emitted, or the end of the last window read in full.

    It never passes the server time of the stream's earliest export, so rows dated in the future or
    created between exports are not skipped. Only `rewind` moves it back.
    """

    def __init__(
        self,
        state: dict[str, t.Any],
        key: str,
        *,
        end: dt.datetime | None = None,
        moves_within_stream: bool = True,
    ) -> None:
        """Start from saved state; a bookmark for another replication key is discarded.

        Args:
            state: The stream's part of the tap's state; kept up to date.
            key: The replication key.
            end: `end_date`. The bookmark never passes it, even if older records were updated
                later.
            moves_within_stream: Whether exports are read in the order of the key. If not, the
                bookmark moves only when the stream is finished.
        """
        self._state = state
        self._key = key
        self._moves_within_stream = moves_within_stream
        if state.get(_KEY) != key:
            state.pop(_KEY, None)
            state.pop(_VALUE, None)
        saved = state.get(_VALUE)
        self._value = self._reached = (
            format_instant(parse_instant(saved, round_up=False)) if saved else ""
        )
        self._greatest = ""
        self._limit = format_instant(end) if end else AFTER_ALL
        self._is_ordered = False

    @property
    def instant(self) -> dt.datetime | None:
        """The bookmark as a datetime."""
        return parse_instant(self._value) if self._value else None

    def is_ahead_of(self, server_time: dt.datetime) -> bool:
        """Whether it is later than the server's time, by more than the tolerance of clocks."""
        return self._value > format_instant(server_time + CLOCK_TOLERANCE)

    def rewind(self, server_time: dt.datetime) -> None:
        """Move back to the server's time: a later bookmark would hide every row until then."""
        self._value = self._reached = self._state[_VALUE] = format_instant(server_time)

    def hold(self) -> None:
        """Stop moving in this run: what is read from here on may be incomplete."""
        self._limit = self._value

    def start_export(self, created_at: dt.datetime, *, is_ordered: bool) -> None:
        """Begin to read an export.

        Args:
            created_at: The server's time when it was created.
            is_ordered: Whether its rows were shown to be in ascending order. If not, the
                bookmark moves only when the whole export has been emitted.
        """
        self._limit = min(self._limit, format_instant(created_at))
        self._greatest, self._is_ordered = "", is_ordered

    def cover(self, values: Iterable[str | None]) -> None:
        """Record the replication values of emitted rows."""
        self._greatest = max(filter(None, [self._greatest, *values]), default="")
        if self._moves_within_stream:
            self._move(max(self._reached, self._greatest if self._is_ordered else ""))

    def finish_export(self, window: Window) -> None:
        """Mark an export of `window` as fully emitted."""
        end = format_instant(window.end) if window.end else ""
        self._reached = max(self._reached, self._greatest, end)
        if self._moves_within_stream:
            self._move(self._reached)

    def finish_stream(self) -> None:
        """Mark the stream as finished."""
        self._move(self._reached)

    def _move(self, reached: str) -> None:
        value = max(self._value, min(reached, self._limit))
        if value:
            self._state[_KEY] = self._key
            self._state[_VALUE] = value
