"""Listed objects become records of exactly what was sent, in the documented types."""

from __future__ import annotations

import json
import typing as t
from decimal import Decimal

import pyarrow as pa
import pytest

from tap_voucherify.columns import (
    BOOLEAN,
    DATE,
    INTEGER,
    JSON_ARRAY,
    JSON_OBJECT,
    NUMBER,
    TEXT,
    TIMESTAMP,
    Column,
    ColumnType,
)
from tap_voucherify.errors import RequestError
from tap_voucherify.files.arrow import ArrowBlock
from tap_voucherify.files.objects import ObjectBlock, ObjectReader

if t.TYPE_CHECKING:
    from collections.abc import Collection

PERIOD = Column("days", JSON_ARRAY, "Days.", items=INTEGER)
COLUMNS = (
    Column("id", TEXT, "The key."),
    Column("price", NUMBER, "A number."),
    Column("count", INTEGER, "An integer."),
    Column("active", BOOLEAN, "True or false."),
    Column("created_at", TIMESTAMP, "A time.", field="date"),
    Column("day", DATE, "A date."),
    Column(
        "nested",
        JSON_OBJECT,
        "An object.",
        parts=(
            Column("at", TIMESTAMP, "A time."),
            Column("open", JSON_OBJECT, "An object."),
            Column("periods", JSON_ARRAY, "Objects.", parts=(PERIOD,)),
        ),
    ),
    Column("tags", JSON_ARRAY, "Texts.", items=TEXT),
)
OBJECT = {
    "id": "a",
    "price": Decimal("1.10"),
    "count": 12345678901,
    "active": False,
    "date": "2026-01-02T03:04:05+01:00",
    "day": "2026-01-02",
    "nested": {
        "at": "2026-01-02T03:04:05Z",
        "open": {"at": "noon"},
        "periods": [{"days": [1, 2], "more": 1}],
        "new": None,
    },
    "tags": ["x", "y"],
    "unknown": [Decimal("0.10")],
}
RECORD = {
    "id": "a",
    "price": Decimal("1.10"),
    "count": 12345678901,
    "active": False,
    "created_at": "2026-01-02T02:04:05.000Z",
    "day": "2026-01-02",
    "nested": {
        "at": "2026-01-02T03:04:05.000Z",
        "open": {"at": "noon"},
        "periods": [{"days": [1, 2], "more": 1}],
        "new": None,
    },
    "tags": ["x", "y"],
    "other": {"unknown": [Decimal("0.10")]},
}


def reader(*, without: Collection[tuple[str, ...]] = (), as_tables: bool = False) -> ObjectReader:
    """Return a reader of all properties except some."""
    return ObjectReader(
        COLUMNS, keys=["id"], is_selected=lambda path: path not in without, as_tables=as_tables
    )


def block_of(*objects: dict[str, t.Any]) -> ObjectBlock:
    """Return the records of objects."""
    block = reader().block(objects)
    assert isinstance(block, ObjectBlock)
    return block


def table_of(*objects: dict[str, t.Any]) -> pa.Table:
    """Return the table of objects."""
    block = reader(as_tables=True).block(objects)
    assert isinstance(block, ArrowBlock)
    return block.table


def test_values_are_kept_and_times_are_normalized() -> None:
    """An undocumented property is in `other`, or stays in its nested object."""
    block = block_of(OBJECT)

    assert block.records() == [RECORD]
    assert list(block.records()[0]) == list(RECORD)
    assert b'"price":1.10,' in block.json_lines()
    assert json.loads(block.json_lines(), parse_float=Decimal) == RECORD


def test_missing_properties_are_null() -> None:
    """So are null ones; `other` is null, too."""
    empty = dict.fromkeys(RECORD)

    assert block_of({"id": "a"}).records() == [{**empty, "id": "a"}]
    assert block_of({**dict.fromkeys(OBJECT.keys() - {"unknown"}), "id": "a"}).records() == [
        {**empty, "id": "a"}
    ]


def test_a_block_can_be_sliced() -> None:
    """Like a block of an export."""
    block = block_of({"id": "a"}, {"id": "b"}, {"id": "c"})

    part = block.slice(1, 3)

    assert (len(block), len(part)) == (3, 2)
    assert [record["id"] for record in part.records()] == ["b", "c"]
    assert block.slice(0, 2).json_lines().count(b"\n") == 2


@pytest.mark.parametrize("without", [name for name in RECORD if name != "id"])
def test_deselected_properties_are_left_out(without: str) -> None:
    """A deselected property does not reappear in `other`."""
    (record,) = reader(without=[(without,)]).block([OBJECT]).records()  # type: ignore[union-attr] # no table

    assert record == {name: value for name, value in RECORD.items() if name != without}


def test_deselected_parts_are_left_out() -> None:
    """In nested objects and arrays, documented or not; their values are not checked."""
    without = [("nested", "at"), ("nested", "new"), ("nested", "periods", "days")]
    nested = {"at": 1, "new": 2, "open": {"at": 3}, "periods": [{"days": 4, "more": 5}]}

    (record,) = reader(without=without).block([{"id": "a", "nested": nested}]).records()  # type: ignore[union-attr] # no table

    assert record["nested"] == {"open": {"at": 3}, "periods": [{"more": 5}]}


def test_undocumented_parts_are_known() -> None:
    """Only those outside arrays, which have no column when objects are flattened."""
    objects = reader()

    objects.block([OBJECT])

    assert objects.undeclared == {("nested", "new")}


WRONG: list[tuple[str, object, str]] = [
    ("price", "1", "'price': '\"1\"' is not a number"),
    ("price", True, "'price': 'true' is not a number"),
    ("count", Decimal("1.5"), "'count': '1.5' is not an integer"),
    ("count", False, "'count': 'false' is not an integer"),
    ("active", 1, "'active': '1' is not true or false"),
    ("date", "noon", "'created_at': '\"noon\"' is not a time"),
    ("date", 1767225600, "'created_at': '1767225600' is not a time"),
    ("day", "2026-02-30", "'day': '\"2026-02-30\"' is not a date"),
    ("nested", [], "'nested': '[]' is not a JSON object"),
    ("nested", {"at": 0}, "'nested.at': '0' is not a time"),
    ("nested", {"periods": [1]}, "'nested.periods': '1' is not a JSON object"),
    ("nested", {"periods": [{"days": [1, "2"]}]}, "'nested.periods.days': '\"2\"' is not an int"),
    ("tags", {}, "'tags': '{}' is not a JSON array"),
    ("tags", ["x", None], "'tags': 'null' is not text"),
    ("tags", ["x" * 99, 1], "'tags': '1' is not text"),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_a_value_of_another_type_is_an_error(name: str, value: object, error: str) -> None:
    """It is neither converted nor dropped; the message names the object and the property."""
    with pytest.raises(RequestError) as raised:
        block_of({"id": "a", name: value})

    assert str(raised.value).startswith(f"object 'a': property {error}")
    assert str(raised.value).endswith("; deselect the property")


def test_long_values_are_shortened_in_errors() -> None:
    """A log line must not be flooded."""
    with pytest.raises(RequestError) as raised:
        block_of({"id": "a", "count": "x" * 10_000})

    assert len(str(raised.value)) < 200


def test_tables_have_the_declared_types() -> None:
    """Objects and arrays are JSON text, with all digits."""
    table = table_of(OBJECT, {"id": "b"})

    assert {field.name: field.type for field in table.schema} == {
        "id": pa.string(),
        "price": pa.decimal128(38, 9),
        "count": pa.int64(),
        "active": pa.bool_(),
        "created_at": pa.timestamp("ms", tz="UTC"),
        "day": pa.date32(),
        "nested": pa.string(),
        "tags": pa.string(),
        "other": pa.string(),
    }
    assert not table.schema.field("id").nullable
    first, second = table.to_pylist()
    assert first["price"] == Decimal("1.10")
    assert f"{first['created_at']:%H:%M} {first['day']}" == "02:04 2026-01-02"
    assert json.loads(first["nested"]) == RECORD["nested"]
    assert (first["tags"], first["other"]) == ('["x","y"]', '{"unknown":[0.10]}')
    assert second == {**dict.fromkeys(RECORD), "id": "b"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 2**63), ("count", 2**200), ("price", Decimal("1e30")), ("price", Decimal("1e-10"))],
)
def test_a_number_beyond_its_arrow_type_is_an_error(name: str, value: object) -> None:
    """It is not rounded."""
    assert block_of({"id": "a", name: value}).records()[0][name] == value
    with pytest.raises(RequestError, match=f"property '{name}': a number does not fit"):
        table_of({"id": "a", name: value})


@pytest.mark.parametrize("column_type", list(ColumnType))
def test_every_type_is_checked(column_type: ColumnType) -> None:
    """Including any that is added later."""
    column = Column("value", column_type, "A value.")
    objects = ObjectReader([column], keys=[], is_selected=lambda _: True, as_tables=False)

    with pytest.raises(RequestError, match="property 'value'"):
        objects.block([{"id": "a", "value": 1 if column_type is TEXT else "?"}])
