"""Tables have a fixed schema and hold what records do."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tap_voucherify.columns import (
    BOOLEAN,
    DATE,
    INTEGER,
    JSON_OBJECT,
    NUMBER,
    TEXT,
    TIMESTAMP,
    Column,
)
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.arrow import ArrowBlock, ArrowReader
from tap_voucherify.files.fields import MetadataOptions
from tap_voucherify.files.header import Binding
from tap_voucherify.files.reader import ExportReader
from tap_voucherify.files.rows import CsvRows
from tap_voucherify.instants import Span
from tests.support.csv_files import export_reader, write

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = Column("id", TEXT, "The key.")
COLUMNS = [
    ID,
    Column("value", NUMBER, "A number."),
    Column("count", INTEGER, "An integer."),
    Column("active", BOOLEAN, "A truth value."),
    Column("day", DATE, "A date."),
    Column("created_at", TIMESTAMP, "A time."),
    Column("details", JSON_OBJECT, "An object."),
]
TITLES = [column.name for column in COLUMNS]
UTC = dt.timezone.utc


def blocks(
    rows: Sequence[Sequence[str]], columns: Sequence[Column], **options: Any
) -> list[ArrowBlock]:
    """Return the blocks of a file."""
    return list(ArrowReader(export_reader(io.BytesIO(write(rows)), columns, **options)))


def test_a13_every_type_has_its_arrow_type() -> None:
    """Even if a cell is empty."""
    values = ["a", "1.50", "2", "TRUE", "2026-01-31", "2026-01-01T00:00:00.5Z", '{ "a": 1.10 }']
    (block,) = blocks(
        [[*TITLES, "key"], ["b", *[""] * 7], [*values, "x"]],
        COLUMNS,
        keys=["id", "digest"],
        metadata=MetadataOptions(),
        coalesce={"modified_at": ("created_at", "created_at")},
        digests={"digest": ("id",)},
    )

    table = block.table
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string",
        "value": "decimal128(38, 9)",
        "count": "int64",
        "active": "bool",
        "day": "date32[day]",
        "created_at": "timestamp[ms, tz=UTC]",
        "details": "string",
        "modified_at": "timestamp[ms, tz=UTC]",
        "digest": "string",
        "metadata": "struct<key: string>",
    }
    assert [field.name for field in table.schema if not field.nullable] == ["id", "digest"]
    second, first = table.to_pylist()
    instant = dt.datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    assert len(first.pop("digest")) == len(second.pop("digest")) == 64
    assert first == {
        "id": "a",
        "value": Decimal("1.5"),
        "count": 2,
        "active": True,
        "day": dt.date(2026, 1, 31),
        "created_at": instant,
        "details": '{"a":1.10}',
        "modified_at": instant,
        "metadata": {"key": "x"},
    }
    assert second == {**dict.fromkeys(first), "id": "b", "metadata": {"key": None}}
    assert list(block.values("modified_at")) == [None, "2026-01-01T00:00:00.500Z"]


def test_a_file_without_metadata_has_null() -> None:
    """There are no keys for a struct."""
    (block,) = blocks([["ID"], ["a"], ["b"]], [ID], metadata=MetadataOptions())

    assert block.table.schema.field("metadata").type == pa.null()
    assert block.table["metadata"].to_pylist() == [None, None]


def test_missing_columns_are_null_in_their_type() -> None:
    """As in records."""
    rows = CsvRows(io.BytesIO(write([TITLES, ["a", "1", *[""] * 5]])))
    binding = Binding((0, *[None] * 6), (), 7)
    (block,) = ArrowReader(ExportReader(rows, binding, COLUMNS))

    assert block.table.to_pylist() == [{**dict.fromkeys(TITLES), "id": "a"}]
    assert block.table.schema.field("value").type == pa.decimal128(38, 9)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1e3", "1000"),
        ("125e-2", "1.25"),
        ("-0", "0"),
        ("1.0000000000", "1"),
        ("0e99999999999", "0"),
        ("0." + "0" * 60, "0"),
        ("10e-10", "0.000000001"),
        ("12345678901234567890123456789.123456789",) * 2,
    ],
)
def test_numbers_that_fit(cell: str, value: str) -> None:
    """A number may have any notation, and others beside it."""
    rows = [["ID", "value"], ["a", "1"], ["b", cell], ["c", ""]]
    (block,) = blocks(rows, COLUMNS[:2])

    assert block.table["value"].to_pylist() == [1, Decimal(value), None]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("value", "1.0000000001"),
        ("value", "1e29"),
        ("value", "1e999999999"),
        ("value", "9" * 39),
        ("count", "9223372036854775808"),
        ("count", "-9223372036854775809"),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 300])
def test_a_number_beyond_its_type_is_an_error(column: str, cell: str, before: int) -> None:
    """It is neither rounded nor dropped; the rows before it are read."""
    number = next(other for other in COLUMNS if other.name == column)
    rows = [["ID", column], *[["a", "1"]] * before, ["b", cell], ["c", "1e99"]]
    reader = ArrowReader(export_reader(io.BytesIO(write(rows)), [ID, number]))
    lengths: list[int] = []

    message = f"row {before + 1}, column '{column}': '{cell}' does not fit"
    with pytest.raises(ExportFileError, match=message.replace("+", r"\+")):
        lengths.extend(map(len, reader))
    assert sum(lengths) == before


def test_the_first_row_beyond_its_type_is_named() -> None:
    """Whichever column it is in."""
    rows = [["ID", "value", "count"], ["a", "1", "1"], ["b", "1", "9" * 20], ["c", "1e99", "1"]]

    with pytest.raises(ExportFileError, match="row 2, column 'count'"):
        blocks(rows, COLUMNS[:3])


def test_short_blocks_are_joined() -> None:
    """The resulting tables make useful row groups."""
    rows = [["ID", "created_at"], *([str(n), "2026-01-01"] for n in range(70_000))]
    created = COLUMNS[5]
    found = blocks(rows, [ID, created])

    assert [len(block) > 20_000 for block in found[:-1]] == [True] * (len(found) - 1)
    assert [value for block in found for value in block.table["id"].to_pylist()] == [
        str(number) for number in range(70_000)
    ]
    assert all(len(block.values("created_at")) == len(block) for block in found)


def test_repetitive_columns_are_known() -> None:
    """Of every type; only these use dictionaries in a Parquet file."""
    header = [*TITLES, "a.key", "number"]
    values = ["a", "1", "2", "TRUE", "2026-01-31", "2026-01-01", "{}", "x"]
    rows = [[*values, str(number)] for number in range(5)]
    (block,) = blocks([header, *rows], COLUMNS, metadata=MetadataOptions())
    (short,) = blocks([["ID"], ["a"], ["b"]], [ID], metadata=MetadataOptions())

    assert block.repetitive_columns() == [*TITLES, "metadata.a.key"]
    assert short.repetitive_columns() == ["metadata"]


def test_times_of_a_table() -> None:
    """In bookmark format; the span ignores their order."""
    days = ["2026-01-02", "", "2026-01-03", "0001-01-01"]
    (block,) = blocks([["ID", "created_at"], *(["a", day] for day in days)], [ID, COLUMNS[5]])
    first, missing, second, third = (day and f"{day}T00:00:00.000Z" for day in days)

    assert block.values("created_at") == [first, missing or None, second, third]
    assert block.span("created_at") == Span(3, third, second)
    assert block.slice(0, 3).span("created_at") == Span(2, first, second)
    assert block.slice(0, 1).span("created_at") == Span(1, first, first)
    assert block.slice(1, 2).span("created_at") == Span()


def test_a_block_can_be_sliced() -> None:
    """Along with its times."""
    rows = [["ID", "created_at"], *([str(n), f"2026-01-0{n}"] for n in range(1, 6))]
    (block,) = blocks(rows, [ID, COLUMNS[5]])

    for part, days in (
        (block.slice(1, 3), [2, 3]),
        (block.slice(3, 99), [4, 5]),
        (block.slice(3, 2), []),
        (block.select([True, False, False, True, False]), [1, 4]),
        (block.select([False] * 5), []),
    ):
        assert len(part) == len(days)
        assert part.table["id"].to_pylist() == [str(day) for day in days]
        assert list(part.values("created_at")) == [f"2026-01-0{day}T00:00:00.000Z" for day in days]
