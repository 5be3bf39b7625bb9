"""A file is read exactly or rejected: its header, its rows, its cells."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.cells import to_integer, to_number
from tap_voucherify.files.fields import MetadataOptions
from tap_voucherify.files.header import Binding
from tap_voucherify.files.reader import ExportReader
from tap_voucherify.files.rows import CsvRows
from tests.support.csv_files import export_reader, write
from tests.support.expectations import Exact, identity, read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_voucherify.files.reader import Block

ID = Column("id", TEXT, "The key.", title="ID")
CODE = Column("code", TEXT, "A known title.", title="Code")
COUNT = Column("redemption_quantity", INTEGER, "Another one.", title="Redemption Limit")
CAMPAIGN = Column("campaign", TEXT, "Its title is unknown.")
BALANCE = Column("gift_balance", TEXT, "Nor this one.")


def read(
    content: bytes,
    columns: Sequence[Column],
    *,
    with_metadata: bool = False,
    **options: Any,
) -> list[dict[str, Any]]:
    """Return the records of a file, after checking that their JSON lines agree."""
    records = []
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        options["metadata"] = MetadataOptions() if with_metadata else None
        reader = export_reader(file, columns, **options)
        for block in reader:
            read_here = block.records()
            lines = block.json_lines().splitlines()
            assert len(block) == len(read_here) == len(lines)
            for record, line in zip(read_here, lines, strict=True):
                assert json.loads(line, parse_float=Decimal) == record
            records += [read_json(line.decode()) for line in lines]
    return records


def error_of(content: bytes, columns: Sequence[Column], **options: Any) -> str:
    """Return the error of an invalid file."""
    with pytest.raises(ExportFileError) as error:
        read(content, columns, **options)
    return str(error.value)


def cell(text: str, column_type: ColumnType) -> Any:
    """Return what a cell of a type is read as."""
    column = Column("value", column_type, "A value.", title="Value")
    (record,) = read(write([["ID", "Value"], ["a", text]]), [ID, column])
    return record["value"]


# Rows


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=20),
    line_end=st.sampled_from(["\r\n", "\n"]),
    bom=st.booleans(),
)
def test_rows_are_read_as_they_were_written(
    rows: list[tuple[str, str, str]],
    line_end: str,
    bom: bool,  # noqa: FBT001 - an example
) -> None:
    """Quotes, commas, line breaks of any kind and all of Unicode come out of cells unchanged."""
    rows = [*rows, ("", "no", "footer")]
    content = write([["ID", "Code", "any key"], *rows], line_end)

    records = read(b"\xef\xbb\xbf" * bom + content, [ID, CODE], with_metadata=True)

    assert records == [
        {"id": a or None, "code": b or None, "metadata": {"any key": c} if c else {}}
        for a, b, c in rows
    ]


def test_a_cell_may_be_huge() -> None:
    """Longer than the csv module's default limit."""
    huge = 'a "quoted", long\r\ncell ' * 20_000

    (record,) = read(write([["ID", "Code"], ["a", huge]]), [ID, CODE])

    assert record["code"] == huge


def test_many_rows_come_in_blocks() -> None:
    """In order, each row once."""
    rows = [[str(number), f"code {number}"] for number in range(2_500)]

    records = read(write([["ID", "Code"], *rows]), [ID, CODE])

    assert [[record["id"], record["code"]] for record in records] == rows


def block_of(
    rows: Sequence[Sequence[str]], columns: Sequence[Column], **options: Any
) -> tuple[ExportReader, Block]:
    """Return a reader and the only block of its file."""
    with tempfile.TemporaryFile() as file:
        file.write(write(rows))
        file.seek(0)
        reader = export_reader(file, columns, **options)
        (block,) = reader
        return reader, block


def test_a_block_can_be_sliced() -> None:
    """Any of its rows make a block, even none."""
    rows = [["ID", "Redemption Limit"], *([str(number), f"{number}"] for number in range(5))]
    _, block = block_of(rows, [ID, COUNT])

    for part, expected in (
        (block.slice(1, 3), [1, 2]),
        (block.slice(3, 99), [3, 4]),
        (block.select([True, False, False, True, False]), [0, 3]),
        (block.slice(2, 2), []),
        (block.select([False] * 5), []),
    ):
        assert len(part) == len(expected)
        assert part.values("redemption_quantity") == expected
        assert part.records() == [
            {"id": str(number), "redemption_quantity": number} for number in expected
        ]


def test_a_property_may_take_the_first_of_two_values() -> None:
    """The second is used if the first is empty; both may be."""
    updated = Column("updated_at", TIMESTAMP, "When it was updated.")
    created = Column("created_at", TIMESTAMP, "When it was created.")
    first, second = "2026-02-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"
    rows = [[first, second, "a"], ["", second, "b"], ["", "", "c"], [first, "", "d"]]
    _, block = block_of(
        [["updated_at", "created_at", "ID"], *rows],
        [updated, created, ID],
        coalesce={"modified_at": ("updated_at", "created_at")},
    )

    expected = [first, second, None, first]
    assert block.values("modified_at") == expected
    assert [record["modified_at"] for record in block.records()] == expected
    lines = [json.loads(line) for line in block.json_lines().splitlines()]
    assert [line["modified_at"] for line in lines] == expected


def test_metadata_is_selected_and_parsed() -> None:
    """A value that does not fit its type stays text and is counted."""
    rows = [
        ["ID", "size", "hidden", 'quoted "name"', "text"],
        ["a", "1.10", "x", "2", "3"],
        ["b", "large", "x", "", ""],
        ["c", "", "", "many", ""],
        ["d", "small", "", "", ""],
    ]
    options = MetadataOptions(
        {"size": to_number, 'quoted "name"': to_integer, "text": str},
        lambda name: name != "hidden",
    )
    for columns in (5, 3):
        reader, block = block_of(
            [row[:columns] for row in rows], [ID], keys=["id"], metadata=options
        )
        values: list[dict[str, Any]] = [
            {"size": Decimal("1.10"), 'quoted "name"': 2, "text": "3"},
            {"size": "large"},
            {'quoted "name"': "many"},
            {"size": "small"},
        ]
        selected = [("size", 1), ('quoted "name"', 3), ("text", 4)][: columns - 2]
        expected = [{k: v for k, v in each.items() if k in dict(selected)} for each in values]
        lines = [json.loads(line, parse_float=Decimal) for line in block.json_lines().splitlines()]
        assert [line["metadata"] for line in lines] == expected
        mismatches = {"size": 2, 'quoted "name"': 1} if columns == 5 else {"size": 2}
        assert dict(reader.type_mismatches) == mismatches
        assert [record["metadata"] for record in block.records()] == expected
        assert reader.metadata_columns == selected


def test_without_metadata_keys_objects_are_empty() -> None:
    """The project has none, or none are selected."""
    _, block = block_of([["ID"], ["a"], ["b"]], [ID], metadata=MetadataOptions())
    _, hidden = block_of(
        [["ID", "x"], ["a", "1"]], [ID], metadata=MetadataOptions({}, lambda _: False)
    )

    assert [record["metadata"] for record in block.records()] == [{}, {}]
    assert block.json_lines() == b'{"id":"a","metadata":{}}\n{"id":"b","metadata":{}}\n'
    assert hidden.json_lines() == b'{"id":"a","metadata":{}}\n'
    assert hidden.values("metadata") == [{}]


def test_a_file_may_have_no_rows() -> None:
    """A header alone is a file without records; a file without a header is an error."""
    assert read(b"ID,Code\r\n", [ID, CODE]) == []
    assert read(b"ID,Code", [ID, CODE]) == []
    assert "header" in error_of(b"", [ID, CODE])
    assert "header" in error_of(b"\xef\xbb\xbf", [ID, CODE])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([["a", "b"], ["c"]], id="too_few"),
        pytest.param([["a", "b"], ["c", "d", "e"]], id="too_many"),
        pytest.param([["a", "b"], [], ["c", "d"]], id="none"),
    ],
)
def test_a_row_of_another_width_is_an_error(rows: list[list[str]]) -> None:
    """The rows before it are emitted, then the error names it."""
    content = write([["ID", "Code"], *rows])
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        blocks = iter(export_reader(file, [ID, CODE]))
        assert next(blocks).records() == [{"id": "a", "code": "b"}]
        with pytest.raises(ExportFileError, match=f"row 2.*{len(rows[1])} cells.*2") as fault:
            next(blocks)
        assert str(rows[1]) in str(fault.value)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("row", [["a"], ["a", "b", "c"], ["a", "b", "c", "d"]])
def test_rows_that_are_all_of_another_width_are_an_error(row: list[str], count: int) -> None:
    """Even if all rows have the same width."""
    assert "row 1" in error_of(write([["ID", "Code"], *[row] * count]), [ID, CODE])
    assert "row 1" in error_of(
        write([["ID", "Code", "Season", "Year", "Month"], *[row] * count]),
        [ID, CODE],
        with_metadata=True,
    )


def test_faults_name_row_column_and_value() -> None:
    """An error shows all that is needed to find an invalid cell."""
    rows = [["ID", "Redemption Limit"], *[["a", "1"]] * 1_500, ["b", "many"]]

    message = error_of(write(rows), [ID, COUNT])

    assert "row 1501" in message
    assert "redemption_quantity" in message
    assert "'many' is not an integer" in message


def test_a_long_cell_is_shortened() -> None:
    """An error does not repeat a huge cell."""
    message = error_of(write([["ID", "Redemption Limit"], ["a", "x" * 9_999]]), [ID, COUNT])

    assert len(message) < 300
    assert "xxx'... is not an integer" in message


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"ID,Code\r\na,b\r\nc,\xff\r\n", 16),
        (b"\xef\xbb\xbfID,Code\r\na,\xc3\x28\r\n", 14),
        (b"ID,Code\r\n" + b"a,b\r\n" * 40_000 + b"c,\xe2\x82\r\n", 200_011),
        (b"ID,C\xe9de\r\n", 4),
        (b"ID,Code\r\na,\xe2\x82", 11),
    ],
)
def test_invalid_utf8_is_located(content: bytes, offset: int) -> None:
    """The error names the first invalid byte."""
    message = error_of(content, [ID, CODE])

    assert "UTF-8" in message
    assert f"byte {offset}" in message


@pytest.mark.parametrize(
    "content",
    [b'ID,Code\r\na,"b\r\n', b'ID,Code\r\na,"b"c\r\n', b'ID,"Code\r\na,b\r\n'],
    ids=["quote_left_open", "text_after_quote", "quote_in_header"],
)
def test_broken_quotes_are_an_error(content: bytes) -> None:
    """Quotes that do not end with their cell are rejected, not repaired."""
    assert error_of(content, [ID, CODE])


# Cells


@given(st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:f}"))
def test_numbers_keep_their_digits(text: str) -> None:
    """Whatever its size, a number comes out with the digits of its cell."""
    assert cell(text, NUMBER) == Exact(text)


@pytest.mark.parametrize("text", ["2000.00", "0", "-0.50", "1e3", "12345678901234567890.123456789"])
def test_numbers(text: str) -> None:
    """Trailing zeros are kept, too."""
    assert cell(text, NUMBER) == Exact(text)


@pytest.mark.parametrize("column_type", [NUMBER, INTEGER])
def test_invalid_numbers(column_type: ColumnType) -> None:
    """A number must be one in JSON; in Python is not enough."""
    column = Column("value", column_type, "A value.", title="Value")
    texts = ["nan", "NaN", "inf", "-Infinity", "1_000", "0x10", "1,5", "1.", ".5", "+1", "01"]
    texts += ["1 ", " 1", "\u0661", "1e", "--1", "1.5.2", "true", "\n1", "1\n2", "1\n", "-"]
    for text in texts:
        assert repr(text) in error_of(write([["ID", "Value"], ["a", text]]), [ID, column])


@given(st.integers(-(10**30), 10**30))
def test_integers_of_any_size(number: int) -> None:
    """An integer may be longer than 64 bits."""
    assert cell(str(number), INTEGER) == Exact(number)


@pytest.mark.parametrize(
    ("text", "value"), [("5.0", 5), ("2000.00", 2000), ("-5.00", -5), ("-7", -7)]
)
def test_an_integer_may_have_a_fraction_of_zeros(text: str, value: int) -> None:
    """As amounts do; the record omits it."""
    assert cell(text, INTEGER) == Exact(value)


@pytest.mark.parametrize("text", ["1.5", "1.01", "1e3", "1.", "5.0.0", "05.0", "1.0 "])
def test_invalid_integers(text: str) -> None:
    """A number with another fraction or an exponent is not an integer."""
    column = Column("value", INTEGER, "A value.", title="Value")

    assert "'value'" in error_of(write([["ID", "Value"], ["a", text]]), [ID, column])


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("false", False), ("TRUE", True), ("False", False)]
)
def test_booleans(text: str, value: bool) -> None:  # noqa: FBT001 - an example
    """Case does not matter."""
    assert cell(text, BOOLEAN) is value


@pytest.mark.parametrize("text", ["yes", "0", "1", "t", "null", "true ", "true\n", "true\nfalse"])
def test_invalid_booleans(text: str) -> None:
    """Nothing else is a boolean."""
    column = Column("value", BOOLEAN, "A value.", title="Value")

    assert "true or false" in error_of(write([["ID", "Value"], ["a", text]]), [ID, column])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-02-28", "2026-02-28"),
        ("2024-02-29", "2024-02-29"),
        ("2026-02-28T00:00:00.000Z", "2026-02-28"),
        ("2026-02-28T00:00:00Z", "2026-02-28"),
        ("2026-02-28T01:02:03.004567Z", "2026-02-28"),
        ("2026-02-28 23:59:59", "2026-02-28"),
        ("2026-02-28T23:00:00-02:00", "2026-03-01"),
        ("2026-03-01T00:30:00+0100", "2026-02-28"),
    ],
)
def test_dates(text: str, value: str) -> None:
    """A time becomes its date in UTC."""
    assert cell(text, DATE) == value


@pytest.mark.parametrize(
    "text", ["2026-02-29", "2026-2-28", "20260228", "2026-02-28T25:00:00Z", "2026-W09-6", "today"]
)
def test_invalid_dates(text: str) -> None:
    """An impossible date, or one in another format, is an error."""
    column = Column("value", DATE, "A value.", title="Value")

    assert "a date" in error_of(write([["ID", "Value"], ["a", text]]), [ID, column])


@given(
    st.datetimes(
        min_value=datetime(1, 1, 1),  # noqa: DTZ001 - hypothesis requires a naive one
        timezones=st.just(timezone.utc),
    )
)
def test_times_have_one_format(moment: datetime) -> None:
    """A time with or without milliseconds comes out in bookmark format."""
    date = f"{moment.year:04}-{moment.month:02}-{moment.day:02}"
    seconds = f"{date}T{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
    full = f"{seconds}.{moment.microsecond // 1000:03}Z"

    assert cell(full, TIMESTAMP) == full
    assert cell(f"{seconds}Z", TIMESTAMP) == f"{seconds}.000Z"
    assert cell(date, TIMESTAMP) == f"{date}T00:00:00.000Z"
    assert cell(full.replace("Z", "+00:00"), TIMESTAMP) == full
    assert cell(f"{seconds}.5Z", TIMESTAMP) == f"{seconds}.500Z"


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30T00:00:00.000Z",
        "2026-04-31T00:00:00.000Z",
        "2023-02-29T00:00:00.000Z",
        "2026-01-01T24:00:00.000Z",
        "2026-01-01T25:00:00.000Z",
        "2026-01-01T00:00:60.000Z",
        "2026-01-01T00:00:00.000+24:00",
        "2026-01-01T00:00:00.000+02:60",
        "2026-01-01T00:00:00.000+2",
        "0001-01-01T00:00:00.000+00:01",
        "9999-12-31T23:59:00.000-00:01",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.000Z\n",
        "0000-01-01T00:00:00.000Z",
        "2026-01-01T00:00",
        "1767225600",
    ],
)
def test_invalid_times(text: str) -> None:
    """An impossible time, or one that leaves the calendar in UTC, is an error."""
    column = Column("value", TIMESTAMP, "A value.", title="Value")

    assert "is not a time" in error_of(write([["ID", "Value"], ["a", text]]), [ID, column])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-01T00:00:00.123999Z", "2026-01-01T00:00:00.123Z"),
        ("2026-01-01T00:00:00.1234567890123Z", "2026-01-01T00:00:00.123Z"),
        ("2026-01-01T00:00:00.123456+00:00", "2026-01-01T00:00:00.123Z"),
        ("2026-01-01T00:00:00+00", "2026-01-01T00:00:00.000Z"),
        ("2026-01-01T00:00:00-00:00", "2026-01-01T00:00:00.000Z"),
        ("2026-01-01 00:00:00.5", "2026-01-01T00:00:00.500Z"),
        ("2026-01-01T00:00:00+02:00", "2025-12-31T22:00:00.000Z"),
        ("2026-01-01T00:00:00.25-0530", "2026-01-01T05:30:00.250Z"),
        ("2024-02-28T23:00:00-01", "2024-02-29T00:00:00.000Z"),
    ],
)
def test_times_are_in_utc_and_cut_to_milliseconds(text: str, value: str) -> None:
    """Without an offset a time is in UTC; any offset is converted."""
    assert cell(text, TIMESTAMP) == value


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def dump(value: object) -> str:
    """Return a value as JSON, with all digits of its numbers."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{dump(k)}:{dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value)
    return f"{value:f}" if not isinstance(value, int) else str(value)


@given(st.dictionaries(TEXTS, JSON_VALUES, max_size=4))
def test_json_objects(value: dict[str, Any]) -> None:
    """An object comes out unchanged, including the digits of its numbers."""
    text = dump(value)

    assert identity(cell(text, JSON_OBJECT)) == identity(read_json(text))


@pytest.mark.parametrize("text", ["[1]", "1", '"a"', "{", "{'a': 1}", '{"a": NaN}', "null"])
def test_invalid_json_objects(text: str) -> None:
    """Other JSON, or no JSON at all, is rejected."""
    column = Column("value", JSON_OBJECT, "A value.", title="Value")

    assert "a JSON object" in error_of(write([["ID", "Value"], ["a", text]]), [ID, column])


@pytest.mark.parametrize("column_type", list(ColumnType))
def test_empty_cells_are_null(column_type: ColumnType) -> None:
    """Whatever their type."""
    assert cell("", column_type) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"cut \ud83d", "cut \ufffd"),
        (r"\uDE00 first", "\ufffd first"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (r"\\\ud83d\n", "\\\ufffd\n"),
    ],
)
def test_b12_half_a_surrogate_pair_is_replaced(text: str, value: str) -> None:
    """UTF-8 cannot encode it, so one character of the text is lost, but no record."""
    content = write([["ID", "Details"], ["a", f'{{"note": "{text}"}}']])
    details = Column("details", JSON_OBJECT, "An object.")
    with io.BytesIO(content) as file:
        reader = export_reader(file, [ID, details])
        (block,) = reader

    assert block.records()[0]["details"] == {"note": value}
    assert reader.replacements == ["details"]
    assert json.loads(block.json_lines())["details"] == {"note": value}


def test_whole_surrogate_pairs_are_kept() -> None:
    """No replacement is reported."""
    column = Column("details", JSON_OBJECT, "An object.")
    reader, block = block_of([["ID", "Details"], ["a", r'{"a": "\ud83d\ude00"}']], [ID, column])

    assert block.records()[0]["details"] == {"a": "\U0001f600"}
    assert reader.replacements == []


@pytest.mark.parametrize("column_type", list(ColumnType))
def test_a6_an_empty_key_is_an_error(column_type: ColumnType) -> None:
    """Loaders would merge all rows without a key."""
    key = Column("key", column_type, "A key.")
    texts = {TEXT: "a", BOOLEAN: "true", JSON_OBJECT: "{}", JSON_ARRAY: "[]"}
    valid = texts.get(column_type, "2026-01-01")
    valid = "1" if column_type in {NUMBER, INTEGER} else valid
    content = write([["ID", "Key"], ["a", valid], ["b", ""], ["c", valid]])

    assert (
        error_of(content, [ID, key], keys=["id", "key"]) == "row 2, column 'key': the key is empty"
    )


def test_a11_a_digest_is_a_key_of_other_columns() -> None:
    """It depends only on their normalized values; a missing column counts as empty."""
    time = Column("created_at", TIMESTAMP, "A time.")
    names = ("code", "channel", "created_at", "id")
    keys = []
    for created in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000999+00:00"):
        rows = [["ID", "Created at", "Code"], ["é", created, ""]]
        _, block = block_of(rows, [ID, time, CODE], keys=["key"], digests={"key": names})
        (record,) = block.records()
        assert record["code"] is None
        keys.append(record["key"])

    text = '["","","2026-01-01T00:00:00.000Z","é"]'
    assert keys == [hashlib.sha256(text.encode()).hexdigest()] * 2
    assert json.loads(block.json_lines())["key"] == keys[0]
    assert list(block.values("key")) == keys[:1]


def test_a_digest_of_nothing_is_an_error() -> None:
    """A row whose sources are all empty has no key; an invalid source has an error of its own."""
    content = write([["ID", "Created at", "Code"], ["a", "", "b"], ["b", "", ""], ["c", "", "b"]])
    time = Column("created_at", TIMESTAMP, "A time.")
    digests = {"key": ("created_at", "code", "other")}

    message = error_of(content, [ID, time, CODE], digests=digests)
    assert message == "row 2, column 'key': the key is empty"
    invalid = content.replace(b"b,,", b"b,never,")
    assert "'never' is not a time" in error_of(invalid, [ID, time, CODE], digests=digests)


def test_a_hidden_column_is_read_for_a_digest_alone() -> None:
    """It is not a property of the records."""
    content = write([["ID", "Code"], ["a", "b"]])
    records = read(content, [ID, CODE], hidden=["code"])

    assert records == [{"id": "a"}]
    (plain,) = read(content, [ID, CODE], digests={"key": ("id", "code")})
    (hidden,) = read(content, [ID, CODE], digests={"key": ("id", "code")}, hidden=["code"])
    assert hidden == {"id": "a", "key": plain["key"]}


# Empty lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n\n", "\n" * 1_000])
@pytest.mark.parametrize("rows", [0, 1, 249, 250, 251])
def test_empty_lines_at_the_end_are_no_rows(rows: int, end: str) -> None:
    """Wherever the last block ends."""
    content = b"ID,Code\n" + b"a,b\n" * rows + end.encode()

    assert len(read(content, [ID, CODE])) == rows


@pytest.mark.parametrize(
    "end", ["a,b", " ", ",", '""', '"', "\n\n\n,", "\n" * 600 + "a,b\n", "a\rb"]
)
def test_empty_lines_before_anything_else_are_an_error(end: str) -> None:
    """The error names the first of them."""
    content = f"ID,Code\na,b\n\n{end}".encode()

    assert error_of(content, [ID, CODE]).startswith("row 2, has 0 cells instead of 2")


def test_in_one_column_an_empty_line_is_an_error() -> None:
    """It might be a row."""
    assert "row 2, has 0 cells" in error_of(b"ID\na\n\n", [ID])


# Many rows


def test_many_different_cells_are_read() -> None:
    """Even more than are cached, and some that are too long for the cache."""
    numbers = [str(number) for number in range(12_000)] + ["1" * 300] * 2 + ["7"]
    value = Column("value", NUMBER, "A number.")

    records = read(write([["ID", "Value"], *(["a", number] for number in numbers)]), [ID, value])

    assert [record["value"] for record in records] == list(map(Exact, numbers))


def test_a_fault_is_found_beside_a_missing_column() -> None:
    """A column that is missing has no faults."""
    content = write([["ID", "Value"], ["a", "many"]])
    columns = [COUNT, ID, Column("value", NUMBER, "A number.")]
    reader = ExportReader(CsvRows(io.BytesIO(content)), Binding((None, 0, 1), (), 2), columns)

    with pytest.raises(ExportFileError, match="row 1, column 'value': 'many' is not a number"):
        list(reader)
    assert reader.missing == [COUNT]
