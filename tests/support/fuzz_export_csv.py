"""A fuzz target: all ways to read a file must agree on random files.

`python -m tests.support.fuzz_export_csv 60` tries random files for a minute, with a new seed each
time; a failure shows the seed and the file. libFuzzer's drivers call `test_one_input`.
"""

from __future__ import annotations

import csv
import io
import json
import random
import secrets
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dev.sandbox.nul import write_rows
from tap_voucherify.columns import METADATA
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.arrow import ArrowBlock
from tap_voucherify.files.exported import FileReader
from tap_voucherify.streams import STREAMS
from tap_voucherify.surrogates import replace_lone_surrogates
from tests.support.csv_files import select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_voucherify.files.selection import Selection

Row = dict[str, Any]

_TITLES = sorted(
    {column.title for stream in STREAMS for column in stream.columns if column.title}
    | {column.api_field for stream in STREAMS for column in stream.columns}
)
_CELLS = (
    *(
        "",
        "0",
        "-1",
        "2000.00",
        "5.0",
        "1e5",
        "nan",
        "inf",
        "1_000",
        "0x10",
        "\u0661",
        "--1",
        "1e999999",
    ),
    *("1.0000000000", "0.0000000001", "1e28", "1e29", "-0", "9223372036854775808", "9" * 38),
    *("0e99999999999", "0." + "0" * 60, "true", "FALSE", "2025-03-01", "2025-03-01T10:20:30Z"),
    *("2025-03-01T10:20:30.123Z", "2024-02-29T00:00:00.000Z", "2025-02-29T00:00:00.000Z"),
    *("2025-03-01T10:20:30.123456+00:00", "2025-03-01 10:20:30+02", "2025-03-01T10:20:30.1-0030"),
    *("0000-01-01", "0001-01-01T00:00:00+01:00", "0001-01-01", "9999-12-31T23:59:59Z"),
    *('{"a": 1}', "[1]", '{"a": NaN}', r'{"a": "\ud83d"}', r'{"\udc00": "\ud83d\ude00"}', "null"),
    *("a,b", 'a"b', "a\nb", "a\r\nb", "\ufeff", "\u2028", "\0", "a\0b", 'say "hi"', "a\rb"),
    *("e\u0301", "\ud7ff", "\U0010ffff", " ", "=1+1", "x" * 200_000, "metadata.a", "Total: 4"),
)
_BYTES = (
    *(b"\xff", b"\xef\xbb\xbf", b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0"),
    *(b"\xed\xa0\x80", b";", b'"\r\n"', b"\n\n"),
)


def selection_of(number: int) -> Selection:
    """Return the selection of all columns of a stream."""
    stream = STREAMS[number % len(STREAMS)]
    return select(
        stream.columns,
        # Not the key of publications, whose columns may all be empty.
        keys=[name for name in stream.primary_keys if name == "id"],
        exported_object=stream.exported_object,
        has_metadata=stream.has_metadata,
    )


def test_one_input(content: bytes) -> str:
    """Read a file, whose first byte chooses the stream, and return the outcome.

    Raises:
        AssertionError: If the readers disagree or break a rule.
    """
    selection, file = selection_of(content[0] if content else 0), content[1:]
    records, error = _read(selection, file, as_tables=False)
    rows, table_error = _read(selection, file, as_tables=True)
    assert [_comparable(record) for record in records[: len(rows)]] == rows
    if "does not fit" in table_error:
        assert table_error.startswith(f"row {len(rows) + 1}, column ")
        return "beyond parquet"
    assert (len(records), error) == (len(rows), table_error)
    assert error.isprintable()
    assert len(error) < 20_000
    _check_order(selection, file, records, error)
    return error.partition(" ")[0] if error else "valid"


def _read(selection: Selection, file: bytes, *, as_tables: bool) -> tuple[list[Row], str]:
    """Return the rows of a file, and the error at its end, if any."""
    reader = FileReader(
        selection, as_tables=as_tables, is_flattened=False, warn=lambda _: None, ask=None
    )
    rows: list[Row] = []
    try:
        opened = reader.open(io.BytesIO(file))
        plain = iter(_plain_rows(file))
        header = next(plain)
        for block in opened:
            if isinstance(block, ArrowBlock):
                rows += [_from_table(row) for row in block.table.to_pylist()]
                continue
            records = block.records()
            lines = bytes(block.json_lines()).decode().split("\n")[:-1]
            for record, line in zip(records, lines, strict=True):
                row = next(plain)
                assert len(row) == len(header)
                plain_record = json.loads(line, parse_float=Decimal, parse_constant=_reject)
                assert plain_record == record
                positions = zip(selection.columns, opened.binding.positions, strict=True)
                for column, position in positions:
                    _check_cell(row[position or 0], record[column.name])
                metadata = {name: row[position] for name, position in opened.binding.metadata}
                if selection.has_metadata:
                    assert record[METADATA] == {k: v for k, v in metadata.items() if v}
            rows += records
        assert as_tables or not any(plain)
    except ExportFileError as error:
        return rows, str(error)
    return rows, ""


def _reject(constant: str) -> None:
    raise AssertionError(constant)


def _plain_rows(file: bytes) -> list[list[str]]:
    """Return the rows that Python's own reader sees, up to the first broken one."""
    rows: list[list[str]] = []
    # Python 3.10's reader rejects NUL.
    text = file.decode("utf-8-sig", errors="replace").replace("\0", "\udc00")
    try:
        rows.extend(csv.reader(io.StringIO(text, newline="\n"), strict=True))
    except csv.Error:
        rows.append([])
    return [[cell.replace("\udc00", "\0") for cell in row] for row in rows]


def _check_cell(cell: str, value: object) -> None:
    """Check that a value equals its cell, whatever its type."""
    if cell == "":
        assert value is None
    elif isinstance(value, bool):
        assert cell.lower() == str(value).lower()
    elif isinstance(value, (int, Decimal)):
        assert Decimal(cell) == value
        assert set(cell) <= set("-0123456789.eE+")
    elif isinstance(value, dict):
        assert json.loads(replace_lone_surrogates(cell)) == value
    else:
        assert isinstance(value, str)
        assert value == cell or value[:4] == cell[:4]


def _from_table(row: Row) -> Row:
    """Return a row of a table in comparable form."""
    return {
        name: _form(
            json.loads(value, parse_float=Decimal) if name == "details" and value else value
        )
        for name, value in row.items()
    }


def _comparable(record: Row) -> Row:
    """Return a record in the same form."""
    return {name: _form(value) for name, value in record.items()}


def _form(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: part for name, part in value.items() if part is not None} or None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def _check_order(selection: Selection, file: bytes, records: list[Row], error: str) -> None:
    """Check the reported order of the file against its records."""
    names = [column.name for column in selection.columns]
    if "created_at" not in names or not records:
        return
    reader = FileReader(
        selection, as_tables=False, is_flattened=False, warn=lambda _: None, ask=None
    )
    is_ascending = reader.open(io.BytesIO(file)).span("created_at").is_ascending
    greatest, in_order = datetime.min, True  # noqa: DTZ901 - all of them are UTC
    for text in filter(None, (record["created_at"] for record in records)):
        instant = datetime.fromisoformat(text.removesuffix("Z"))
        in_order = in_order and greatest - instant <= timedelta(seconds=1)
        greatest = max(greatest, instant)
    assert in_order or not is_ascending
    assert is_ascending or error or not in_order


def random_input(randomness: random.Random) -> bytes:
    """Return a file that is nearly valid."""
    number = randomness.randrange(len(STREAMS))
    columns = selection_of(number).columns
    titles = [column.title or column.api_field for column in columns]
    if STREAMS[number].has_metadata:
        titles += randomness.sample(
            ["a", "metadata.a", "b\nc", "ID", "", "Ünïcode", "n\0l"], k=randomness.choice((0, 0, 2))
        )
    while randomness.random() < 0.1:
        titles[randomness.randrange(len(titles))] = randomness.choice((*_TITLES, "", "Unknown"))
    if randomness.random() < 0.05:
        randomness.shuffle(titles)
    file = io.StringIO(newline="")
    line_end = randomness.choice(("\n", "\r\n"))
    count = randomness.choice((0, 1, 2, 3, 3, 3, 600)) if randomness.random() < 0.2 else 3
    rows = [_random_row(randomness, number, len(titles)) for _ in range(count)]
    write_rows(file, [titles, *rows], lineterminator=line_end)
    content = bytearray(file.getvalue().encode("utf-8", errors="replace"))
    while randomness.random() < 0.2:
        position = randomness.randrange(len(content) + 1)
        content[position : position + randomness.randrange(2)] = randomness.choice(_BYTES)
    footer = randomness.choice((b"Total: 4 rows", b"Total,%d" % count, b',,"Total"', b"v_1,,3"))
    full_footer = footer + b"," * (len(titles) - 1 - footer.count(b","))
    content += randomness.choice((b"", b"", b"", b"\n", b"\r\n\r\n", b'"', footer, full_footer))
    return bytes([number]) + bytes(content)


def _random_row(randomness: random.Random, number: int, width: int) -> list[str]:
    columns = selection_of(number).columns
    row = [randomness.choice(_CELLS) if randomness.random() < 0.04 else "" for _ in range(width)]
    for position, column in enumerate(columns):
        if column.name == "created_at" and randomness.random() < 0.9:
            row[position] = f"2025-03-01T10:20:{randomness.choice((30, 30, 31, 33))}.123Z"
        elif column.name == "id" and randomness.random() < 0.98:
            row[position] = randomness.choice(("v_1", "1", "a,b"))
    return row[: -1 if randomness.random() < 0.01 else None]


def try_files(seed: int, *, count: int = sys.maxsize, seconds: float = 1e9) -> Mapping[str, int]:
    """Try random files and return how often each outcome occurred."""
    randomness, end = random.Random(seed), time.monotonic() + seconds
    endings: Counter[str] = Counter()
    while endings.total() < count and time.monotonic() < end:
        content = random_input(randomness)
        try:
            endings[test_one_input(content)] += 1
        except BaseException:
            shown = f"seed {seed}, file {endings.total()}: {content[:5000]!r}"
            print(shown, file=sys.stderr)  # noqa: T201 - for a person
            raise
    return endings


def main(seconds: float) -> None:
    """Try random files for this many seconds."""
    seed = secrets.randbits(32)
    endings = try_files(seed, seconds=seconds)
    print(f"seed {seed}: {sum(endings.values())} files, {dict(endings)}")  # noqa: T201 - for a person


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 60)
