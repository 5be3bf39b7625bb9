"""`ExportStream`: plan the exports, read them, move the bookmark."""

from __future__ import annotations

import functools
import itertools
import typing as t
from dataclasses import replace

from singer_sdk.exceptions import SingerSDKError, SyncLifecycleSignal
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_voucherify.declared import DeclaredStream
from tap_voucherify.errors import (
    AccountError,
    Interruption,
    OutputError,
    SettingsError,
)
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.files.exported import FileReader
from tap_voucherify.instants import Span, format_instant
from tap_voucherify.row_filter import RowFilter
from tap_voucherify.singer.bookmark import Bookmark

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from singer_sdk.helpers import types

    from tap_voucherify.exports.request import ExportedFiles
    from tap_voucherify.files.arrow import ArrowBlock
    from tap_voucherify.files.reader import Block


class ExportStream(DeclaredStream):
    """A stream that reads one of Voucherify's exported objects.

    Attributes:
        order: Field by which exports are sorted; empty if none is sent.
    """

    order: t.ClassVar[str] = "created_at"

    @property
    @override
    def is_sorted(self) -> bool:
        """Whether exports are read in the order of the replication key."""
        return bool(self.replication_key) and not self.tracks_updates

    @override
    def get_replication_key_signpost(self, context: types.Context | None = None) -> None:
        """None, since `Bookmark` knows better where to stop."""

    def requests(self) -> list[ExportRequest]:
        """Return the exports of this run, in the order they are read."""
        request = ExportRequest(
            stream=self.name,
            exported_object=self.exported_object,
            fields=self.selection.fields,
            order=self.order,
            resumable=self._bookmark is not None,
            extra_parameters=self._extra_parameters,
        )
        if not self.created_column:
            return [request]
        bookmark = self._bookmark.instant if self._bookmark else None
        bounds, now = self.session.bounds, self.session.now
        requests = [
            replace(request, window=window, filter_field="created_at")
            for window in bounds.windows(bookmark, now)
        ]
        if self.tracks_updates and bookmark:
            requests += [
                replace(request, window=window, filter_field="updated_at", order="updated_at")
                for window in bounds.update_windows(bookmark, now)
            ]
        return requests

    @override
    def blocks(self) -> Iterator[Block | ArrowBlock | None]:
        """Yield the records of all exports; a failure ends this stream only."""
        activates_version = self._may_activate_version
        if activates_version:
            self.begin_version()
        try:
            for exported in self.session.exports.read(self.name):
                yield from self._read(exported)
        except (AccountError, OutputError, SettingsError, Interruption, SyncLifecycleSignal):
            raise
        except SingerSDKError as error:
            self.session.fail_stream(self.name, error)
            return
        finally:
            self._rows.report(self.warn)
        if self._bookmark:
            self._bookmark.finish_stream()
        if activates_version and self.records_emitted:
            self.activate_version()
        elif activates_version:
            self.warn(
                "no ACTIVATE_VERSION is emitted, since there are no records: the table "
                "keeps the rows it has",
            )

    def _read(self, exported: ExportedFiles) -> Iterator[Block | ArrowBlock | None]:
        """Yield the records of one export and move the bookmark."""
        request, bookmark = exported.request, self._bookmark
        if bookmark and bookmark.is_ahead_of(exported.created_at):
            self._rewind(bookmark, exported.created_at)
            self.session.exports.replace(self.name, self.requests())
            return
        files = [self._file_reader.open(file) for file in exported.files]
        span = self._rows.span(request, files)
        if bookmark:
            bookmark.start_export(exported.created_at, is_ordered=self._is_in_order(span))
        started, emitted = self.session.clock.monotonic(), 0
        rows, outsiders = self._rows.rows, self._rows.outsiders
        for read in itertools.chain.from_iterable(files):
            block = self._rows.keep(read, request)
            emitted += len(block)
            if block:
                yield block
            if bookmark:
                bookmark.cover(block.values(str(self.replication_key)))
            self.session.stop.check()
        if rows < self._rows.rows and self._rows.rows - rows == self._rows.outsiders - outsiders:
            self._rows.repeat(request)
            self.warn(f"{request}: no row of the file lies in the requested range; trying again")
            self.session.exports.replace(self.name, [request])
            return
        if bookmark:
            bookmark.finish_export(request.window)
            yield None
        seconds = self.session.clock.monotonic() - started
        self.logger.info(
            "%s: emitted %d rows in %.1f s (%.0f rows/s)",
            request,
            emitted,
            seconds,
            emitted / max(seconds, 1e-3),
        )

    def _rewind(self, bookmark: Bookmark, server_time: dt.datetime) -> None:
        self.warn(
            f"the bookmark {format_instant(t.cast('dt.datetime', bookmark.instant))} is ahead of "
            f"the server's time {format_instant(server_time)}; reading from there instead, since "
            "the bookmark would hide every record until that day",
        )
        bookmark.rewind(server_time)

    def _is_in_order(self, span: Span) -> bool:
        """Whether the bookmark may move within an export: its order was shown."""
        if self.is_sorted and span.rows and not span.is_ascending:
            self.warn(
                f"rows are not in order of {self.replication_key}; if the run is interrupted, the "
                "export is read again from its start",
            )
        return self.is_sorted and span.is_ascending

    @functools.cached_property
    def _rows(self) -> RowFilter:
        return RowFilter(self.created_column, self.updated_column, self.session.bounds)

    @property
    def _extra_parameters(self) -> dict[str, t.Any]:
        parameters: dict[str, t.Any] = self.config.get("export_parameters", {}).get(self.name, {})
        return parameters

    @property
    def _may_activate_version(self) -> bool:
        """Whether loaders may delete what this run does not emit: it emits the whole table."""
        if (
            not self.config.get("emit_activate_version_messages")
            or self.replication_method != REPLICATION_FULL_TABLE
        ):
            return False
        obstacles = ["batch_config"] if self.get_batch_config(self.config) else []
        if self._extra_parameters:
            obstacles.append("export_parameters")
        if self.is_filtered:
            obstacles.append("stream_maps.__filter__")
        if self.created_column:
            obstacles += [name for name in ("start_date", "end_date") if self.config.get(name)]
        if obstacles:
            self.warn(
                f"no ACTIVATE_VERSION is emitted, since {' and '.join(obstacles)} is set: "
                "loaders keep the rows that no longer exist in Voucherify",
            )
        return not obstacles

    @functools.cached_property
    def _bookmark(self) -> Bookmark | None:
        if self.replication_method == REPLICATION_FULL_TABLE or not self.replication_key:
            return None
        return Bookmark(
            self.stream_state,
            self.replication_key,
            end=self.session.bounds.end_date,
            moves_within_stream=self.is_sorted,
        )

    @functools.cached_property
    def _file_reader(self) -> FileReader:
        return FileReader(
            self.selection,
            as_tables=self.writes_parquet,
            is_flattened=bool(
                self.config.get("flattening_enabled") and self.config["flattening_max_depth"]
            ),
            warn=self.warn,
        )
