"""A file is read exactly or refused: its header, its rows, its cells."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify.columns import (
    BOOLEAN,
    DATE,
    INTEGER,
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
from tap_voucherify.files.header import bind
from tap_voucherify.files.reader import Block, ExportReader
from tests.support.expectations import Exact, identity, read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = Column("id", TEXT, "The key.", title="ID")
CODE = Column("code", TEXT, "A known title.", title="Code")
COUNT = Column("redemption_quantity", INTEGER, "Another one.", title="Redemption Limit")
CAMPAIGN = Column("campaign", TEXT, "Nobody knows this title.")
BALANCE = Column("gift_balance", TEXT, "Nor this one.")


class QuoteAll(csv.excel):
    """Quotes every cell."""

    quoting = csv.QUOTE_ALL


def write(rows: Sequence[Sequence[str]], line_end: str = "\r\n") -> bytes:
    """Return rows as CSV."""
    text = io.StringIO(newline="")
    # Python's writer quotes a lone carriage return only where lines end in one.
    dialect = QuoteAll if line_end == "\n" else csv.excel
    csv.writer(text, dialect, lineterminator=line_end).writerows(rows)
    return text.getvalue().encode()


def read(
    content: bytes,
    columns: Sequence[Column],
    *,
    keys: Sequence[str] = (),
    with_metadata: bool = False,
) -> list[dict[str, Any]]:
    """Return the records of a file, having checked that both ways to read them agree."""
    records = []
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        attributes = MetadataOptions() if with_metadata else None
        reader = ExportReader(file, columns, keys=keys, metadata=attributes)
        for block in reader:
            read_here = block.records()
            lines = block.json_lines().splitlines()
            assert len(block) == len(read_here) == len(lines)
            for record, line in zip(read_here, lines, strict=True):
                assert json.loads(line, parse_float=Decimal) == record
            records += [read_json(line.decode()) for line in lines]
    return records


def refusal(content: bytes, columns: Sequence[Column], **options: Any) -> str:
    """Return why a file is refused."""
    with pytest.raises(ExportFileError) as refused:
        read(content, columns, **options)
    return str(refused.value)


def cell(text: str, column_type: ColumnType) -> Any:
    """Return what a cell of a type is read as."""
    column = Column("value", column_type, "A value.", title="Value")
    (record,) = read(write([["ID", "Value"], ["a", text]]), [ID, column])
    return record["value"]


# Rows


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


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
    content = write([["ID", "Code", "any key"], *rows], line_end)

    records = read(b"\xef\xbb\xbf" * bom + content, [ID, CODE], keys=["id"], with_metadata=True)

    assert records == [
        {"id": a, "code": b or None, "metadata": {"any key": c} if c else {}} for a, b, c in rows
    ]


def test_a_cell_may_be_huge() -> None:
    """A cell may be longer than what the csv module takes by default."""
    huge = 'a "quoted", long\r\ncell ' * 20_000

    (record,) = read(write([["ID", "Code"], ["a", huge]]), [ID, CODE])

    assert record["code"] == huge


def test_many_rows_come_in_blocks() -> None:
    """However many rows there are, they come in order, each once."""
    rows = [[str(number), f"code {number}"] for number in range(2_500)]

    records = read(write([["ID", "Code"], *rows]), [ID, CODE])

    assert [[record["id"], record["code"]] for record in records] == rows


def block_of(
    rows: Sequence[Sequence[str]], columns: Sequence[Column], **options: Any
) -> tuple[ExportReader, Block]:
    """Return a reader, and the one block of its file."""
    with tempfile.TemporaryFile() as file:
        file.write(write(rows))
        file.seek(0)
        reader = ExportReader(file, columns, **options)
        (block,) = reader
        return reader, block


def test_a_block_can_be_cut() -> None:
    """Any rows of it are a block again, also none of them."""
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
    """The second counts where the first is empty, and both may be."""
    updated = Column("updated_at", TIMESTAMP, "When it was updated.")
    created = Column("created_at", TIMESTAMP, "When it was created.")
    first, second = "2026-02-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"
    rows = [[first, second, "a"], ["", second, "b"], [first, "", "c"], ["", "", "d"]]
    _, block = block_of(
        [["updated_at", "created_at", "ID"], *rows],
        [updated, created, ID],
        coalesce={"modified_at": ("updated_at", "created_at")},
    )

    expected = [first, second, first, None]
    assert block.values("modified_at") == expected
    assert [record["modified_at"] for record in block.records()] == expected
    lines = [json.loads(line) for line in block.json_lines().splitlines()]
    assert [line["modified_at"] for line in lines] == expected


def test_attributes_are_selected_and_read() -> None:
    """A reader makes a value of a cell; what does not fit it stays text and is counted."""
    rows = [
        ["ID", "size", "hidden", 'quoted "name"', "text"],
        ["a", "1.10", "x", "2", "3"],
        ["b", "large", "x", "", ""],
        ["c", "", "", "many", ""],
        ["d", "small", "", "", ""],
    ]
    attributes = MetadataOptions(
        {"size": to_number, 'quoted "name"': to_integer, "text": str},
        lambda name: name != "hidden",
    )
    for columns in (5, 3):
        reader, block = block_of(
            [row[:columns] for row in rows], [ID], keys=["id"], metadata=attributes
        )
        values: list[dict[str, Any]] = [
            {"size": Decimal("1.10"), 'quoted "name"': 2, "text": "3"},
            {"size": "large"},
            {'quoted "name"': "many"},
            {"size": "small"},
        ]
        kept = [("size", 1), ('quoted "name"', 3), ("text", 4)][: columns - 2]
        expected = [{k: v for k, v in each.items() if k in dict(kept)} for each in values]
        lines = [json.loads(line, parse_float=Decimal) for line in block.json_lines().splitlines()]
        assert [line["metadata"] for line in lines] == expected
        misfits = {"size": 2, 'quoted "name"': 1} if columns == 5 else {"size": 2}
        assert dict(reader.type_mismatches) == misfits
        assert [record["metadata"] for record in block.records()] == expected
        assert reader.metadata_columns == kept
        assert reader.has_metadata


def test_a_file_without_attributes_has_empty_objects() -> None:
    """They were asked for, but the project has none, or none is selected."""
    _, block = block_of([["ID"], ["a"], ["b"]], [ID], metadata=MetadataOptions())
    _, hidden = block_of(
        [["ID", "x"], ["a", "1"]], [ID], metadata=MetadataOptions({}, lambda _: False)
    )

    assert [record["metadata"] for record in block.records()] == [{}, {}]
    assert block.json_lines() == b'{"id":"a","metadata":{}}\n{"id":"b","metadata":{}}\n'
    assert hidden.json_lines() == b'{"id":"a","metadata":{}}\n'
    assert hidden.values("metadata") == [{}]


def test_a_column_that_is_missing_is_empty() -> None:
    """The reader says which; the records have it all the same."""
    reader, block = block_of([["Code", "ID"], ["x", "a"]], [CODE, COUNT, ID], keys=["id"])

    assert reader.missing == [COUNT]
    assert not reader.has_metadata
    assert block.records() == [{"code": "x", "redemption_quantity": None, "id": "a"}]
    assert block.json_lines() == b'{"code":"x","redemption_quantity":null,"id":"a"}\n'


def test_a_fault_is_found_beside_a_missing_column() -> None:
    """What is missing is no fault, nor is any text."""
    limit = Column("limit", NUMBER, "A number.", title="Limit")
    message = refusal(write([["Limit", "ID"], ["many", "a"]]), [CODE, COUNT, limit, ID])

    assert "column 'limit': 'many' is not a number" in message


def test_a_file_may_hold_no_rows() -> None:
    """A header alone is a file without records; not even that is an error."""
    assert read(b"ID,Code\r\n", [ID, CODE]) == []
    assert read(b"ID,Code", [ID, CODE]) == []
    assert "header" in refusal(b"", [ID, CODE])
    assert "header" in refusal(b"\xef\xbb\xbf", [ID, CODE])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([["a", "b"], ["c"]], id="too_few"),
        pytest.param([["a", "b"], ["c", "d", "e"]], id="too_many"),
        pytest.param([["a", "b"], []], id="none"),
    ],
)
def test_a_row_of_another_width_is_an_error(rows: list[list[str]]) -> None:
    """A row with a cell too few or too many is named, after those before it are emitted."""
    content = write([["ID", "Code"], *rows])
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        blocks = iter(ExportReader(file, [ID, CODE]))
        assert next(blocks).records() == [{"id": "a", "code": "b"}]
        with pytest.raises(ExportFileError, match=f"row 2.*{len(rows[1])} cells.*2") as fault:
            next(blocks)
        assert str(rows[1]) in str(fault.value)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("row", [["a"], ["a", "b", "c"], ["a", "b", "c", "d"]])
def test_rows_that_are_all_of_another_width_are_an_error(row: list[str], count: int) -> None:
    """That all rows have the same wrong width makes it no better."""
    assert "row 1" in refusal(write([["ID", "Code"], *[row] * count]), [ID, CODE])
    assert "row 1" in refusal(
        write([["ID", "Code", "Season", "Year", "Month"], *[row] * count]),
        [ID, CODE],
        with_metadata=True,
    )


def test_faults_name_row_column_and_value() -> None:
    """A cell that is not of its column's type is named with all one needs to find it."""
    rows = [["ID", "Redemption Limit"], *[["a", "1"]] * 1_500, ["b", "many"]]

    message = refusal(write(rows), [ID, COUNT])

    assert "row 1501" in message
    assert "redemption_quantity" in message
    assert "'many' is not an integer" in message


def test_a_long_cell_is_shown_in_part() -> None:
    """An error does not repeat a whole huge cell."""
    message = refusal(write([["ID", "Redemption Limit"], ["a", "x" * 9_999]]), [ID, COUNT])

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
    """Text that is not UTF-8 is an error that says at which byte."""
    message = refusal(content, [ID, CODE])

    assert "UTF-8" in message
    assert f"byte {offset}" in message


@pytest.mark.parametrize(
    "content",
    [b'ID,Code\r\na,"b\r\n', b'ID,Code\r\na,"b"c\r\n', b'ID,"Code\r\na,b\r\n'],
    ids=["quote_left_open", "text_after_quote", "quote_in_header"],
)
def test_broken_quotes_are_an_error(content: bytes) -> None:
    """Quotes that do not end where a cell ends are refused, not repaired."""
    assert refusal(content, [ID, CODE])


# Cells


@given(st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:f}"))
def test_numbers_keep_their_digits(text: str) -> None:
    """A number of any size comes out with the digits that it came with."""
    assert cell(text, NUMBER) == Exact(text)


@pytest.mark.parametrize("text", ["2000.00", "0", "-0.50", "1e3", "12345678901234567890.123456789"])
def test_numbers(text: str) -> None:
    """Zeros at the end are digits as well."""
    assert cell(text, NUMBER) == Exact(text)


@pytest.mark.parametrize("column_type", [NUMBER, INTEGER])
def test_no_numbers(column_type: ColumnType) -> None:
    """What Python would read as a number but JSON would not is none."""
    column = Column("value", column_type, "A value.", title="Value")
    texts = ["nan", "NaN", "inf", "-Infinity", "1_000", "0x10", "1,5", "1.", ".5", "+1", "01"]
    texts += ["1 ", " 1", "\u0661", "1e", "--1", "1.5.2", "true", "\n1", "1\n2", "1\n", "-"]
    for text in texts:
        assert repr(text) in refusal(write([["ID", "Value"], ["a", text]]), [ID, column])


@given(st.integers(-(10**30), 10**30))
def test_integers_of_any_size(number: int) -> None:
    """An integer may be longer than 64 bits."""
    assert cell(str(number), INTEGER) == Exact(number)


@pytest.mark.parametrize("text", ["1.0", "1e3", "2000.00"])
def test_no_integers(text: str) -> None:
    """A number with a point or an exponent is no integer."""
    column = Column("value", INTEGER, "A value.", title="Value")

    assert "'value'" in refusal(write([["ID", "Value"], ["a", text]]), [ID, column])


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("false", False), ("TRUE", True), ("False", False)]
)
def test_booleans(text: str, value: bool) -> None:  # noqa: FBT001 - what is expected
    """Truth values are read in any case."""
    assert cell(text, BOOLEAN) is value


@pytest.mark.parametrize("text", ["yes", "0", "1", "t", "null", "true ", "true\n", "true\nfalse"])
def test_no_booleans(text: str) -> None:
    """Nothing else is a truth value."""
    column = Column("value", BOOLEAN, "A value.", title="Value")

    assert "true or false" in refusal(write([["ID", "Value"], ["a", text]]), [ID, column])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-02-28", "2026-02-28"),
        ("2024-02-29", "2024-02-29"),
        ("2026-02-28T00:00:00.000Z", "2026-02-28"),
        ("2026-02-28T00:00:00Z", "2026-02-28"),
    ],
)
def test_dates(text: str, value: str) -> None:
    """A date may be followed by midnight."""
    assert cell(text, DATE) == value


@pytest.mark.parametrize(
    "text", ["2026-02-29", "2026-2-28", "20260228", "2026-02-28T01:00:00Z", "2026-W09-6", "today"]
)
def test_no_dates(text: str) -> None:
    """An impossible date, another form of it, or a time of day is none."""
    column = Column("value", DATE, "A value.", title="Value")

    assert "a date" in refusal(write([["ID", "Value"], ["a", text]]), [ID, column])


@given(
    st.datetimes(
        min_value=datetime(1, 1, 1),  # noqa: DTZ001 - hypothesis asks for a naive one
        timezones=st.just(timezone.utc),
    )
)
def test_times_have_one_form(moment: datetime) -> None:
    """A time with or without milliseconds comes out in the one form of bookmarks."""
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
        "2026-01-01T00:00:00.000+02:00",
        "2026-01-01T00:00:00.0001Z",
        "2026-01-01T00:00:00.000Z\n",
        "0000-01-01T00:00:00.000Z",
        "2026-01-01T00:00",
        "1767225600",
    ],
)
def test_no_times(text: str) -> None:
    """An impossible time, one in another zone, or one that would lose digits is refused."""
    column = Column("value", TIMESTAMP, "A value.", title="Value")

    assert "a time in UTC" in refusal(write([["ID", "Value"], ["a", text]]), [ID, column])


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
    """An object comes out as it is, the digits of its numbers included."""
    text = dump(value)

    assert identity(cell(text, JSON_OBJECT)) == identity(read_json(text))


@pytest.mark.parametrize("text", ["[1]", "1", '"a"', "{", "{'a': 1}", '{"a": NaN}', "null"])
def test_no_json_objects(text: str) -> None:
    """JSON that is no object, or no JSON at all, is refused."""
    column = Column("value", JSON_OBJECT, "A value.", title="Value")

    assert "a JSON object" in refusal(write([["ID", "Value"], ["a", text]]), [ID, column])


@pytest.mark.parametrize("column_type", list(ColumnType))
def test_empty_cells_are_null(column_type: ColumnType) -> None:
    """An empty cell is no value, whatever its type."""
    assert cell("", column_type) is None


def test_an_empty_key_is_empty_text() -> None:
    """The cell of a text key is never null, and no other key can be empty."""
    content = write([["ID", "Redemption Limit"], ["", "1"]])
    assert read(content, [ID, COUNT], keys=["id"]) == [{"id": "", "redemption_quantity": Exact(1)}]

    content = write([["ID", "Redemption Limit"], ["a", ""]])
    message = refusal(content, [ID, COUNT], keys=["id", "redemption_quantity"])
    assert "row 1" in message
    assert "redemption_quantity" in message


# The header


def titles(*header: str, columns: Sequence[Column]) -> dict[str, str | None]:
    """Return which title each column is bound to."""
    binding = bind(header, columns)
    return {
        column.name: None if position is None else header[position]
        for column, position in zip(columns, binding.positions, strict=True)
    }


def test_documented_titles_bind() -> None:
    """Case, spaces and punctuation aside, a documented title or the field's own name counts."""
    columns = [CODE, COUNT, ID]
    for header in (
        ("Code", "Redemption Limit", "ID"),
        ("code", "redemption_limit", "id"),
        ("CODE", "Redemption  limit?", "Id"),
        ("code", "redemption_quantity", "id"),
    ):
        binding = bind(header, columns)
        assert binding.positions == (0, 1, 2)
        assert binding.metadata == ()
        assert binding.unverified == ()


def test_what_follows_is_metadata() -> None:
    """Cells beyond the standard columns are metadata, whatever their titles are."""
    binding = bind(["Code", "ID", "Season", "Campaign Name", "店舗"], [CODE, ID])

    assert binding.metadata == (("Season", 2), ("Campaign Name", 3), ("店舗", 4))
    assert binding.width == 5


def test_an_unknown_title_is_trusted_by_its_position() -> None:
    """A title that nobody knows is taken where the next known title stands at its place."""
    binding = bind(["Code", "Promotion", "ID", "Season"], [CODE, CAMPAIGN, ID])

    assert binding.positions == (0, 1, 2)
    assert binding.unverified == ((CAMPAIGN, "Promotion"),)


def test_an_unknown_title_is_not_trusted_without_a_known_one_to_its_right() -> None:
    """Nothing shows that the columns are not shifted, so the header is shown in an error."""
    with pytest.raises(ExportFileError, match="Promotion"):
        bind(["Code", "ID", "Promotion", "Season"], [CODE, ID, CAMPAIGN])


def test_an_unknown_title_is_not_trusted_if_the_known_one_occurs_twice() -> None:
    """A metadata key may have the known title, so it has to occur once."""
    with pytest.raises(ExportFileError):
        bind(["Promotion", "ID", "ID"], [CAMPAIGN, BALANCE, ID])


def test_a_shifted_column_is_an_error() -> None:
    """If the server leaves a column of unknown title out, no metadata takes its place."""
    with pytest.raises(ExportFileError):
        bind(["Code", "ID", "Promotion"], [CODE, CAMPAIGN, ID])
    with pytest.raises(ExportFileError):
        bind(["Code", "ID", "ID"], [CODE, CAMPAIGN, ID])


def test_a_metadata_key_may_equal_a_standard_title() -> None:
    """Columns are told by their position, so a key named like a column stays a key."""
    binding = bind(["Code", "Campaign", "ID", "ID", "code", "campaign"], [CODE, CAMPAIGN, ID])

    assert binding.positions == (0, 1, 2)
    assert [name for name, _ in binding.metadata] == ["ID", "code", "campaign"]


def test_known_titles_at_other_places_are_found() -> None:
    """Columns in another order are mapped by their titles, as long as the key is still last."""
    assert titles("Redemption Limit", "Code", "ID", "Season", columns=[CODE, COUNT, ID]) == {
        "redemption_quantity": "Redemption Limit",
        "code": "Code",
        "id": "ID",
    }


def test_fewer_columns_are_mapped_by_title() -> None:
    """A file that lacks a column says so by its titles; that column is empty."""
    assert titles("Code", "ID", columns=[CODE, COUNT, ID]) == {
        "code": "Code",
        "redemption_quantity": None,
        "id": "ID",
    }


def test_a_missing_column_of_unknown_title_is_empty_if_nothing_else_could_be_it() -> None:
    """All the titles there are belong to other columns."""
    assert titles("Code", "ID", columns=[CODE, CAMPAIGN, ID]) == {
        "code": "Code",
        "campaign": None,
        "id": "ID",
    }


def test_a_documented_title_is_not_replaced_by_another() -> None:
    """A column whose title is known is not trusted by its position alone."""
    with pytest.raises(ExportFileError):
        bind(["Promotion", "Redemption Limit", "ID"], [CODE, COUNT, ID])


def test_a_title_between_others_twice_is_an_error() -> None:
    """Nothing tells which of both columns it is."""
    with pytest.raises(ExportFileError):
        bind(["Code", "Code", "ID"], [CODE, ID])


def test_fewer_columns_with_unknown_titles_are_an_error() -> None:
    """A title that might be the missing column is no metadata by guess."""
    with pytest.raises(ExportFileError):
        bind(["Promotion", "ID"], [CODE, CAMPAIGN, ID])


def test_a_missing_column_is_not_replaced_by_a_metadata_key_of_its_title() -> None:
    """What stands behind the last column asked for may be metadata, so it is not taken."""
    with pytest.raises(ExportFileError):
        bind(["Code", "ID", "Redemption Limit"], [CODE, COUNT, ID])


def test_equal_metadata_titles_are_an_error() -> None:
    """Of two custom attributes with one name, neither may overwrite the other."""
    with pytest.raises(ExportFileError, match="Season"):
        bind(["Code", "ID", "Season", "Season"], [CODE, ID])


def test_a_prefix_of_all_metadata_is_stripped() -> None:
    """The prefix `metadata.` goes if all have it, and is part of the name otherwise."""
    both = bind(["Code", "ID", "metadata.Season", "metadata.ID"], [CODE, ID])
    one = bind(["Code", "ID", "metadata.Season", "Year"], [CODE, ID])

    assert [name for name, _ in both.metadata] == ["Season", "ID"]
    assert [name for name, _ in one.metadata] == ["metadata.Season", "Year"]


def test_columns_not_asked_for_are_an_error() -> None:
    """Where no metadata is asked for, there is nothing that a further column could be."""
    assert "Season" in refusal(b"Code,ID,Season\r\na,b,c\r\n", [CODE, ID])


KNOWN = [
    CODE,
    COUNT,
    Column("bar_code", TEXT, "A known title.", title="Barcode"),
    Column("voucher_type", TEXT, "A known title.", title="Voucher Type"),
]
UNKNOWN = [CAMPAIGN, BALANCE, Column("order_id", TEXT, "Unknown."), Column("x", TEXT, "Unknown.")]
TITLES = [
    *("ID", "Code", "Redemption Limit", "Barcode", "Voucher Type", "Campaign", "Gift Balance"),
    *("Order ID", "X", "id", "code", "Promotion", "Any", "metadata.id", "", "redemption_quantity"),
]


@st.composite
def headers(
    draw: st.DrawFn,
) -> tuple[list[Column], list[tuple[str, Column | None]]]:
    """Return columns as they are asked for, and a header with what each title really stands for.

    The server may leave columns out, all but the key, and may give those whose title nobody
    knows any title; what it adds as metadata is any name, those of columns included.
    """
    asked_for = draw(st.lists(st.sampled_from(KNOWN + UNKNOWN), unique=True, max_size=6))
    standard: list[tuple[str, Column | None]] = []
    for column in asked_for:
        if draw(st.integers(0, 3)) == 0:
            continue
        usual = column.title or column.name.replace("_", " ").title()
        others = st.sampled_from(["Promotion", "Any Title", "Sum"])
        standard.append((usual if column.title or draw(st.booleans()) else draw(others), column))
    left_out = set(asked_for) - {column for _, column in standard}
    tempting = [column.title or column.name.replace("_", " ").title() for column in left_out]
    names = st.sampled_from(TITLES + tempting) | TEXTS
    metadata = draw(st.lists(names, unique=True, max_size=5))
    return [*asked_for, ID], [*standard, ("ID", ID), *((name, None) for name in metadata)]


@settings(max_examples=400)
@given(headers())
def test_metadata_never_lands_in_a_standard_field(
    example: tuple[list[Column], list[tuple[str, Column | None]]],
) -> None:
    """Whatever a header looks like, it is refused, or each column is bound to what it is."""
    columns, header = example
    try:
        binding = bind([title for title, _ in header], columns)
    except ExportFileError:
        return

    for column, position in zip(columns, binding.positions, strict=True):
        if position is not None:
            assert header[position][1] is column
    for _, position in binding.metadata:
        assert header[position][1] is None


@given(headers())
def test_a_complete_header_is_always_understood(
    example: tuple[list[Column], list[tuple[str, Column | None]]],
) -> None:
    """With every column at its place, custom attributes of any name are no obstacle."""
    columns, header = example
    complete = [column.title or column.name.replace("_", " ").title() for column in columns]
    metadata = [title for title, column in header if column is None]

    binding = bind([*complete, *metadata], columns)

    assert binding.positions == tuple(range(len(columns)))
    assert [position for _, position in binding.metadata] == list(
        range(len(columns), len(columns) + len(metadata))
    )
