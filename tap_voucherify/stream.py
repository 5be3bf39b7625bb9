"""`ExportStream`: windows -> exports -> rows -> records -> bookmark."""

from __future__ import annotations

import contextlib
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
from tap_voucherify.errors import (
    AccountError,
    ExportFileError,
    Interruption,
    OutputError,
    SettingsError,
)
from tap_voucherify.exports.job import ExportRequest
from tap_voucherify.files.metadata import converter
from tap_voucherify.files.reader import Attributes, ExportReader
from tap_voucherify.instants import parse_instant
from tap_voucherify.singer.batches import wants_parquet
from tap_voucherify.singer.block_stream import BlockStream
from tap_voucherify.singer.bookmark import Bookmark
from tap_voucherify.windows import MARGIN, Window

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers import types
    from singer_sdk.singerlib import Catalog

    from tap_voucherify.exports.job import ExportedFiles
    from tap_voucherify.files.arrow import ArrowBlock, ArrowReader
    from tap_voucherify.files.reader import Block
    from tap_voucherify.session import Session


class ExportStream(BlockStream):
    """A stream that reads one of Voucherify's exported objects.

    Attributes:
        name: The stream's name.
        exported_object: Voucherify's name of the object.
        columns: The fields of the object, in the order of the schema.
        primary_keys: The names of its key columns.
        replication_key: The column of its creation time; None if it has no date filter. With
            `track_updates`, an instance of a stream that supports it has `modified_at`.
        updated_column: The column of its last update, where that can be filtered on.
        has_metadata: Whether its custom attributes can be exported.
        order: The field by which exports are sorted; empty if none is sent.
        selected_by_default: Whether a new catalog selects it.
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
        """The JSON schema of the stream's records."""
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
        """Whether records come in the order of the replication key."""
        return bool(self.replication_key) and not self._tracks_updates

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Take over a catalog's selection and types; the keys stay what they are."""
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
        """Return what this run has to export, in the order in which it is read."""
        request = ExportRequest(
            stream=self.name,
            exported_object=self.exported_object,
            fields=self._fields,
            order=self.order,
            may_be_adopted=self._bookmark is not None,
            extra_parameters=self._extra_parameters,
        )
        if not self._created_column:
            return [request]
        instant = self._bookmark.instant if self._bookmark else None
        bounds, now = self.session.bounds, self.session.now
        requests = [
            replace(request, window=window, filter_field="created_at")
            for window in bounds.windows(instant, now)
        ]
        if self._tracks_updates and instant:
            requests += [
                replace(request, window=window, filter_field="updated_at", order="updated_at")
                for window in bounds.update_windows(instant, now)
            ]
        return requests

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
        for read in itertools.chain.from_iterable(map(self._read_file, exported.files)):
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
            self.logger.info("%s: dropped %d rows outside of this range", request, dropped)

    def _is_in_order(self, exported: ExportedFiles) -> bool:
        """Whether the rows are in the order of the replication key.

        It is shown before the first record is emitted. The order across the files of a split
        export is undocumented, so only its end moves the bookmark.
        """
        if not self.is_sorted or len(exported.files) != 1:
            return False
        greatest = ""
        reader = ExportReader(
            exported.files[0],
            self._selected_columns,
            keys=self.primary_keys,
            attributes=Attributes() if METADATA in self._fields else None,
        )
        is_ascending = True
        with contextlib.suppress(ExportFileError):
            for block in reader:
                for value in filter(None, block.values(str(self.replication_key))):
                    if value < greatest:
                        distance = parse_instant(greatest) - parse_instant(value)
                        is_ascending = is_ascending and distance <= MARGIN
                    greatest = max(greatest, value)
        exported.files[0].seek(0)
        if not is_ascending:
            self.session.warn_once(
                self.name,
                f"rows are not in order of {self.replication_key}; if the run is interrupted, the "
                "export is read again from its start",
            )
        return is_ascending

    def _within(self, block: Block | ArrowBlock, request: ExportRequest) -> Block | ArrowBlock:
        """Return the rows that lie in the window, whatever the server has sent."""
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

    def _read_file(self, file: t.BinaryIO) -> Iterator[Block | ArrowBlock]:
        """Yield the rows of one file, and report what is odd about it."""
        sources = (self.updated_column, self._created_column or "")
        reader = ExportReader(
            file,
            self._selected_columns,
            keys=self.primary_keys,
            attributes=self._attributes if METADATA in self._fields else None,
            first_of={MODIFIED_AT.name: sources} if self._tracks_updates else {},
        )
        self._check_header(reader)
        self._check_attributes(reader)
        if self._writes_parquet:
            yield from self._arrow_reader(reader)
        else:
            yield from reader
        if reader.misfits:
            self.logger.warning(
                "Values that do not fit their metadata schema stay text: %s",
                ", ".join(f"{count} of {name!r}" for name, count in reader.misfits.items()),
            )

    @staticmethod
    def _arrow_reader(reader: ExportReader) -> ArrowReader:
        try:
            from tap_voucherify.files.arrow import ArrowReader  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SettingsError(
                "batch_config: parquet files need the extra tap-voucherify[parquet]"
            ) from error
        return ArrowReader(reader)

    def _check_header(self, reader: ExportReader) -> None:
        for column, title in reader.binding.trusted:
            self.session.warn_once(
                self.name,
                f"the column asked for as {column.api_field!r} is titled {title!r}; it is "
                "trusted by its position. Please report these two names",
            )
        for column in reader.missing:
            if column.name in self._always_selected:
                raise ExportFileError(f"the header lacks {column.api_field!r}")
            self.session.warn_once(
                self.name, f"the exported file lacks {column.api_field!r}: it stays empty"
            )

    def _check_attributes(self, reader: ExportReader) -> None:
        """Tell of attributes that flattening makes columns of which no SCHEMA declares."""
        schemas = self._attribute_schemas
        if not schemas or not self.config.get("flattening_enabled"):
            return
        undeclared = [name for name, _ in reader.binding.metadata if name not in schemas]
        if undeclared and self.config["flattening_max_depth"]:
            self.session.warn_once(
                self.name,
                f"most loaders drop the attributes {', '.join(map(repr, undeclared))}, which the "
                "flattened SCHEMA lacks: define them in Voucherify, then refresh the catalog",
            )

    @property
    def _writes_parquet(self) -> bool:
        return wants_parquet(self.get_batch_config(self.config))

    @property
    def _created_column(self) -> str | None:
        return type(self).replication_key

    @property
    def _always_selected(self) -> list[str]:
        """The properties that are extracted whatever is selected."""
        names = [*self.primary_keys, self._created_column, self.replication_key]
        if self._tracks_updates:
            names.append(self.updated_column)
        return [name for name in dict.fromkeys(names) if name]

    @property
    def _extra_parameters(self) -> dict[str, t.Any]:
        parameters: dict[str, t.Any] = self.config.get("export_parameters", {}).get(self.name, {})
        return parameters

    @property
    def _attribute_schemas(self) -> dict[str, t.Any]:
        metadata = self.effective_schema["properties"].get(METADATA, {})
        schemas: dict[str, t.Any] = metadata.get("properties", {})
        return schemas

    @property
    def _attributes(self) -> Attributes:
        """What the catalog says of the custom attributes; parquet files have them as text."""
        schemas = {} if self._writes_parquet else self._attribute_schemas
        readers = {name: converter(schema) for name, schema in schemas.items()}
        return Attributes(
            {name: reader for name, reader in readers.items() if reader},
            lambda name: self.mask["properties", METADATA, "properties", name],
        )

    @property
    def _may_activate_version(self) -> bool:
        """Whether loaders may delete what a run does not emit: it emits all there is."""
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
                "loaders keep the rows that Voucherify no longer has",
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
    def _selected_columns(self) -> tuple[Column, ...]:
        """The columns to ask for, in order.

        The last is a key column of known title: a header that is shifted anywhere shows
        there, and no custom attribute can be taken for a standard column.
        """
        chosen = [
            column
            for column in self.columns
            if column.name in self._always_selected or self._is_selected(column.name)
        ]
        anchors = [column for column in chosen if column.title and column.name in self.primary_keys]
        # sorted is stable: everything but the anchor keeps its order.
        return tuple(sorted(chosen, key=lambda column: column in anchors[:1]))

    @functools.cached_property
    def _fields(self) -> tuple[str, ...]:
        """The API's names of what to ask for; the custom attributes come last."""
        fields = [column.api_field for column in self._selected_columns]
        if self.has_metadata and self._is_selected(METADATA):
            fields.append(METADATA)
        return tuple(fields)

    def _is_selected(self, name: str) -> bool:
        in_catalog = name in self.effective_schema.get("properties", {})
        return in_catalog and self.mask["properties", name]
