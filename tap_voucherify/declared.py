"""`DeclaredStream`: schema, catalog and selection, derived from declared columns."""

from __future__ import annotations

import abc
import functools
import typing as t
from types import MappingProxyType

from singer_sdk.exceptions import SingerSDKError, SyncLifecycleSignal
from singer_sdk.singerlib import Schema
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, Metadata
from typing_extensions import override

from tap_voucherify.columns import METADATA, MODIFIED_AT, Column, metadata_schema
from tap_voucherify.errors import AccountError, Interruption, OutputError, SettingsError
from tap_voucherify.singer.batches import wants_parquet
from tap_voucherify.singer.block_stream import BlockStream

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.singerlib import Catalog

    from tap_voucherify.session import Session
    from tap_voucherify.singer.block_stream import AnyBlock


class DeclaredStream(BlockStream):
    """A stream whose schema, catalog and requested fields derive from its declaration.

    Attributes:
        name: Stream name.
        exported_object: Voucherify's object name; empty if the objects are not exported.
        columns: Fields of the object, in schema order.
        primary_keys: Names of the key properties.
        replication_key: Column of the creation time; None if exports have no date filter. With
            `track_updates`, an instance of a stream that supports it has `modified_at`.
        updated_column: Column of the update time, if exports can be filtered by it.
        has_metadata: Whether metadata can be exported.
        digests: Key properties that the tap adds, and the columns each is a digest of.
        selected_by_default: Whether a new catalog selects the stream.
        tracks_updates: Whether updated records are extracted again (`track_updates`).

    Args:
        tap: The tap, for the SDK.
        session: What all streams of the run share.
    """

    name: str
    exported_object: t.ClassVar[str] = ""
    columns: t.ClassVar[tuple[Column, ...]]
    primary_keys: Sequence[str] = ()
    replication_key: str | None = None
    updated_column: t.ClassVar[str] = ""
    has_metadata: t.ClassVar[bool] = True
    digests: t.ClassVar[Mapping[str, Sequence[str]]] = MappingProxyType({})

    def __init__(self, tap: Tap, session: Session) -> None:
        self.session = session
        super().__init__(tap, session.clock)
        self.tracks_updates = bool(self.updated_column and self.config.get("track_updates"))
        if self.tracks_updates:
            self.replication_key = MODIFIED_AT.name

    @functools.cached_property
    @override
    def schema(self) -> dict[str, t.Any]:
        """The JSON schema of the records."""
        properties: dict[str, t.Any] = {
            name: {"type": ["string"], "description": f"Digest of {', '.join(sources)} (added)."}
            for name, sources in self.digests.items()
        }
        properties |= {
            column.name: column.schema(
                nullable=column.name not in self.primary_keys, as_text=self.writes_parquet
            )
            for column in self.all_columns
        }
        if self.has_metadata:
            properties[METADATA] = metadata_schema(
                self.session.metadata_schemas(self.exported_object)
            )
        return {"type": "object", "properties": properties}

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Apply a catalog's selection and types; the keys stay the stream's own.

        Raises:
            SettingsError: If it sets another replication key.
        """
        keys, replication_key = self.primary_keys, self.replication_key
        if entry := catalog.get_stream(self.name):
            wanted = entry.replication_key or entry.metadata.root.replication_key
            if wanted not in {None, replication_key, self.created_column}:
                raise SettingsError(
                    f"catalog: stream '{self.name}' cannot have a replication key other than "
                    f"{replication_key or 'none'}; to extract updated records, set track_updates"
                )
            entry.key_properties = keys
            entry.schema.properties = entry.schema.properties or {}
            if self.writes_parquet:
                # Parquet holds JSON as text, whatever a catalog for records declares.
                for name in entry.schema.properties.keys() & self.json_columns:
                    declared = Schema.from_dict(self.schema["properties"][name])
                    entry.schema.properties[name] = declared
            for name in self.always_selected:
                entry.schema.properties.setdefault(
                    name, Schema.from_dict(self.schema["properties"][name])
                )
                entry.metadata["properties", name] = Metadata(
                    inclusion=Metadata.InclusionType.AUTOMATIC
                )
        super().apply_catalog(catalog)
        self.primary_keys, self.replication_key = keys, replication_key

    @abc.abstractmethod
    def read(self) -> Generator[AnyBlock | None, None, bool]:
        """Yield the records in blocks; see `blocks`.

        Returns:
            Whether these are all records of the table; for full-table streams.
        """

    @override
    def blocks(self) -> Iterator[AnyBlock | None]:
        """Yield all records; a failure ends this stream only."""
        activates_version = self.may_activate_version
        if activates_version:
            self.begin_version()
        try:
            is_complete = yield from self.read()
        except (AccountError, OutputError, SettingsError, Interruption, SyncLifecycleSignal):
            raise
        except SingerSDKError as error:
            self.session.fail_stream(self.name, error)
            return
        if activates_version and is_complete and self.records_emitted:
            self.activate_version()
        elif activates_version and is_complete:
            self.warn(
                "no ACTIVATE_VERSION is emitted, since there are no records: the table "
                "keeps the rows it has"
            )

    @property
    def all_columns(self) -> Sequence[Column]:
        """The declared columns, and those that the tap adds."""
        return [*self.columns, *([MODIFIED_AT] if self.tracks_updates else [])]

    @property
    def writes_parquet(self) -> bool:
        """Whether batch files are Parquet."""
        return wants_parquet(self.get_batch_config(self.config))

    @property
    def flattened_depth(self) -> int:
        """How many levels of objects become columns of the SCHEMA message."""
        return self.config["flattening_max_depth"] if self.config.get("flattening_enabled") else 0

    @property
    def json_columns(self) -> set[str]:
        """Names of the columns that hold JSON."""
        return {column.name for column in self.all_columns if column.type.is_json}

    @property
    def created_column(self) -> str | None:
        """The column of the creation time, if exports can be filtered by it."""
        return type(self).replication_key

    @property
    def always_selected(self) -> list[str]:
        """Properties that are always selected."""
        names = [*self.primary_keys, self.created_column, self.replication_key]
        if self.tracks_updates:
            names.append(self.updated_column)
        return [name for name in dict.fromkeys(names) if name]

    @property
    def extra_parameters(self) -> dict[str, t.Any]:
        """Parameters that the settings add to exports."""
        parameters: dict[str, t.Any] = self.config.get("export_parameters", {}).get(self.name, {})
        return parameters

    @property
    def may_activate_version(self) -> bool:
        """Whether this run emits the whole table, so that loaders may delete other rows."""
        if (
            not self.config.get("emit_activate_version_messages")
            or self.replication_method != REPLICATION_FULL_TABLE
        ):
            return False
        obstacles = ["batch_config"] if self.get_batch_config(self.config) else []
        if self.extra_parameters:
            obstacles.append("export_parameters")
        if self.is_filtered:
            obstacles.append("stream_maps.__filter__")
        if self.created_column:
            obstacles += [name for name in ("start_date", "end_date") if self.config.get(name)]
        if obstacles:
            self.warn(
                f"no ACTIVATE_VERSION is emitted, since {' and '.join(obstacles)} is set: "
                "loaders keep the rows that no longer exist in Voucherify"
            )
        return not obstacles

    def warn(self, message: str) -> None:
        """Log a warning about the stream, once per run."""
        self.session.warn_once(self.name, message)
