"""Messages reach standard output complete, however little it accepts at once."""

from __future__ import annotations

import json
import os
import select
import sys
from contextlib import contextmanager, redirect_stdout
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.singerlib.encoding.simple import RecordMessage, SchemaMessage, StateMessage

from tap_voucherify.files.objects import ObjectBlock
from tap_voucherify.singer.writer import CHUNK_BYTES, MessageWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="cannot wait for a pipe")


@contextmanager
def output_to_pipe() -> Iterator[int]:
    """Redirect standard output to a non-blocking pipe, and return the end to read from."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    with os.fdopen(reader), os.fdopen(writer, "w") as output, redirect_stdout(output):
        yield reader


def read_all(pipe: int) -> bytes:
    """Return what is in a pipe now."""
    try:
        return os.read(pipe, 1 << 24)
    except BlockingIOError:
        return b""


def test_a_full_output_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a write would block, the writer waits and then continues with the rest."""
    received: list[bytes] = []
    extracted = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with output_to_pipe() as pipe:

        def drain(_readers: Any, writers: Any, _others: Any) -> None:
            (waited_for,) = writers
            assert waited_for.fileno() == sys.stdout.fileno()
            received.append(read_all(pipe))

        monkeypatch.setattr(select, "select", drain)
        writer = MessageWriter()
        writer.write_records(
            "rows", ObjectBlock([{"number": number} for number in range(20_000)]), None, extracted
        )
        received.append(read_all(pipe))

    output = b"".join(received)
    assert len(received) > len(output) // (1 << 20) + 1
    assert [json.loads(line)["record"]["number"] for line in output.splitlines()] == list(
        range(20_000)
    )
    assert writer.progress >= len(output) // CHUNK_BYTES


def test_only_records_are_buffered() -> None:
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
