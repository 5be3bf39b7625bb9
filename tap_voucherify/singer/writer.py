"""Write messages in large chunks; encode RECORD messages per block.

The SDK flushes standard output once per message. Here a block of records is written directly, and
single records are buffered until they fill a chunk or another message follows.
"""

from __future__ import annotations

import os
import select
import sys
import typing as t

import msgspec
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib.encoding.simple import RecordMessage
from typing_extensions import override

from tap_voucherify.errors import OutputError

if t.TYPE_CHECKING:
    from datetime import datetime

    from singer_sdk.singerlib.encoding.simple import Message

    from tap_voucherify.files.reader import RecordBlock

# Write in chunks of this size.
CHUNK_BYTES = 1 << 16

_ENCODER = msgspec.json.Encoder()


# Placeholder for the record in an encoded message; JSON escapes it in text.
_RECORD = b"\0"


class _RecordMessage(msgspec.Struct, tag_field="type", tag="RECORD", omit_defaults=True, gc=False):
    """Encodes like the SDK's `RecordMessage`."""

    stream: str
    record: msgspec.Raw
    version: int | None = None
    time_extracted: datetime | None = None


class MessageWriter(MsgSpecWriter):
    """Writes messages to standard output in large chunks.

    Attributes:
        progress: Number of successful writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress = 0
        self._pending = bytearray()
        self._has_written_record = False

    @override
    def write_message(self, message: Message) -> None:
        """Write one message; everything except RECORD is flushed at once."""
        self._pending += self.format_message(message)
        is_record = isinstance(message, RecordMessage)
        # Connection tests wait for the first record.
        if not (is_record and self._has_written_record) or len(self._pending) >= CHUNK_BYTES:
            self.flush()
        self._has_written_record |= is_record

    def write_records(
        self, stream: str, block: RecordBlock, version: int | None, time_extracted: datetime
    ) -> None:
        """Write RECORD messages."""
        message = _RecordMessage(stream, msgspec.Raw(_RECORD), version, time_extracted)
        self.flush()
        self._write(block.json_lines(*_ENCODER.encode(message).split(_RECORD)))

    def flush(self) -> None:
        """Write the buffered messages.

        Raises:
            OutputError: If standard output is closed or cannot be written, usually because the
                reader has exited.
        """
        self._write(self._pending)
        self._pending.clear()

    def _write(self, content: bytes | bytearray | memoryview) -> None:
        if sys.stdout is None:
            raise OutputError("standard output is closed; connect it to a loader, or a file")
        # CPython's own buffer loses bytes when a signal interrupts a large write, so bypass it.
        target = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
        with memoryview(content) as rest:
            done = 0
            while done < len(rest):
                try:
                    written = target.write(rest[done : done + CHUNK_BYTES])
                except OSError as error:
                    raise _output_error(error) from error
                if written is None:
                    # Standard output is non-blocking and full.
                    select.select((), (target,), ())
                    continue
                done += written
                self.progress += 1


def _output_error(error: OSError) -> OutputError:
    # Otherwise the interpreter's final flush fails again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return OutputError("the loader closed its input (broken pipe); see the loader's log")
    return OutputError(f"cannot write to standard output: {error.strerror}")
