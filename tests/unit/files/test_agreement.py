"""Records, JSON lines and tables accept the same files, with the same values and errors."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify.columns import JSON_OBJECT, NUMBER, TEXT, TIMESTAMP, Column
from tap_voucherify.errors import ExportFileError
from tap_voucherify.files.arrow import ArrowBlock
from tests.support.csv_files import file_reader, select
from tests.support.fuzz_export_csv import test_one_input as read_in_all_ways
from tests.support.fuzz_export_csv import try_files

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
    """Well formed or damaged; most of them are not trivial."""
    endings = try_files(7, count=800)

    assert endings["valid"] > 200
    assert endings["row"] > 60
    assert endings["line"] > 15


@given(st.binary(max_size=300))
@settings(derandomize=True, database=None, max_examples=200)
def test_random_bytes_are_no_file(content: bytes) -> None:
    """No bytes make a reader fail in another way than with its error."""
    assert read_in_all_ways(content) != "valid"


@pytest.mark.parametrize("number", range(9))
def test_no_file_is_an_error(number: int) -> None:
    """Of any stream."""
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
def test_damage_is_reported_alike(row: bytes, error: str) -> None:
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


@pytest.mark.parametrize("size", [1 << 20, 1 << 22, (1 << 22) + 1])
def test_a_line_break_in_a_cell_is_kept_at_any_place(size: int) -> None:
    """Whatever the sizes of the blocks in which a file is read."""
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
