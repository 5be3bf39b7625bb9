"""Messages reach standard output whole, whatever that takes at once."""

from __future__ import annotations

import os
import select
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib.encoding.simple import RecordMessage, SchemaMessage, StateMessage

from tap_voucherify.singer.writer import PIECE_BYTES, MessageWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


@contextmanager
def output_to_pipe() -> Iterator[int]:
    """Let standard output be a pipe that never blocks, and return the end to read from."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    with os.fdopen(reader), os.fdopen(writer, "w") as output, redirect_stdout(output):
        yield reader


def read_all(pipe: int) -> bytes:
    """Return what is in a pipe at present."""
    try:
        return os.read(pipe, 1 << 24)
    except BlockingIOError:
        return b""


def test_a_full_output_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a write would block, the writer waits for room and goes on with the rest."""
    received: list[bytes] = []
    lines = b"".join(b'{"number":%d}\n' % number for number in range(50_000))
    with output_to_pipe() as pipe:

        def make_room(_readers: Any, writers: Any, _others: Any) -> None:
            (waited_for,) = writers
            assert waited_for.fileno() == sys.stdout.fileno()
            received.append(read_all(pipe))

        monkeypatch.setattr(select, "select", make_room)
        writer = MessageWriter()
        writer.write_records(lines)
        received.append(read_all(pipe))

    assert len(received) > len(lines) // (1 << 20) + 1
    assert b"".join(received) == lines
    assert writer.progress >= len(lines) // PIECE_BYTES


def test_only_records_wait() -> None:
    """The first record and every other message reach the reader at once."""
    writer = MessageWriter()
    counts = []
    with output_to_pipe() as pipe:
        for message in (
            RecordMessage("orders", {"id": 1}),
            RecordMessage("orders", {"id": 2}),
            RecordMessage("orders", {"id": 3}),
            StateMessage({}),
            RecordMessage("orders", {"id": 4}),
            SchemaMessage("orders", {"properties": {}}),
        ):
            writer.write_message(message)
            counts.append(read_all(pipe).count(b"\n"))

    assert counts == [1, 0, 0, 3, 0, 2]
