"""`ExportStream`: plan the exports, read them, move the bookmark."""

from __future__ import annotations

import functools
import itertools
import typing as t
from dataclasses import replace

from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_voucherify.errors import ExportFileError
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.instants import Span, format_instant
from tap_voucherify.probe import ProbedStream
from tap_voucherify.row_filter import RowFilter
from tap_voucherify.singer.bookmark import Bookmark, is_foreign

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Generator, Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers import types

    from tap_voucherify.errors import StreamError
    from tap_voucherify.exports.request import ExportedFiles
    from tap_voucherify.files.exported import AnyRows
    from tap_voucherify.session import Session


class ExportStream(ProbedStream):
    """A stream that reads one of Voucherify's exported objects.

    Attributes:
        order: Field by which exports are sorted; empty if none is sent.
    """

    order: t.ClassVar[str] = "created_at"

    @override
    def __init__(self, tap: Tap, session: Session) -> None:
        super().__init__(tap, session)
        self._repeated: list[ExportRequest] = []

    @property
    @override
    def is_sorted(self) -> bool:
        """Whether exports are read in the order of the replication key."""
        return bool(self.replication_key) and not self.tracks_updates

    @override
    def get_replication_key_signpost(self, context: types.Context | None = None) -> None:
        """Return None: `Bookmark` decides where to stop."""

    def requests(self) -> list[ExportRequest]:
        """Return the exports of this run, in the order they are read."""
        request = ExportRequest(
            stream=self.name,
            exported_object=self.exported_object,
            fields=self.selection.fields,
            order=self.order,
            resumable=self._bookmark is not None,
            extra_parameters=self.extra_parameters,
        )
        if not self.created_column:
            return [request]
        bookmark = self._bookmark.instant if self._bookmark else None
        bounds, now = self.session.bounds, self.session.now
        requests = [
            replace(request, window=window, filter_field="created_at")
            # A bookmark in the future may leave no window, and so no export that reveals it.
            for window in bounds.windows(bookmark, now)
            or bounds.windows(bookmark and min(bookmark, now), now)
        ]
        if self.tracks_updates and bookmark:
            requests += [
                replace(request, window=window, filter_field="updated_at", order="updated_at")
                for window in bounds.update_windows(bookmark, now)
            ]
        return requests

    @override
    def read(self) -> Generator[AnyRows | None, None, bool]:
        """Yield the records of all exports; see `DeclaredStream.read`."""
        try:
            for exported in self.session.exports.read(self.name, self._recover):
                yield from self._read(exported)
        finally:
            self._rows.report(self.warn)
        if self._bookmark:
            self._bookmark.finish_stream()
        return True

    def _read(self, exported: ExportedFiles) -> Iterator[AnyRows | None]:
        """Yield the records of one export and move the bookmark."""
        request, bookmark = exported.request, self._bookmark
        if bookmark and bookmark.is_ahead_of(exported.created_at):
            self._rewind(bookmark, exported.created_at)
            self.session.exports.replace(self.name, self.requests())
            return
        if exported.has_empty_file:
            self._accept_empty(request)
            return
        self.request_being_read = request
        files = [self.file_reader.open(file) for file in exported.files]
        if titles := self.file_reader.titles:
            self.stream_state["titles"] = titles
        span = self._rows.span(request, files)
        if request.window.is_missed_by(span):
            self._repeat(request, "no row of the file lies in the requested range")
            return
        if bookmark:
            bookmark.start_export(exported.created_at, is_ordered=self._is_in_order(span))
        started, emitted = self.session.clock.monotonic(), 0
        for read in itertools.chain.from_iterable(files):
            block = self._rows.keep(read, request)
            emitted += len(block)
            if block:
                yield block
            if bookmark:
                bookmark.cover([block.span(str(self.replication_key)).greatest])
            self.session.stop.check()
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

    def _recover(self, error: StreamError) -> list[ExportRequest]:
        """Return the exports to request after a failure; none if it is final."""
        return self.requests() if self.drop_rejected_fields(error) else []

    def _accept_empty(self, request: ExportRequest) -> None:
        """Accept a file of 0 bytes as one without rows, if the service sends such files.

        Raises:
            ExportFileError: If it does not, and the export was requested again before.
        """
        if not self.session.empty_exports_have_no_header:
            self._repeat(request, "the exported file is empty (no header)")
            return
        self.warn(
            "the exported file has 0 bytes, like that of an export without rows, so it counts as "
            "one; the bookmark does not move, and the next run reads this range again"
        )
        if self._bookmark:
            self._bookmark.hold()

    def _repeat(self, request: ExportRequest, problem: str) -> None:
        """Request an export again, once, since its file is useless.

        Raises:
            ExportFileError: If it was requested again before.
        """
        if request in self._repeated:
            raise ExportFileError(f"{request}: {problem}, again. Please report this")
        self._repeated.append(request)
        self.warn(f"{request}: {problem}; trying again")
        self.session.exports.replace(self.name, [request])

    def _rewind(self, bookmark: Bookmark, server_time: dt.datetime) -> None:
        self.warn(
            f"the bookmark {format_instant(t.cast('dt.datetime', bookmark.instant))} is ahead of "
            f"the server's time {format_instant(server_time)}; reading from then instead, since "
            "the bookmark would hide every record until it is reached"
        )
        bookmark.rewind(server_time)

    def _is_in_order(self, span: Span) -> bool:
        """Whether the rows are in order, so that the bookmark may move within the export."""
        if self.is_sorted and span.rows and not span.is_ascending:
            self.warn(
                f"rows are not in order of {self.replication_key}; if the run is interrupted, the "
                "export is read again from its start"
            )
        return self.is_sorted and span.is_ascending

    @functools.cached_property
    def _rows(self) -> RowFilter:
        return RowFilter(self.created_column, self.updated_column, self.session.bounds)

    @functools.cached_property
    def _bookmark(self) -> Bookmark | None:
        if self.replication_method == REPLICATION_FULL_TABLE or not self.replication_key:
            return None
        if is_foreign(self.stream_state, self.replication_key):
            self.warn(
                f"the state's bookmark is not for {self.replication_key}, but for another "
                "replication key or another tap; every record is read again"
            )
        return Bookmark(
            self.stream_state,
            self.replication_key,
            end=self.session.bounds.end_date,
            moves_within_stream=self.is_sorted,
        )
