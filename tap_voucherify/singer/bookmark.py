"""How far a stream has been read, as its state says it."""

from __future__ import annotations

import typing as t

from tap_voucherify.windows import FOREVER, format_instant, parse_instant

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from tap_voucherify.windows import Window

_KEY, _VALUE = "replication_key", "replication_key_value"


class Bookmark:
    """The greatest replication value emitted, or the end of the last window read whole.

    It is never later than the server's time at the stream's first export: a row dated in
    the future, or created between two exports, is therefore not passed over. A run never
    ends with an earlier one than it began with.
    """

    def __init__(
        self,
        state: dict[str, t.Any],
        key: str,
        lookback: dt.timedelta,
        *,
        end: dt.datetime | None = None,
        is_sorted: bool = True,
    ) -> None:
        """Continue from a state, unless it is about another replication key.

        Args:
            state: The stream's part of the tap's state; is kept up to date.
            key: The replication key.
            lookback: How far rows may be out of order.
            end: What was created from then on is not asked for, so the bookmark stays
                before it, even if what was created earlier has been updated later.
            is_sorted: Whether exports follow each other in the order of the key; if not,
                the bookmark moves only when the stream is finished.
        """
        self._state = state
        self._key = key
        self._lookback = lookback
        self._is_sorted = is_sorted
        if state.get(_KEY) != key:
            state.pop(_KEY, None)
            state.pop(_VALUE, None)
        old = state.get(_VALUE)
        self._value = self._reached = format_instant(parse_instant(old)) if old else ""
        self._greatest = ""
        self._latest = format_instant(end) if end else FOREVER
        self._is_ordered = True

    @property
    def instant(self) -> dt.datetime | None:
        """Where the last run ended."""
        return parse_instant(self._value) if self._value else None

    def start_export(self, created_at: dt.datetime, *, is_ordered: bool = True) -> None:
        """Begin to read an export.

        Args:
            created_at: The server's time at which it was created.
            is_ordered: Whether its rows can be taken to be in order until they prove not
                to be; if not, only the whole of it moves the bookmark.
        """
        self._latest = min(self._latest, format_instant(created_at))
        self._greatest, self._is_ordered = "", is_ordered

    def cover(self, values: Iterable[str | None]) -> bool:
        """Take note of the replication values of rows that have been emitted.

        Returns:
            Whether the export has just lost its order: the first row is there that is
            out of it by more than the lookback. What comes may then be older than what
            was, so the bookmark is back where it was before this export, and only the
            whole of it moves the bookmark.
        """
        was_ordered = self._is_ordered
        for value in filter(None, values):
            if value >= self._greatest:
                self._greatest = value
            elif self._is_sorted and self._is_ordered:
                distance = parse_instant(self._greatest) - parse_instant(value)
                self._is_ordered = distance <= self._lookback
        if self._is_sorted:
            self._move(max(self._reached, self._greatest if self._is_ordered else ""))
        return was_ordered and not self._is_ordered

    def finish_export(self, window: Window) -> None:
        """Take note that all rows of an export over `window` have been emitted."""
        end = format_instant(window.end) if window.end else ""
        self._reached = max(self._reached, self._greatest, end)
        if self._is_sorted:
            self._move(self._reached)

    def finish_stream(self) -> None:
        """Take note that all exports of the stream have been read."""
        self._move(self._reached)

    def _move(self, reached: str) -> None:
        value = max(self._value, min(reached, self._latest))
        if value:
            self._state[_KEY] = self._key
            self._state[_VALUE] = value
