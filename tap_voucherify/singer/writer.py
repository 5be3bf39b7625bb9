"""RECORD lines in bulk: the one place that knows how singer-sdk writes messages.

The SDK flushes standard output once per message, conforms every record against its
schema and walks the selection of its properties, which is most of its time. Here the
records come as they are to be emitted, so they are encoded block by block, written in
large pieces, and flushed at the first record, at any other message and at the end.

Of the SDK's private parts this module uses, all of `Stream`: `_sync_records`,
`_write_record_message`, `_write_activate_version_message`, `_check_max_record_limit`,
`_stream_version` and `_tap`.
"""

from __future__ import annotations

import abc
import os
import select
import sys
import typing as t

import msgspec
from singer_sdk import Stream
from singer_sdk.contrib.msgspec import MsgSpecWriter, enc_hook
from singer_sdk.exceptions import MapExpressionError
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.encoding.simple import RecordMessage

from tap_voucherify.errors import OutputError, SettingsError

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from singer_sdk.helpers import types
    from singer_sdk.singerlib.encoding.simple import Message

    from tap_voucherify.files.arrow import ArrowBlock
    from tap_voucherify.files.reader import Block, Record
    from tap_voucherify.tap import TapVoucherify

# Output is handed on in pieces of this size.
PIECE_BYTES = 1 << 16

_ENCODER = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")


class _RecordMessage(msgspec.Struct, tag_field="type", tag="RECORD", omit_defaults=True, gc=False):
    """What is written for the SDK's message of this name, in the same order."""

    stream: str
    record: msgspec.Struct
    version: int | None = None
    time_extracted: datetime | None = None


class MessageWriter(MsgSpecWriter):
    """Writes messages to standard output in large pieces.

    Attributes:
        progress: Grows whenever standard output takes something.
    """

    def __init__(self) -> None:
        """Start with nothing written."""
        super().__init__()
        self.progress = 0
        self._pending = bytearray()
        self._has_written_record = False

    def write_message(self, message: Message) -> None:
        """Write one message; all but a RECORD reaches the reader at once."""
        self._pending += self.format_message(message)
        if isinstance(message, RecordMessage):
            self._note_record()
        else:
            self.flush()

    def write_records(self, lines: bytes) -> None:
        """Write RECORD messages, given as lines of JSON."""
        self._pending += lines
        self._note_record()

    def flush(self) -> None:
        """Bring everything written so far to the reader.

        Raises:
            OutputError: If it cannot be written, most often since its reader is gone.
        """
        # CPython's own buffer loses bytes when a signal interrupts a large write, so it
        # is passed by.
        target = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
        with memoryview(self._pending) as pending:
            written = 0
            while written < len(pending):
                try:
                    taken = target.write(pending[written : written + PIECE_BYTES])
                except OSError as error:
                    raise _output_error(error) from error
                if taken is None:
                    # Standard output does not block, and is full for the moment.
                    select.select((), (target,), ())
                    continue
                written += taken
                self.progress += 1
        self._pending.clear()

    def _note_record(self) -> None:
        # A connection test waits for the first one.
        if not self._has_written_record or len(self._pending) >= PIECE_BYTES:
            self._has_written_record = True
            self.flush()


def _output_error(error: OSError) -> OutputError:
    # The interpreter writes once more at its end, and would complain again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return OutputError("the reader of this tap's output is gone; see the loader's log")
    return OutputError(f"standard output cannot be written: {error.strerror}")


class BlockStream(Stream, abc.ABC):
    """A stream whose records come in blocks, complete and ready to be emitted."""

    _tap: TapVoucherify

    @abc.abstractmethod
    def blocks(self) -> Iterator[Block | ArrowBlock | None]:
        """Yield the records in blocks; those of a table are for batch files only.

        Asking for the next block says that the last one is written, so the stream's
        state may cover it. None asks for a STATE.
        """

    def get_records(
        self,
        context: types.Context | None,  # noqa: ARG002 - there are no partitions
    ) -> Iterator[Record]:
        """Yield the records one by one: the SDK has every stream define this."""
        for block in self.blocks():
            if block:
                yield from t.cast("Block", block).records()

    def begin_version(self) -> None:
        """Mark the records that follow as a new version of the whole table."""
        self._stream_version = self._tap.initialized_at // 1000

    def activate_version(self) -> None:
        """Tell that the new version is complete: loaders may delete older records."""
        self._write_activate_version_message(t.cast("int", self._stream_version))

    def write_block(self, block: Block) -> None:
        """Write RECORD messages, by the SDK's own path if it would transform them.

        Raises:
            SettingsError: If an expression of a stream map fails.
        """
        if self.has_transformations:
            for record in block.records():
                self._write_mapped(record)
            return
        now = self._tap.now
        messages = [
            _RecordMessage(self.name, record, self._stream_version, now)
            for record in block.encodable()
        ]
        self._tap.message_writer.write_records(_ENCODER.encode_lines(messages))

    def _write_mapped(self, record: Record) -> None:
        try:
            self._write_record_message(record)
        except (
            MapExpressionError,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            # Its text may quote the record, or the expression, which may hold a salt.
            reason = error.__cause__ if isinstance(error, MapExpressionError) else error
            raise SettingsError(
                f"stream_maps.{self.name}: an expression fails with {type(reason).__name__}"
            ) from error

    @property
    def has_transformations(self) -> bool:
        """Whether the settings ask the SDK to change records, or to leave some out."""
        first, *others = self.stream_maps
        return bool(others) or type(first) is not SameRecordTransform or first.flattening_enabled

    def _sync_records(
        self,
        context: types.Context | None = None,  # noqa: ARG002 - there are no partitions
        *,
        write_messages: bool = True,  # noqa: ARG002 - batches do not come this way
    ) -> t.Generator[Record, t.Any, t.Any]:
        """Emit the records of all blocks; unlike the SDK's, it yields none of them."""
        yield from ()
        emitted = told = 0
        with self.get_record_counter() as counter, self.get_sync_timer():
            for block in self.blocks():
                if not block or emitted - told >= self.STATE_MSG_FREQUENCY:
                    self._tap.state_writer.write_state(self.tap_state)
                    told = emitted
                if not block:
                    continue
                if self.ABORT_AT_RECORD_COUNT is not None:
                    self._check_max_record_limit(emitted)
                    room = self.ABORT_AT_RECORD_COUNT - emitted
                    block = block.slice(0, room)  # noqa: PLW2901 - the part to emit
                self.write_block(t.cast("Block", block))
                counter.increment(len(block))
                emitted += len(block)
