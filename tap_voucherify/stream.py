"""`ExportStream`: plan the exports, read them, move the bookmark."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import typing as t
from dataclasses import replace

from singer_sdk.exceptions import SingerSDKError, SyncLifecycleSignal
from singer_sdk.mapper import MAPPER_FILTER_OPTION, MAPPER_SOURCE_OPTION
from singer_sdk.singerlib import Schema
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, Metadata
from typing_extensions import override

from tap_voucherify.columns import METADATA, MODIFIED_AT, Column, metadata_schema
from tap_voucherify.errors import AccountError, Interruption, OutputError, SettingsError
from tap_voucherify.exports.request import ExportRequest
from tap_voucherify.files.exported import FileReader
from tap_voucherify.files.selection import Selection
from tap_voucherify.singer.batches import wants_parquet
from tap_voucherify.singer.block_stream import BlockStream
from tap_voucherify.singer.bookmark import Bookmark
from tap_voucherify.windows import Window

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers import types
    from singer_sdk.singerlib import Catalog

    from tap_voucherify.exports.request import ExportedFiles
    from tap_voucherify.files.arrow import ArrowBlock
    from tap_voucherify.files.reader import Block
    from tap_voucherify.session import Session


class ExportStream(BlockStream):
    """A stream that reads one of Voucherify's exported objects.

    Attributes:
        name: Stream name.
        exported_object: Voucherify's object name.
        columns: Fields of the object, in schema order.
        primary_keys: Names of the key properties.
        replication_key: Column of the creation time; None if exports have no date filter. With
            `track_updates`, an instance of a stream that supports it has `modified_at`.
        updated_column: Column of the update time, if exports can be filtered by it.
        has_metadata: Whether metadata can be exported.
        order: Field by which exports are sorted; empty if none is sent.
        selected_by_default: Whether a new catalog selects the stream.
    """

    name: str
    exported_object: t.ClassVar[str]
    columns: t.ClassVar[tuple[Column, ...]]
    primary_keys: Sequence[str] = ()
    replication_key: str | None = None
    updated_column: t.ClassVar[str] = ""
    has_metadata: t.ClassVar[bool] = True
    order: t.ClassVar[str] = "created_at"

    def __init__(self, tap: Tap, session: Session) -> None:
        """Start without a request.

        Args:
            tap: The tap, for the SDK.
            session: What all streams of the run share.
        """
        self.session = session
        super().__init__(tap, session.clock)
        self._tracks_updates = bool(self.updated_column and self.config.get("track_updates"))
        if self._tracks_updates:
            self.replication_key = MODIFIED_AT.name

    @functools.cached_property
    @override
    def schema(self) -> dict[str, t.Any]:
        """The JSON schema of the records."""
        columns = [*self.columns, *([MODIFIED_AT] if self._tracks_updates else [])]
        properties = {
            column.name: column.schema(nullable=column.name not in self.primary_keys)
            for column in columns
        }
        if self.has_metadata:
            properties[METADATA] = metadata_schema(
                self.session.metadata_schemas(self.exported_object)
            )
        return {"type": "object", "properties": properties}

    @property
    @override
    def is_sorted(self) -> bool:
        """Whether exports are read in the order of the replication key."""
        return bool(self.replication_key) and not self._tracks_updates

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Apply a catalog's selection and types; the keys stay the stream's own."""
        keys, replication_key = self.primary_keys, self.replication_key
        if entry := catalog.get_stream(self.name):
            entry.key_properties = keys
            for name in self._always_selected:
                entry.schema.properties = entry.schema.properties or {}
                entry.schema.properties.setdefault(
                    name, Schema.from_dict(self.schema["properties"][name])
                )
                entry.metadata["properties", name] = Metadata(
                    inclusion=Metadata.InclusionType.AUTOMATIC
                )
        super().apply_catalog(catalog)
        self.primary_keys, self.replication_key = keys, replication_key

    @override
    def get_replication_key_signpost(self, context: types.Context | None = None) -> None:
        """None, since `Bookmark` knows better where to stop."""

    def requests(self) -> list[ExportRequest]:
        """Return the exports of this run, in the order they are read."""
        request = ExportRequest(
            stream=self.name,
            exported_object=self.exported_object,
            fields=self._selection.fields,
            order=self.order,
            resumable=self._bookmark is not None,
            extra_parameters=self._extra_parameters,
        )
        if not self._created_column:
            return [request]
        bookmark = self._bookmark.instant if self._bookmark else None
        bounds, now = self.session.bounds, self.session.now
        requests = [
            replace(request, window=window, filter_field="created_at")
            for window in bounds.windows(bookmark, now)
        ]
        if self._tracks_updates and bookmark:
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
        if self._bookmark:
            self._bookmark.finish_stream()
        if activates_version:
            self.activate_version()

    def _read(self, exported: ExportedFiles) -> Iterator[Block | ArrowBlock | None]:
        """Yield the records of one export and move the bookmark."""
        started, emitted, dropped = self.session.clock.monotonic(), 0, 0
        request, bookmark = exported.request, self._bookmark
        if bookmark:
            bookmark.start_export(exported.created_at, is_ordered=self._is_in_order(exported))
        for read in itertools.chain.from_iterable(map(self._file_reader.read, exported.files)):
            block = self._within(read, request)
            dropped += len(read) - len(block)
            emitted += len(block)
            if block:
                yield block
            if bookmark:
                bookmark.cover(block.values(str(self.replication_key)))
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
        if dropped:
            self.logger.info("%s: dropped %d rows outside this range", request, dropped)

    def _is_in_order(self, exported: ExportedFiles) -> bool:
        """Whether the rows are in the order of the replication key.

        This is shown before the first record is emitted. The order across the files of a split
        export is undocumented, so only its end moves the bookmark.
        """
        if not self.is_sorted or len(exported.files) != 1:
            return False
        (file,) = exported.files
        is_in_order = self._file_reader.is_ascending(file, str(self.replication_key))
        if not is_in_order:
            self.session.warn_once(
                self.name,
                f"rows are not in order of {self.replication_key}; if the run is interrupted, the "
                "export is read again from its start",
            )
        return is_in_order

    def _within(self, block: Block | ArrowBlock, request: ExportRequest) -> Block | ArrowBlock:
        """Return the rows that belong to the window, whatever the server has sent."""
        bounds = self.session.bounds
        ranges = [(self._created_column, Window(bounds.start_date, bounds.end_date))]
        if request.filter_field == "updated_at":
            ranges.append((self.updated_column, request.window))
        elif self._created_column:
            ranges = [(self._created_column, request.window)]
        for column, window in ranges:
            if not column:
                continue
            lower, upper = window.bounds_as_text
            # A record without a creation time is emitted wherever it turns up.
            empty = lower if column == self._created_column else ""
            mask = [lower <= (value or empty) < upper for value in block.values(column)]
            if not all(mask):
                block = block.select(mask)
        return block

    @property
    def _writes_parquet(self) -> bool:
        return wants_parquet(self.get_batch_config(self.config))

    @property
    def _created_column(self) -> str | None:
        return type(self).replication_key

    @property
    def _always_selected(self) -> list[str]:
        """Properties that are always selected."""
        names = [*self.primary_keys, self._created_column, self.replication_key]
        if self._tracks_updates:
            names.append(self.updated_column)
        return [name for name in dict.fromkeys(names) if name]

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
        if self._is_filtered:
            obstacles.append("stream_maps.__filter__")
        if self._created_column:
            obstacles += [name for name in ("start_date", "end_date") if self.config.get(name)]
        if obstacles:
            self.session.warn_once(
                self.name,
                f"no ACTIVATE_VERSION is emitted, since {' and '.join(obstacles)} is set: "
                "loaders keep the rows that no longer exist in Voucherify",
            )
        return not obstacles

    @property
    def _is_filtered(self) -> bool:
        """Whether a stream map leaves out records of this stream."""
        maps = self.config.get("stream_maps", {})
        return any(
            MAPPER_FILTER_OPTION in expressions
            and fnmatch.fnmatch(self.name, expressions.get(MAPPER_SOURCE_OPTION, name))
            for name, expressions in maps.items()
            if isinstance(expressions, dict)
        )

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
    def _selection(self) -> Selection:
        sources = (self.updated_column, self._created_column or "")
        return Selection(
            declared=self.columns,
            keys=self.primary_keys,
            always_selected=self._always_selected,
            schemas=self.effective_schema.get("properties", {}),
            mask=self.mask,
            has_metadata=self.has_metadata,
            coalesce={MODIFIED_AT.name: sources} if self._tracks_updates else {},
            # Parquet columns have one type, and a value may not fit its schema.
            typed_metadata=not self._writes_parquet,
        )

    @functools.cached_property
    def _file_reader(self) -> FileReader:
        return FileReader(
            self._selection,
            as_tables=self._writes_parquet,
            is_flattened=bool(
                self.config.get("flattening_enabled") and self.config["flattening_max_depth"]
            ),
            warn=functools.partial(self.session.warn_once, self.name),
        )
