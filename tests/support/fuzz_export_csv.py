"""A fuzz target for the reader of exported files and the binding of their headers.

`python -m tests.support.fuzz_export_csv 60` tries random files for a minute, with a new seed each
time; a failure shows the seed and the file. `test_one_input` is what libFuzzer's drivers look for.
"""

from __future__ import annotations

import csv
import io
import json
import random
import secrets
import sys
import time

from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.fields import MetadataOptions
from tap_voucherify.files.reader import ExportReader
from tap_voucherify.streams import STREAMS

_TITLES = sorted(
    {title for stream in STREAMS for column in stream.columns for title in (column.title,) if title}
    | {column.api_field for stream in STREAMS for column in stream.columns}
)
_CELLS = (
    *("", "0", "-1", "2000.00", "1e5", "nan", "inf", "1_000", "0x10", "\u0661", "--1", "1e999999"),
    *("true", "FALSE", "2025-03-01", "2025-03-01T10:20:30Z", "2025-03-01T10:20:30.123Z"),
    *("2024-02-29T00:00:00.000Z", "2025-02-29T00:00:00.000Z", "0000-01-01", "9999-12-31T23:59:59Z"),
    *('{"a": 1}', "[1]", '{"a": NaN}', "null", "a,b", 'a"b', "a\nb", "a\r\nb", "\ufeff", "\u2028"),
    *("e\u0301", "\ud7ff", "\U0010ffff", " ", "=1+1", "x" * 200_000, "metadata.a"),
)
_BYTES = (b"\xff", b"\xef\xbb\xbf", b'"', b",", b"\n", b"\r", b"\r\n", b"\0", b"\xed\xa0\x80", b";")


def test_one_input(content: bytes) -> int:
    """Read a file, whose first byte chooses the stream, and return how many rows were right.

    Raises:
        AssertionError: If the reader does what it never may.
    """
    stream, file = STREAMS[content[0] % len(STREAMS) if content else 0], content[1:]
    columns = list(stream.columns)
    # As in `ExportStream`: a key column of known title comes last.
    anchors = [c for c in columns if c.title and c.name in stream.primary_keys][:1]
    columns = [c for c in columns if c not in anchors] + anchors
    count = 0
    try:
        reader = ExportReader(
            io.BytesIO(file),
            columns,
            keys=stream.primary_keys,
            metadata=MetadataOptions() if stream.has_metadata else None,
        )
        rows = iter(_plain_rows(file))
        header = next(rows)
        for block in reader:
            records = block.records()
            lines = block.json_lines().decode().split("\n")[:-1]
            for record, line in zip(records, lines, strict=True):
                row = next(rows)
                assert len(row) == len(header)
                plain = json.loads(line, parse_constant=_refuse)
                assert list(plain) == list(record)
                for column, position in zip(columns, reader.binding.positions, strict=True):
                    _check_cell(row[position] if position is not None else "", plain[column.name])
                attributes = {name: row[position] for name, position in reader.binding.metadata}
                if stream.has_metadata:
                    assert plain["metadata"] == {k: v for k, v in attributes.items() if v}
                count += 1
        assert next(rows, None) is None
    except ExportFileError as error:
        told = str(error)
        assert told.isprintable()
        assert len(told) < 20_000
    return count


def _refuse(constant: str) -> None:
    raise AssertionError(constant)


def _plain_rows(file: bytes) -> list[list[str]]:
    """Return the rows by Python's own reader, up to the first that is broken."""
    rows: list[list[str]] = []
    csv.field_size_limit(sys.maxsize)
    text = file.decode("utf-8-sig", errors="replace")
    try:
        rows.extend(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        rows.append([])
    return rows


def _check_cell(cell: str, value: object) -> None:
    """Check that a value is the one that its cell tells, whatever its type."""
    if cell == "":
        assert value in {None, ""}
    elif isinstance(value, bool):
        assert cell.lower() == str(value).lower()
    elif isinstance(value, (int, float)):
        assert float(cell) == value
        assert set(cell) <= set("-0123456789.eE+")
    elif isinstance(value, dict):
        assert json.loads(cell) == value
    else:
        assert isinstance(value, str)
        assert value == cell or value[:10] == cell[:10]


def random_input(randomness: random.Random) -> bytes:
    """Return a file that is nearly right."""
    number = randomness.randrange(len(STREAMS))
    stream = STREAMS[number]
    columns = list(stream.columns)
    anchors = [c for c in columns if c.title and c.name in stream.primary_keys][:1]
    columns = [c for c in columns if c not in anchors] + anchors
    titles = [column.title or column.api_field for column in columns]
    titles += randomness.sample(
        ["a", "metadata.a", "b\nc", "ID", "", "Ünïcode"], k=randomness.choice((0, 0, 2))
    )
    while randomness.random() < 0.2:
        titles[randomness.randrange(len(titles))] = randomness.choice((*_TITLES, "", "Who knows"))
    if randomness.random() < 0.1:
        randomness.shuffle(titles)
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=randomness.choice(("\n", "\r\n")))
    writer.writerow(titles)
    for _ in range(randomness.randrange(4)):
        row = [randomness.choice(_CELLS) if randomness.random() < 0.1 else "" for _ in titles]
        for position, column in enumerate(columns):
            if column.name in stream.primary_keys or column.name == stream.replication_key:
                row[position] = "2025-03-01T10:20:30.123Z"
        writer.writerow(row[: -1 if randomness.random() < 0.02 else None])
    content = bytearray(file.getvalue().encode("utf-8", errors="replace"))
    while randomness.random() < 0.2:
        position = randomness.randrange(len(content) + 1)
        content[position : position + randomness.randrange(2)] = randomness.choice(_BYTES)
    return bytes([number]) + bytes(content)


def main(seconds: float) -> None:
    """Try random files for some time."""
    seed = secrets.randbits(32)
    randomness, end, tried, right = random.Random(seed), time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        content = random_input(randomness)
        try:
            right += test_one_input(content)
        except BaseException:
            print(f"seed {seed}, file {tried}: {content!r}", file=sys.stderr)  # noqa: T201 - for a person
            raise
        tried += 1
    print(f"seed {seed}: {tried} files, {right} rows that were right")  # noqa: T201 - for a person


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 60)
