"""A stream that emits records in blocks.

The SDK spends most of its time conforming each record to the schema and applying the selection.
Here records arrive in final form and are encoded per block.
"""

from __future__ import annotations

import abc
import datetime as dt
import fnmatch
import logging
import typing as t

from singer_sdk import Stream
from singer_sdk.exceptions import MapExpressionError
from singer_sdk.mapper import (
    MAPPER_ALIAS_OPTION,
    MAPPER_FILTER_OPTION,
    MAPPER_SOURCE_OPTION,
    RemoveRecordTransform,
)
from singer_sdk.singerlib.encoding.simple import ActivateVersionMessage
from singer_sdk.singerlib.encoding.simple import RecordMessage as MappedRecord
from typing_extensions import override

from tap_voucherify.errors import SettingsError
from tap_voucherify.instants import EPOCH
from tap_voucherify.singer.batches import write_batches

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from singer_sdk import Tap
    from singer_sdk.helpers import types
    from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig

    from tap_voucherify.clock import Clock
    from tap_voucherify.files.arrow import ArrowBlock
    from tap_voucherify.files.reader import Record, RecordBlock
    from tap_voucherify.singer.writer import MessageWriter

    AnyBlock: TypeAlias = RecordBlock | ArrowBlock


class BlockStream(Stream, abc.ABC):
    """A stream that emits records in blocks, complete and in final form.

    Attributes:
        records_emitted: Number of records in this run.
    """

    def __init__(self, tap: Tap, clock: Clock) -> None:
        """Start without records.

        Args:
            tap: The tap.
            clock: Provides the time of extraction.
        """
        super().__init__(tap)
        self.records_emitted = 0
        self._clock = clock
        self._version: int | None = None

    @abc.abstractmethod
    def blocks(self) -> Iterator[AnyBlock | None]:
        """Yield the records in blocks; Arrow blocks are for batch files only.

        When the next block is requested, the last one has been written, and the stream's state
        may cover it. None requests a STATE.
        """

    @override
    def get_records(self, context: types.Context | None) -> Iterator[Record]:
        """Yield the records one by one, for callers other than `sync`."""
        for block in self.blocks():
            if block:
                yield from t.cast("RecordBlock", block).records()

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """False, since the SDK would write the message before the records."""
        return False

    @override
    def log(self, message: str, *args: t.Any, level: int = logging.INFO, **kwargs: t.Any) -> None:
        """Log a message, but leave errors to the command line, which reports each once."""
        if level < logging.ERROR:
            super().log(message, *args, level=level, **kwargs)

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: types.Context | None = None
    ) -> Iterator[tuple[BaseBatchFileEncoding, list[str]]]:
        """Write all records to batch files and yield their manifests.

        Raises:
            SettingsError: If stream maps or flattening would change the records.
        """
        if self.has_transformations:
            raise SettingsError(
                "batch_config: must not be set together with flattening, or with stream_maps "
                f"other than {MAPPER_ALIAS_OPTION}, which batch files would bypass"
            )
        with self.get_record_counter() as counter, self.get_sync_timer():

            def counted() -> Iterator[AnyBlock | None]:
                for block in self.blocks():
                    counter.increment(len(block or ()))
                    self.records_emitted += len(block or ())
                    yield block

            for manifest in write_batches(self.name, batch_config, counted()):
                yield batch_config.encoding, manifest

    @override
    def _sync_records(
        self, context: types.Context | None = None, *, write_messages: bool = True
    ) -> t.Generator[Record, t.Any, t.Any]:
        """Emit the records of all blocks; unlike the SDK's, it yields none of them."""
        yield from ()
        last_state_at = 0
        with self.get_record_counter() as counter, self.get_sync_timer():
            for block in self.blocks():
                if not block or self.records_emitted - last_state_at >= self.STATE_MSG_FREQUENCY:
                    self._tap.state_writer.write_state(self.tap_state)
                    last_state_at = self.records_emitted
                if not block:
                    continue
                if self.ABORT_AT_RECORD_COUNT is not None:
                    self._check_max_record_limit(self.records_emitted)
                    remaining = self.ABORT_AT_RECORD_COUNT - self.records_emitted
                    block = block.slice(0, remaining)  # noqa: PLW2901 - the part to emit
                self._write_block(t.cast("RecordBlock", block))
                counter.increment(len(block))
                self.records_emitted += len(block)

    def begin_version(self) -> None:
        """Begin a new version of the table (Unix milliseconds) with the records that follow."""
        self._version = self._tap.initialized_at

    def activate_version(self) -> None:
        """Report that the version is complete: loaders may delete older records."""
        for stream_map in self.stream_maps:
            if not isinstance(stream_map, RemoveRecordTransform):
                self._tap.write_message(
                    ActivateVersionMessage(stream_map.stream_alias, t.cast("int", self._version))
                )

    @property
    def has_transformations(self) -> bool:
        """Whether stream maps or flattening change, duplicate or drop records."""
        first, *others = self.stream_maps
        return (
            bool(others)
            or isinstance(first, RemoveRecordTransform)
            or first.flattening_enabled
            or any(options.keys() - {MAPPER_ALIAS_OPTION} for options in self._map_options)
        )

    @property
    def is_filtered(self) -> bool:
        """Whether a stream map drops records of this stream."""
        return any(MAPPER_FILTER_OPTION in options for options in self._map_options)

    @property
    def _map_options(self) -> Iterator[dict[str, t.Any]]:
        """The options of each stream map of this stream, except those that remove it."""
        for name, options in self.config.get("stream_maps", {}).items():
            if isinstance(options, dict) and fnmatch.fnmatch(
                self.name, options.get(MAPPER_SOURCE_OPTION, name)
            ):
                yield options

    @property
    def now(self) -> dt.datetime:
        """The current time, by this stream's clock."""
        return EPOCH + dt.timedelta(seconds=self._clock.now())

    def _write_block(self, block: RecordBlock) -> None:
        """Write RECORD messages.

        Raises:
            SettingsError: If an expression of a stream map fails.
        """
        if self.has_transformations:
            for record in block.records():
                self._write_transformed(record)
            return
        writer = t.cast("MessageWriter", self._tap.message_writer)
        alias = self.stream_maps[0].stream_alias
        writer.write_records(alias, block, self._version, self.now)

    def _write_transformed(self, record: Record) -> None:
        for stream_map in self.stream_maps:
            try:
                transformed = stream_map.transform(record)
            except (
                MapExpressionError,
                ArithmeticError,
                AttributeError,
                LookupError,
                TypeError,
                ValueError,
            ) as error:
                # The message may quote the record, or the expression, which may contain a salt.
                reason = error.__cause__ if isinstance(error, MapExpressionError) else error
                raise SettingsError(
                    f"stream_maps.{self.name}: an expression fails with {type(reason).__name__}"
                ) from error
            if transformed is not None:
                self._tap.write_message(
                    MappedRecord(
                        stream=stream_map.stream_alias,
                        record=transformed,
                        version=self._version,
                        time_extracted=self.now,
                    )
                )
