"""Records, JSON lines and tables accept the same files, with the same values and errors."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify.columns import JSON_OBJECT, NUMBER, TEXT, TIMESTAMP, Column
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.arrow import ArrowBlock
from tap_voucherify.files.compiled import load
from tests.support.csv_files import file_reader, select
from tests.support.fuzz_export_csv import test_one_input as read_in_all_ways
from tests.support.fuzz_export_csv import try_files

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = [
    Column("id", TEXT, "The key."),
    Column("created_at", TIMESTAMP, "A time."),
    Column("value", NUMBER, "A number."),
    Column("details", JSON_OBJECT, "An object."),
    Column("additional_info", TEXT, "A text."),
]
HEADER = b"ID,Created at,Value,Details,Additional info,key\r\n"
ROW = b"a,2026-01-01T00:00:00.000Z,1.50,,text,value\r\n"


def test_random_files_are_read_alike() -> None:
    """Well-formed or damaged; most of them are not trivial."""
    endings = try_files(7, count=800)

    assert endings["valid"] > 200
    assert endings["row"] > 60
    assert endings["line"] > 15


@given(st.binary(max_size=300))
@settings(derandomize=True, database=None, max_examples=200)
def test_random_bytes_are_no_file(content: bytes) -> None:
    """Whatever the bytes, a reader fails only with its own error."""
    assert read_in_all_ways(content) != "valid"


@pytest.mark.parametrize("number", range(9))
def test_no_file_is_an_error(number: int) -> None:
    """For every stream."""
    assert read_in_all_ways(bytes([number])) == "the"


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (b'b,2026-01-01,1,,"never closed,x\r\n', "not valid CSV"),
        (b'b,2026-01-01,1,,"cut', "not valid CSV"),
        (b'b,2026-01-01,1,,"text" behind,x\r\n', "not valid CSV"),
        (b'b,2026-01-01,1,,"say \\"hi\\"",x\r\n', "not valid CSV"),
        (b"b,2026-01-01,1,,a\rb,x\r\n", "not valid CSV"),
        (b"\r\nb,2026-01-01,1,,,\r\n", "row 601, has 0 cells"),
        (b"b,0000-01-01,1,,,x\r\n", "row 601, column 'created_at'"),
        (b"b,2026-01-01,1,{,,x\r\n", "row 601, column 'details'"),
        (b",2026-01-01,1,,,x\r\n", "row 601, column 'id': the key is empty"),
        (b"Total: 4 rows,,,,\r\n", "row 601, has 5 cells instead of 6"),
    ],
)
def test_a3_damage_is_reported_alike(row: bytes, error: str) -> None:
    """The rows before it are read."""
    content = HEADER + ROW * 600 + row + ROW
    messages = set()
    for as_tables in (False, True):
        opened = file_reader(select(COLUMNS), as_tables=as_tables).open(io.BytesIO(content))
        lengths: list[int] = []
        with pytest.raises(ExportFileError, match=error) as caught:
            lengths.extend(map(len, opened))
        messages.add((sum(lengths), str(caught.value)))

    assert len(messages) == 1
    assert messages.pop()[0] == 600


def outcome(content: bytes, columns: Sequence[Column], **options: Any) -> tuple[int, str]:
    """Return how many rows of a file are read, and the error after them."""
    count = 0
    try:
        for block in file_reader(select(columns), **options).open(io.BytesIO(content)):
            count += len(block)
    except ExportFileError as error:
        return count, str(error)
    return count, ""


def outcomes(content: bytes, columns: Sequence[Column] = COLUMNS) -> tuple[int, str]:
    """Return the same, after checking that all ways to read a file agree."""
    ways = ({"compiled": None}, {"compiled": load()}, {"as_tables": True})
    (found,) = {outcome(content, columns, **options) for options in ways}
    return found


@pytest.mark.parametrize("count", [0, 1, 600])
@pytest.mark.parametrize(
    "footer",
    [
        b"Total: 4 rows,,,,,",
        b"Total: 4 rows,,,,,\n\r\n",
        b'"Total: 4, ""rows""","","","","",""\r\n',
        b"Total: 4 rows,,,,,\r\nin March,,,,,\r\n",
        b"\xe5\x90\x88\xe8\xa8\x88,,,,,",
        b"T\xff,,,,,",
        b"\x0cT,,,,,\r\n",
        "\u2028T,,,,,".encode(),
        "T\u2028T,,,,,".encode(),
        b"T\0,,,,,",
        b'"in March, all",,,,,',
        b"Total,,,,,\r",
        b",,Total,,,\r\n",
        b'"",Total,,"",,\r\n',
        b"in March,,,,,\r\nTotal,%d,,,,\r\n",
        b'"Total:",,,,"%d",\r\n\r\n',
        b"Total,,,,,%d",
    ],
)
def test_a6_a_footer_is_no_record(count: int, footer: bytes) -> None:
    """A last row with a single text, and at most the number of rows after it, is an error."""
    footer = footer.replace(b"%d", b"%d" % count)
    read, error = outcomes(HEADER + ROW * count + footer)

    assert read == count
    assert error.startswith(f"row {count + 1} has too few filled cells, like a footer: ")


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (b"b,,,,,\r\n" + ROW, (3, "")),
        (b"b,2026-01-01,,,,\r\n", (2, "")),
        (b"b,,,,,x", (2, "")),
        (b"b,,,,,0\r\n\r\n", (2, "")),
        (b"b,,,,,2\r\n" * 600, (601, "")),
        (b"b,,,,1,1\r\n", (2, "")),
        (b"1,,,,b,\r\n", (2, "")),
        (b'b,,,"{}",,', (2, "")),
        (b'b,,,,"\nc,,,,,', (1, "line 3 is not valid CSV: unexpected end of data")),
        (b"\r\nb,,,,,", (1, "row 2, has 0 cells instead of 6: '[]'")),
        (b",,,,,", (1, "row 2, column 'id': the key is empty")),
        (b"b,,,,,,", (1, "row 2, has 7 cells instead of 6: \"['b', '', '', '', '', '', '']\"")),
    ],
)
def test_other_rows_are_no_footer(end: bytes, expected: tuple[int, str]) -> None:
    """They have more cells or are not the last; damaged rows are reported as such."""
    assert outcomes(HEADER + ROW + end) == expected


def test_the_only_values_of_a_narrow_file_are_no_footer() -> None:
    """Only two columns may be selected, and the second may be empty."""
    assert outcomes(b"ID,Additional info\na,\nb,", [COLUMNS[0], COLUMNS[4]]) == (2, "")


def test_lines_are_counted_before_a_footer() -> None:
    """Including those of the header."""
    content = HEADER.replace(b"key", b'"key\nof two lines"') + ROW + b'b,,"1"0,,,\nTotal,,,,,'

    assert outcomes(content) == (1, "line 4 is not valid CSV: ',' expected after '\"'")


@pytest.mark.parametrize("size", [1 << 20, 1 << 22, (1 << 22) + 1])
def test_a2_a_line_break_in_a_cell_is_kept_anywhere(size: int) -> None:
    """Even at the boundary of the blocks in which a file is read."""
    for shift in range(3):
        filler = b"x" * (size - len(HEADER) - 25 - shift)
        content = HEADER + b"a,,,," + filler + b",\r\n" + b'b,,,,"first\r\nsecond",\r\n'
        texts = []
        for as_tables in (False, True):
            opened = file_reader(select(COLUMNS), as_tables=as_tables).open(io.BytesIO(content))
            for block in opened:
                if isinstance(block, ArrowBlock):
                    texts += block.table["additional_info"].to_pylist()
                else:
                    texts += block.values("additional_info")
        assert texts == [filler.decode(), "first\r\nsecond"] * 2
