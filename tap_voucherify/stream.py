"""`ExportStream`: windows -> exports -> rows -> records -> bookmark."""

from __future__ import annotations

import functools
import itertools
import logging
import time
import typing as t
from dataclasses import replace

from singer_sdk.exceptions import SingerSDKError, SyncLifecycleSignal
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_voucherify.columns import METADATA, metadata_schema
from tap_voucherify.errors import (
    AccountError,
    ExportFileError,
    Interruption,
    OutputError,
    SettingsError,
)
from tap_voucherify.export_csv import ExportReader
from tap_voucherify.exports import ExportRequest
from tap_voucherify.messages import BlockStream
from tap_voucherify.windows import format_instant, parse_instant

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from singer_sdk.helpers import types

    from tap_voucherify.columns import Column
    from tap_voucherify.export_csv import Block
    from tap_voucherify.exports import ExportedFiles
    from tap_voucherify.tap import TapVoucherify
    from tap_voucherify.windows import Window


class Bookmark:
    """How far a stream has been read, as its state says it.

    It is the greatest replication value emitted, or the end of the last bounded window
    read whole, but never later than the server's time at the stream's first export: a
    row dated in the future, or created between two exports, is so not passed over.
    """

    def __init__(self, state: dict[str, t.Any], key: str, lookback: dt.timedelta) -> None:
        """Continue from a state, unless it is about another replication key.

        Args:
            state: The stream's part of the tap's state; is kept up to date.
            key: The replication key.
            lookback: How far rows may be out of order.
        """
        self._state = state
        self._key = key
        self._lookback = lookback
        if state.get("replication_key") != key:
            state.pop("replication_key", None)
            state.pop("replication_key_value", None)
        old = state.get("replication_key_value")
        self._value = format_instant(parse_instant(old)) if old else ""
        self._latest = "~"
        self._before_export = self._greatest = ""
        self._is_ordered = True

    @property
    def instant(self) -> dt.datetime | None:
        """Where the last run ended."""
        return parse_instant(self._value) if self._value else None

    def start_export(self, created_at: dt.datetime) -> None:
        """Begin to read an export that the server created at that time."""
        self._latest = min(self._latest, format_instant(created_at))
        self._before_export, self._greatest, self._is_ordered = self._value, "", True

    def cover(self, values: Sequence[str | None]) -> bool:
        """Take note of the replication values of rows that have been emitted.

        Returns:
            False from the first row on that is out of order: what comes may then be
            older than what was, and only the whole export can move the bookmark.
        """
        for value in filter(None, values):
            if value >= self._greatest:
                self._greatest = value
            elif self._is_ordered:
                distance = parse_instant(self._greatest) - parse_instant(value)
                self._is_ordered = distance <= self._lookback
        self._move(self._greatest if self._is_ordered else "")
        return self._is_ordered

    def finish_export(self, window: Window) -> None:
        """Take note that all rows of a window have been emitted."""
        end = format_instant(window.end) if window.end else ""
        self._move(max(self._greatest, end))

    def _move(self, value: str) -> None:
        self._value = max(self._before_export, min(value, self._latest))
        if self._value:
            self._state["replication_key"] = self._key
            self._state["replication_key_value"] = self._value


class ExportStream(BlockStream):
    """A stream that reads one of Voucherify's exported objects.

    Attributes:
        exported_object: Voucherify's name of the object.
        columns: The fields of the object, in the order of the schema.
        has_metadata: Whether its custom attributes can be exported.
        order: The field by which exports are sorted.
    """

    exported_object: t.ClassVar[str]
    columns: t.ClassVar[tuple[Column, ...]]
    primary_keys: Sequence[str] = ()
    replication_key: str | None = None
    has_metadata: t.ClassVar[bool] = True
    order: t.ClassVar[str] = "created_at"

    _tap: TapVoucherify

    @functools.cached_property
    def schema(self) -> dict[str, t.Any]:
        """The JSON schema of the stream's records."""
        properties = {
            column.name: column.schema(nullable=column.name not in type(self).primary_keys)
            for column in self.columns
        }
        if self.has_metadata:
            properties[METADATA] = metadata_schema()
        return {"type": "object", "properties": properties}

    @property
    def is_sorted(self) -> bool:
        """Rows come in the order of the replication key."""
        return bool(self.replication_key)

    @property
    def emit_activate_version_messages(self) -> bool:
        """False to the SDK, which would write the message before the records."""
        return False

    def get_replication_key_signpost(self, context: types.Context | None = None) -> None:
        """None, since `Bookmark` knows better where to stop."""

    def log(self, message: str, *args: t.Any, level: int = logging.INFO, **kwargs: t.Any) -> None:
        """Log a message, but leave errors to the command line, which tells each once."""
        if level < logging.ERROR:
            super().log(message, *args, level=level, **kwargs)

    def requests(self) -> list[ExportRequest]:
        """Return what this run has to export, in the order in which it is read."""
        request = ExportRequest(
            stream=self.name,
            exported_object=self.exported_object,
            fields=self._fields,
            order=self.order,
        )
        if not type(self).replication_key:
            return [request]
        bookmark = self._bookmark.instant if self._bookmark else None
        return [
            replace(request, window=window, filter_field="created_at")
            for window in self._tap.bounds.windows(bookmark, self._tap.now)
        ]

    def blocks(self) -> Iterator[Block | None]:
        """Yield the records of all exports; a failure ends this stream only."""
        try:
            for exported in self._tap.exports.read(self.name):
                yield from self._read(exported)
        except (AccountError, OutputError, SettingsError, Interruption, SyncLifecycleSignal):
            raise
        except SingerSDKError as error:
            self._tap.note_failure(self.name, error)

    def _read(self, exported: ExportedFiles) -> Iterator[Block | None]:
        """Yield the records of one export and move the bookmark."""
        started, emitted, dropped = time.monotonic(), 0, 0
        lower, upper = exported.request.window.bounds
        bookmark, key = self._bookmark, type(self).replication_key
        if bookmark:
            bookmark.start_export(exported.created_at)
        is_ordered = True
        for file in exported.files:
            for read in self._reader(file):
                block, values = read, list(read.values(key)) if key else []
                kept = [not value or lower <= value < upper for value in values]
                if not all(kept):
                    block = read.select(kept)
                    values = list(itertools.compress(values, kept))
                dropped += len(read) - len(block)
                emitted += len(block)
                if block:
                    yield block
                self._tap.stop_request.check()
                if bookmark and not bookmark.cover(values) and is_ordered:
                    is_ordered = False
                    self.logger.warning(
                        "%s: the rows are not in order of %s; this export is read anew if "
                        "it is interrupted",
                        exported.request,
                        key,
                    )
                    yield None
        if bookmark:
            bookmark.finish_export(exported.request.window)
            yield None
        seconds = time.monotonic() - started
        self.logger.info(
            "%s: emitted %d rows in %.1f s (%.0f rows/s); %d rows outside of the window "
            "were dropped",
            exported.request,
            emitted,
            seconds,
            emitted / max(seconds, 1e-3),
            dropped,
        )

    def _reader(self, file: t.BinaryIO) -> ExportReader:
        """Open one file and report what is odd about its header."""
        reader = ExportReader(
            file,
            self._selected_columns,
            keys=type(self).primary_keys,
            with_metadata=METADATA in self._fields,
        )
        for column, title in reader.binding.trusted:
            self._tap.warn_once(
                self.name,
                f"the column asked for as {column.api_field!r} is titled {title!r}; it is "
                "trusted by its position. Please report these two names",
            )
        for column in reader.missing:
            if column.name in {*type(self).primary_keys, type(self).replication_key}:
                raise ExportFileError(f"the header lacks {column.api_field!r}")
            self._tap.warn_once(
                self.name, f"the exported file lacks {column.api_field!r}: it stays empty"
            )
        return reader

    @functools.cached_property
    def _bookmark(self) -> Bookmark | None:
        if self.replication_method != REPLICATION_INCREMENTAL or not self.replication_key:
            return None
        return Bookmark(self.stream_state, self.replication_key, self._tap.bounds.lookback)

    @functools.cached_property
    def _selected_columns(self) -> tuple[Column, ...]:
        """The columns to ask for, in order.

        The last is a key column of known title: a header that is shifted anywhere shows
        there, and no custom attribute can be taken for a standard column.
        """
        automatic = {*type(self).primary_keys, type(self).replication_key}
        chosen = [
            column
            for column in self.columns
            if column.name in automatic or self.mask["properties", column.name]
        ]
        anchors = [
            column for column in chosen if column.title and column.name in type(self).primary_keys
        ]
        # sorted is stable: everything but the anchor keeps its order.
        return tuple(sorted(chosen, key=lambda column: column in anchors[:1]))

    @functools.cached_property
    def _fields(self) -> tuple[str, ...]:
        """The API's names of what to ask for; the custom attributes come last."""
        fields = [column.api_field for column in self._selected_columns]
        if self.has_metadata and self.mask["properties", METADATA]:
            fields.append(METADATA)
        return tuple(fields)
